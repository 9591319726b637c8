// Sums along an axis, in double: added up one after the other, float32 numbers stick.
#pragma once

#include <cstdint>

#include <mlx/array.h>
#include <mlx/stream.h>

namespace mlxffi {

namespace mx = mlx::core;

// How many halves are added up in float32; of float32 numbers MLX adds up as many.
constexpr int64_t most_in_a_row = 16384;

// The sums along an axis, counted from the front, of a float32, float16 or bfloat16 array, as float32: in double, but for
// few halves. On a CPU stream.
mx::array sum_axis(const mx::array& a, int axis, mx::Stream s);

} // namespace mlxffi
