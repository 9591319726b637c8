// The rows of an array of floats, as float32.
#pragma once

#include <memory>

#include "aligned.h"
#include "row_access.h"

namespace mlxffi {

// The rows of an array as float32, side by side: its own memory where they are that, and where a cache line begins if there
// are few.
class FloatRows {
 public:
  explicit FloatRows(const mx::array& array)
      : rows_(array), element_(element_of(array.dtype())) {
    bool usable = element_ == Element::float32 && array.flags().row_contiguous;
    own_ = usable && (AlignedFloats::aligned(array.data<float>()) || rows_.count() > most_copied) ? array.data<float>() : nullptr;
  }

  // Good until the next call.
  const float* data() {
    if (own_) {
      return own_;
    }
    auto to = copy_->get(rows_.count() * rows_.length());
    widen_rows(rows_, element_, [](int64_t row) { return row; }, rows_.count(), to);
    return to;
  }

 private:
  static constexpr int64_t most_copied = 128;

  RowsOf rows_;
  Element element_;
  const float* own_;
  std::shared_ptr<AlignedFloats> copy_ = std::make_shared<AlignedFloats>();
};

} // namespace mlxffi
