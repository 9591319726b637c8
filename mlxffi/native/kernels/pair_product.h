// Products of bfloat16 matrices by instructions that multiply pairs of their numbers; sums are float32.
#pragma once

#include <functional>

#include "products.h"
#include "ranges.h"

namespace mlxffi {

// A matrix of bfloat16 numbers in memory, row by row: element (i, j) at data[i * stride + j].
struct HalfMatrix {
  const uint16_t* data;
  int64_t stride;
};

// Whether this CPU has such instructions.
bool has_pair_product();

// Takes some rows and columns of a product, and may change the sums in place: rows of them are `stride` apart.
using PutSums = std::function<void(Range rows, Range columns, float* sums, int64_t stride)>;

// Gives a op(b), where a is m x k and op(b) k x n, to `put`, part by part and from several threads; the parts do not depend
// on how many these are. A row of `a` of an odd length has a 0 behind it.
void pair_product(int64_t m, int64_t n, int64_t k, HalfMatrix a, HalfMatrix b, Side b_side, const PutSums& put);

} // namespace mlxffi
