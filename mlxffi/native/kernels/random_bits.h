// The random bits of keys.
#pragma once

#include <mlx/array.h>
#include <mlx/stream.h>

namespace mlxffi {

namespace mx = mlx::core;

// Fills a result on the stream with MLX's bits for each of the keys; false where those do not make whole words.
bool random_bits(const mx::array& keys, mx::array& out, mx::Stream s);

} // namespace mlxffi
