// The right factor of a product of a few rows.
#pragma once

#include "float_rows.h"

namespace mlxffi {

// A matrix (terms, columns) of any strides: by its columns where these lie side by side, else by its rows.
class RightMatrix {
 public:
  // Of an array (terms, columns), or (columns, terms) where it is `turned`.
  explicit RightMatrix(const mx::array& b, bool turned = false)
      : terms_(b.shape(turned)),
        columns_(b.shape(!turned)),
        element_(element_of(b.dtype())),
        by_columns_(b.strides()[turned] == 1 && (b.strides()[!turned] != 1 || columns_ == 1)),
        stride_(b.strides()[by_columns_ ? !turned : turned]),
        data_(b.data<char>()) {
    if (!by_columns_ && b.strides()[!turned] != 1) {
      rows_ = FloatRows(b);
      by_columns_ = turned;
    }
  }
  // To be called before multiply.
  void prepare() {
    if (rows_) {
      data_ = reinterpret_cast<const char*>(rows_->data());
      element_ = Element::float32;
      stride_ = by_columns_ ? terms_ : columns_;
    }
  }
  int64_t terms() const {
    return terms_;
  }
  int64_t columns() const {
    return columns_;
  }
  // Some columns of the product with rows of float32.
  void multiply(const float* a, int64_t rows, int64_t first, int64_t count, float* out, int64_t out_stride) const {
    auto& kernels = row_kernels().products;
    int element = static_cast<int>(element_);
    const char* from = data_ + first * (by_columns_ ? stride_ : 1) * (element_ == Element::float32 ? 4 : 2);
    RowBlock left{a, terms_, rows};
    if (by_columns_) {
      kernels.dots[element](left, {from, stride_, count}, terms_, out, out_stride);
    } else {
      kernels.combine[element](left, {from, stride_, terms_}, count, out, out_stride, false);
    }
  }

 private:
  int64_t terms_, columns_;
  Element element_;
  bool by_columns_;
  int64_t stride_;
  const char* data_;
  std::optional<FloatRows> rows_;
};

} // namespace mlxffi
