#include "attention_panels.h"

#include <algorithm>

namespace mlxffi {

void HeadPanels::prepare(int64_t head, RowBlock positions, int64_t features, int64_t count) {
  if (head != head_) {
    head_ = head;
    made_ = 0;
    pairs_ = features / 2;
    panel_size_ = (pairs_ + pairs_ % 2) * pair_columns;
    panels_ = reinterpret_cast<uint32_t*>(memory_.get(pitch(positions.count) / pair_columns * panel_size_));
  }
  auto data = static_cast<const uint16_t*>(positions.data);
  for (; made_ < count; made_ += pair_columns) {
    int64_t columns = std::min(pair_columns, positions.count - made_);
    auto panel = panels_ + made_ / pair_columns * panel_size_;
    row_kernels().products.pairs.pack_columns({data + made_ * positions.stride, positions.stride, columns}, features, panel);
  }
}

void HeadPanels::multiply(RowBlock rows, int64_t count, float* out, int64_t stride) const {
  for (int64_t first = 0; first < count; first += pair_columns) {
    auto panel = panels_ + first / pair_columns * panel_size_;
    row_kernels().products.pairs.multiply(rows, panel, pairs_, out + first, stride, false);
  }
}

} // namespace mlxffi
