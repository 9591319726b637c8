// Convolutions of a signal with a filter.
#pragma once

#include <mlx/array.h>
#include <mlx/primitives.h>
#include <mlx/stream.h>

namespace mlxffi {

namespace mx = mlx::core;

// Signals [n, length, 1] of float32, convolved with one filter [1, size, 1] as by MLX's Convolution, on the stream. False for
// more channels, other types, steps or dilations.
bool filter(const mx::Convolution& convolution, const mx::array& signals, const mx::array& weights, mx::array& out, mx::Stream s);

} // namespace mlxffi
