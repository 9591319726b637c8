// Functions of float64 numbers, in float64: MLX's CPU code computes these five in float32.
#pragma once

#include <mlx/array.h>
#include <mlx/stream.h>

namespace mlxffi {

namespace mx = mlx::core;

enum class Wide { exp, sin, cos, erf, sigmoid };

// The function of a float64 array, on a CPU stream, with all threads.
mx::array wide(Wide function, const mx::array& a, mx::Stream s);

// log(sum(exp(x))) of the rows of a floating-point array, with sums in double; float64 for float64, else float32. On a
// CPU stream.
mx::array log_sum_exp(const mx::array& rows, mx::Stream s);

} // namespace mlxffi
