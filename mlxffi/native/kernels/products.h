// Matrix products in float32, by whatever BLAS libmlx uses.
#pragma once

#include <cstdint>

namespace mlxffi {

// A matrix in memory, row by row: element (i, j) at data[i * stride + j].
struct Matrix {
  const float* data;
  int64_t stride;
};

enum class Side { as_is, transposed };

// Whether there is a BLAS to call.
bool has_products();

// c = alpha op(a) op(b) + beta c, where op(a) is m x k, op(b) k x n and c m x n, its rows `c_stride` apart.
void product(
    int64_t m, int64_t n, int64_t k, float alpha, Matrix a, Side a_side, Matrix b, Side b_side, float beta, float* c, int64_t c_stride);

} // namespace mlxffi
