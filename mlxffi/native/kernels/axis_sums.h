// Sums along an axis, in double: added up one after the other, float32 numbers stick.
#pragma once

#include <mlx/array.h>
#include <mlx/stream.h>

namespace mlxffi {

namespace mx = mlx::core;

// The sums along an axis, counted from the front, of a float32, float16 or bfloat16 array: in double, as float32. On
// a CPU stream.
mx::array sum_axis(const mx::array& a, int axis, mx::Stream s);

} // namespace mlxffi
