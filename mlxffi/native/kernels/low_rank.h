// What a product of low rank adds to another product.
#pragma once

#include "products.h"
#include "ranges.h"

namespace mlxffi {

// scale low op(b), where low is [rows, rank] and op(b) [rank, columns].
struct LowRank {
  Matrix low, b;
  Side b_side;
  int64_t rank;
  float scale;

  // Adds its part of some rows and columns to sums that begin with these.
  void add(Range rows, Range columns, float* sums, int64_t stride) const {
    Matrix left{low.data + rows.begin * low.stride, low.stride};
    Matrix right{b.data + columns.begin * (b_side == Side::as_is ? 1 : b.stride), b.stride};
    product(rows.size(), columns.size(), rank, scale, left, Side::as_is, right, b_side, 1, sums, stride);
  }
};

} // namespace mlxffi
