#include "attention_query.h"

#include <algorithm>

namespace mlxffi {

void SharedHeads::attend(RowBlock q, float* scores, float* out, SoftmaxRow* rows) const {
  auto& kernels = row_kernels();
  auto kind = static_cast<int>(element);
  int64_t seen = keys.count;
  kernels.products.dots[kind](q, keys, features, scores, seen);
  for (int64_t head = 0; head < q.count; head++) {
    float* row = scores + head * seen;
    std::transform(row, row + seen, row, [&](float score) { return score * scale; });
    rows[head] = kernels.layers.softmax(row, seen);
    float share = 1 / rows[head].sum;
    std::transform(row, row + seen, row, [&](float weight) { return weight * share; });
  }
  kernels.products.combine[kind]({scores, seen, q.count}, values, value_features, out, value_features, false);
}

} // namespace mlxffi
