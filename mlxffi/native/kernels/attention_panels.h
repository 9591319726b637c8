// The positions of a head as panels of pairs of bfloat16 numbers, by which rows are multiplied with all of them.
#pragma once

#include "aligned.h"
#include "pair_product.h"
#include "rows.h"

namespace mlxffi {

class HeadPanels {
 public:
  // Makes panels of the first `count` of a head's positions, as far as it has none yet. They have an even number of features.
  void prepare(int64_t head, RowBlock positions, int64_t features, int64_t count);
  // out[i * stride + j] becomes the dot product of row i and position j, for `count` positions and the rest of their last panel.
  void multiply(RowBlock rows, int64_t count, float* out, int64_t stride) const;
  // Numbers between rows of products with so many positions.
  static int64_t pitch(int64_t count) {
    return (count + pair_columns - 1) / pair_columns * pair_columns;
  }

 private:
  AlignedFloats memory_;
  uint32_t* panels_ = nullptr;
  int64_t head_ = -1, made_ = 0, pairs_ = 0, panel_size_ = 0;
};

} // namespace mlxffi
