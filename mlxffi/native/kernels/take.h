// Lookups whose sizes follow from their inputs: MLX's node keeps those of the arrays that it was made for.
#pragma once

#include <mlx/array.h>
#include <mlx/stream.h>

namespace mlxffi {

namespace mx = mlx::core;

// The slices of `a` at the positions in `indices` along an axis, counted from the front, on a CPU stream. Indices are
// in range.
mx::array take_slices(const mx::array& a, const mx::array& indices, int axis, mx::Stream s);

} // namespace mlxffi
