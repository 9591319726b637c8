// Reductions: a block of a row, or a few rows of a matrix, becomes one number each, and so do these in turn. Rounding errors
// grow with the logarithm of the length, nearly.
#pragma once

#include <optional>

#include <mlx/array.h>
#include <mlx/primitives.h>

#include "fold_rows.h"
#include "fused.h"

namespace mlxffi {

// How many numbers become one. Halves are computed with in float32.
struct Fold {
  RowFold row;
  NumbersKernel into, widen, narrow;
  // The bytes of a number as it is stored, and as it is computed with; the latter's type.
  int stored, wide;
  Operation operation;
  mx::Dtype computed;

  // The fold of a reduction; none where there are no kernels for it.
  static std::optional<Fold> of(const mx::Reduce& reduce, mx::Dtype from, mx::Dtype to);
  // Sums of halves, or of float32 numbers, that stay float32.
  static Fold wide_sums(mx::Dtype from);

  // Folds the numbers of `data` [outer, length, inner] along the middle axis to `out` [outer, inner].
  void run(const char* data, int64_t outer, int64_t length, int64_t inner, char* out) const;

 private:
  static std::optional<Fold> by(Operation operation, mx::Dtype from);
  void fold_row(const char* data, int64_t length, char* out) const;
  void fold_columns(const char* data, int64_t rows, int64_t stride, int64_t columns, char* out) const;
  Fold of_wide() const;
};

// Reduces on the stream; false where the numbers lie otherwise than the fold takes them.
bool fold(const Fold& fold, const std::vector<int>& axes, const mx::array& a, mx::array& out, mx::Stream s);

} // namespace mlxffi
