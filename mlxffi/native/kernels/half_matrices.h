// Matrices of float16 or bfloat16 numbers as products read them.
#pragma once

#include <memory>

#include "pair_product.h"
#include "row_access.h"

namespace mlxffi {

// Memory that nobody needs to be 0.
using Floats = std::unique_ptr<float[]>;
using HalfCopy = std::unique_ptr<uint16_t[]>;

// The matrices of an array (..., rows, columns).
class HalfMatrices {
 public:
  explicit HalfMatrices(const mx::array& array);

  int64_t count() const {
    return places_.size();
  }
  int64_t rows() const {
    return rows_;
  }
  int64_t columns() const {
    return columns_;
  }
  bool is_bfloat16() const {
    return element_ == Element::bfloat16;
  }
  HalfMatrices transposed() const {
    auto result = *this;
    std::swap(result.rows_, result.columns_);
    std::swap(result.row_stride_, result.stride_);
    return result;
  }
  // Some rows of the first matrix.
  HalfMatrices rows(int64_t begin, int64_t end) const {
    auto result = *this;
    result.data_ += begin * row_stride_;
    result.rows_ = end - begin;
    return result;
  }
  // How a matrix comes out of widened() and lines(): its columns as rows where only these lie side by side.
  Side side() const {
    return stride_ != 1 && row_stride_ == 1 ? Side::transposed : Side::as_is;
  }
  // Lines (rows, or columns as rows) `begin` to `end` of one matrix in float32, side by side.
  void widen(int64_t index, int64_t begin, int64_t end, float* to) const;
  // All of one matrix.
  Floats widened(int64_t index) const;
  // One matrix as it is, with rows whose numbers can be read in pairs; in `copy` where it is not so in memory.
  HalfMatrix in_pairs(int64_t index, HalfCopy& copy) const;
  // All lines of one matrix, in `copy` where these do not lie side by side.
  HalfMatrix lines(int64_t index, HalfCopy& copy) const;

 private:
  const uint16_t* numbers(int64_t index) const {
    return data_ + places_[index];
  }
  HalfMatrix copied(int64_t index, int64_t pitch, HalfCopy& copy) const;

  Places places_;
  Element element_;
  const uint16_t* data_;
  int64_t rows_, columns_, row_stride_, stride_;
};

// Gives the product of one matrix of each to `put`, part by part, as pair_product does.
void half_product(const HalfMatrices& a, int64_t of_a, const HalfMatrices& b, int64_t of_b, const PutSums& put);

} // namespace mlxffi
