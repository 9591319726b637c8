// Functions of float64 numbers, in float64: MLX's CPU code computes these in float32, or has them not.
#pragma once

#include <optional>

#include <mlx/array.h>
#include <mlx/stream.h>

namespace mlxffi {

namespace mx = mlx::core;

enum class Wide { exp, sin, cos, erf, erfinv, erfc, erfcinv, sigmoid };

// The function of a float64 array, on a CPU stream, with all threads.
mx::array wide(Wide function, const mx::array& a, mx::Stream s);

// x / sqrt(mean(x^2) + eps) along the last axis, times the weight; of arrays whose common type is float64.
mx::array wide_rms_norm(const mx::array& x, const std::optional<mx::array>& weight, float eps, mx::Stream s);

} // namespace mlxffi
