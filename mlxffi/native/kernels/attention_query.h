// The attention of one query of the heads that share keys and values: these are read where they lie, once for all heads.
#pragma once

#include "rows.h"

namespace mlxffi {

// Scores that are worth a thread.
inline constexpr int64_t least_scores = 4096;

struct SharedHeads {
  RowBlock keys, values;
  Element element;
  int64_t features, value_features;
  float scale;

  // For q [heads, features] the results [heads, value_features]; `scores`: memory of [heads, keys]; `rows`: what became of
  // each head's scores.
  void attend(RowBlock q, float* scores, float* out, SoftmaxRow* rows) const;
};

} // namespace mlxffi
