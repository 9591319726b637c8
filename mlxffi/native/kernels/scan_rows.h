// Running results of rows, each made of the one before: a few rows at a time, as each result waits for the last.
#pragma once

#include <cstdint>

#include <mlx/primitives.h>

#include "rows.h"
#include "simd/unrolled.h"

namespace mlxffi {

namespace mx = mlx::core;

inline constexpr int64_t rows_at_once = 4;

// Integers are added and multiplied without a sign: they wrap around.
struct RunningSum {
  template <class T>
  static T of(T before, T number) {
    return static_cast<T>(before + number);
  }
};
struct RunningProduct {
  template <class T>
  static T of(T before, T number) {
    // Short integers would become signed ones.
    return static_cast<T>(1u * before * number);
  }
};
// A NaN stays, as in MLX.
struct RunningMaximum {
  template <class T>
  static T of(T before, T number) {
    return before > number || before != before ? before : number;
  }
};
struct RunningMinimum {
  template <class T>
  static T of(T before, T number) {
    return before < number || before != before ? before : number;
  }
};

template <class F, class T, int64_t rows>
void scan_side_by_side(const T* from, T* to, int64_t length, bool reverse) {
  int64_t step = reverse ? -1 : 1, place = reverse ? length - 1 : 0;
  T running[rows];
  MLXFFI_UNROLLED
  for (int64_t row = 0; row < rows; row++) {
    to[row * length + place] = running[row] = from[row * length + place];
  }
  for (int64_t left = length - 1; left > 0; left--) {
    place += step;
    MLXFFI_UNROLLED
    for (int64_t row = 0; row < rows; row++) {
      to[row * length + place] = running[row] = F::of(running[row], from[row * length + place]);
    }
  }
}

template <class F, class T>
void scan_rows(const char* from, char* to, int64_t rows, int64_t length, bool reverse) {
  auto numbers = reinterpret_cast<const T*>(from);
  auto results = reinterpret_cast<T*>(to);
  if (rows == rows_at_once) {
    scan_side_by_side<F, T, rows_at_once>(numbers, results, length, reverse);
    return;
  }
  for (int64_t row = 0; row < rows; row++) {
    scan_side_by_side<F, T, 1>(numbers + row * length, results + row * length, length, reverse);
  }
}

// NULL where numbers of a type have no arithmetic of their own.
template <class F>
ScanRows scan_numbers_of(mx::Dtype dtype) {
  switch (dtype.val()) {
    case mx::Dtype::Val::uint8:
      return scan_rows<F, uint8_t>;
    case mx::Dtype::Val::uint16:
      return scan_rows<F, uint16_t>;
    case mx::Dtype::Val::uint32:
      return scan_rows<F, uint32_t>;
    case mx::Dtype::Val::uint64:
      return scan_rows<F, uint64_t>;
    case mx::Dtype::Val::int8:
      return scan_rows<F, int8_t>;
    case mx::Dtype::Val::int16:
      return scan_rows<F, int16_t>;
    case mx::Dtype::Val::int32:
      return scan_rows<F, int32_t>;
    case mx::Dtype::Val::int64:
      return scan_rows<F, int64_t>;
    case mx::Dtype::Val::float32:
      return scan_rows<F, float>;
    case mx::Dtype::Val::float64:
      return scan_rows<F, double>;
    default:
      return nullptr;
  }
}

// Halves are compared as they are; sums of them are made in float32.
template <class F>
ScanRows scan_extremes_of(mx::Dtype dtype) {
  return dtype == mx::float16 ? scan_rows<F, mx::float16_t> : dtype == mx::bfloat16 ? scan_rows<F, mx::bfloat16_t> : scan_numbers_of<F>(dtype);
}

inline mx::Dtype without_sign(mx::Dtype dtype) {
  if (!mx::issubdtype(dtype, mx::signedinteger)) {
    return dtype;
  }
  return dtype.size() == 1 ? mx::uint8 : dtype.size() == 2 ? mx::uint16 : dtype.size() == 4 ? mx::uint32 : mx::uint64;
}

inline ScanRows scan_rows_of(mx::Scan::ReduceType kind, mx::Dtype dtype) {
  switch (kind) {
    case mx::Scan::Sum:
      return scan_numbers_of<RunningSum>(without_sign(dtype));
    case mx::Scan::Prod:
      return scan_numbers_of<RunningProduct>(without_sign(dtype));
    case mx::Scan::Max:
      return scan_extremes_of<RunningMaximum>(dtype);
    case mx::Scan::Min:
      return scan_extremes_of<RunningMinimum>(dtype);
    default:
      return dtype == mx::float32 ? row_kernels().folds.log_sums : nullptr;
  }
}

} // namespace mlxffi
