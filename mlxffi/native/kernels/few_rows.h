// Products of a few rows with a matrix, as fast as memory gives the matrix.
#pragma once

#include "fused.h"

namespace mlxffi {

// Whether few_rows_matmul has the product: few rows, a large matrix, both of one dtype of float32, float16 and bfloat16.
bool has_few_rows(const mx::array& a, const mx::array& b, mx::Stream s);

// a (..., k) times b (k, n).
mx::array few_rows_matmul(const mx::array& a, const mx::array& b, mx::Stream s);

} // namespace mlxffi
