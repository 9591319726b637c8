// Copies of numbers to where they lie otherwise: side by side, or in a part of another array.
#pragma once

#include <mlx/array.h>
#include <mlx/primitives.h>

#include "fused.h"

namespace mlxffi {

// An array whose numbers lie in the order of its axes, or of these from the last to the first if that will do, too.
void make_contiguous(const mx::array& a, bool may_be_columns, mx::array& out, mx::Stream s);
// Whether an operation gives the same numbers another shape.
bool is_reshape(const mx::Primitive& primitive);
// Another shape; false where the numbers can be seen in it as they lie.
bool copy_reshaped(const mx::array& a, mx::array& out, mx::Stream s);
void pad(const mx::Pad& pad, const Arrays& inputs, mx::array& out, mx::Stream s);
// False where MLX does as well.
bool put_slice(const mx::SliceUpdate& update, const Arrays& inputs, mx::array& out, mx::Stream s);

} // namespace mlxffi
