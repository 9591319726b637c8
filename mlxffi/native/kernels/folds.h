// Reductions by kernels for two numbers each: blocks of a row are added to one another, or the rows of a matrix, and what
// is left is folded in halves. Rounding errors grow with the logarithm of the length, nearly.
#pragma once

#include <optional>

#include <mlx/array.h>
#include <mlx/primitives.h>

#include "elementwise_rows.h"
#include "fused.h"

namespace mlxffi {

// How two numbers become one, and the way of halves to float32 and back.
struct Fold {
  NumbersKernel kernel, widen, narrow;
  // The bytes of a number as it is stored, and as it is computed with.
  int stored, wide;

  // The fold of a reduction; none where there are no kernels for it.
  static std::optional<Fold> of(const mx::Reduce& reduce, mx::Dtype from, mx::Dtype to);
  static std::optional<Fold> by(Operation operation, mx::Dtype dtype);

  // Folds the numbers of `data` [outer, length, inner] along the middle axis to `out` [outer, inner].
  void run(const char* data, int64_t outer, int64_t length, int64_t inner, char* out) const;

  // The fold of numbers that lie side by side, as one that is computed with.
  void fold_row(const char* data, int64_t length, char* out) const;

 private:
  void fold_columns(const char* data, int64_t rows, int64_t stride, int64_t columns, char* out) const;
  Fold of_wide() const;
};

// The place of the largest or smallest number of each row, the first of equals; that of the first NaN, where there is one.
struct FoldToPlace {
  Fold fold;
  NumbersKernel equal;

  static std::optional<FoldToPlace> of(const mx::ArgReduce& reduce, mx::Dtype from);
  uint32_t place(const char* row, int64_t length) const;
  // The same along the last axis, on the stream; false where rows are not what is asked for, or their numbers lie apart.
  bool run(int axis, const mx::array& a, mx::array& out, mx::Stream s) const;
};

// Reduces on the stream; false where the numbers lie otherwise than the fold takes them.
bool fold(const Fold& fold, const std::vector<int>& axes, const mx::array& a, mx::array& out, mx::Stream s);

} // namespace mlxffi
