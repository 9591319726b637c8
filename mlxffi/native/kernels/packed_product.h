// Products of float32 rows with packed matrices, of which never more than a panel is unpacked.
#pragma once

#include "low_rank.h"
#include "packing.h"

namespace mlxffi {

// Rows that one matrix multiplies.
struct Segment {
  int64_t matrix;
  Range rows;
};

// x w^T where the matrices are transposed, else x w.
struct PackedProduct {
  const PackedMatrices& w;
  bool transposed;
  // Rows side by side.
  const float* x;
  // Where row i of the products goes: `order[i]` rows from the start, or i without.
  char* out;
  mx::Dtype dtype;
  const int64_t* order;
  // Is added before rounding, where there is one.
  const LowRank* addend = nullptr;
  // Whether rows of x may be rounded to 8 bits.
  bool rounded = false;

  int64_t inner() const {
    return transposed ? w.columns() : w.rows();
  }
  int64_t outer() const {
    return transposed ? w.rows() : w.columns();
  }
  // Over all threads; the parts do not depend on how many these are.
  void run(const std::vector<Segment>& segments) const;

 private:
  void tile(const Segment& part, Range columns) const;
  void by_dots(const Segment& part, Range columns, float* sums) const;
  void by_panels(const Segment& part, Range columns, float* sums) const;
  void add_panel(const Segment& part, Range columns, Range inner, const float* panel, float* sums) const;
};

} // namespace mlxffi
