// Products of small matrices, which the thread that wants them computes itself.
#pragma once

#include <mlx/array.h>
#include <mlx/stream.h>

namespace mlxffi {

namespace mx = mlx::core;

// beta c, which nothing is where there is no c, added to alpha times a product.
struct Added {
  const mx::array* c = nullptr;
  float beta = 0, alpha = 1;
};

// The product of float32 matrices (..., m, k) and (..., k, n) with the same batch, on the stream, by the calls of the BLAS
// that MLX's Matmul and AddMM make. False for other types, where rows or columns lie otherwise than side by side, and for products
// of many multiplications, during which other threads could not schedule.
bool small_product(const mx::array& a, const mx::array& b, const Added& added, mx::array& out, mx::Stream s);

} // namespace mlxffi
