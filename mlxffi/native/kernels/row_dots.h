// Dot products of rows with vectors: of one with one, of each of many with its own, and of a matrix with one.
#pragma once

#include <mlx/array.h>
#include <mlx/stream.h>

namespace mlxffi {

namespace mx = mlx::core;

// The product of float32 matrices `a` [..., m, k] with columns `b` [..., k, 1], as MLX's Matmul makes it, on the stream: summed
// in parts that are the same for any number of threads. False for other types and shapes, for short rows, and where the
// numbers of a row or a column lie apart.
bool row_dots(const mx::array& a, const mx::array& b, mx::array& out, mx::Stream s);

} // namespace mlxffi
