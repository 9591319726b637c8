// Sums of a few rows' multiples of many rows: what a product with a matrix as it lies in memory is, for few rows.
#pragma once

#include "dots.h"

namespace mlxffi {
namespace {

// The columns of `vectors` vectors, or the first `count` of one.
template <class E, int rows, int vectors>
void combine_tile(RowBlock a, RowBlock b, int count, float* out, int64_t out_stride, bool add) {
  auto left = static_cast<const float*>(a.data);
  auto right = static_cast<const typename E::Stored*>(b.data);
  Vector<float> sums[rows][vectors] = {};
  for (int64_t k = 0; k < b.count; k++, right += b.stride) {
    MLXFFI_UNROLLED for (int j = 0; j < vectors; j++) {
      auto values = load_or_0<E>(right + j * lanes<float>, count);
      MLXFFI_UNROLLED for (int i = 0; i < rows; i++) {
        sums[i][j] += all(left[i * a.stride + k]) * values;
      }
    }
  }
  MLXFFI_UNROLLED for (int i = 0; i < rows; i++) {
    MLXFFI_UNROLLED for (int j = 0; j < vectors; j++) {
      float* to = out + i * out_stride + j * lanes<float>;
      store<Float32>(to, add ? load_or_0<Float32>(to, count) + sums[i][j] : sums[i][j], count);
    }
  }
}

template <class E, int rows>
void combine_rows(RowBlock a, RowBlock b, int64_t size, float* out, int64_t out_stride, bool add) {
  constexpr int vectors = rows == 1 ? 8 : 4, width = vectors * lanes<float>;
  auto from = [&](int64_t column) { return RowBlock{static_cast<const typename E::Stored*>(b.data) + column, b.stride, b.count}; };
  int64_t j = 0;
  for (; j + width <= size; j += width) {
    combine_tile<E, rows, vectors>(a, from(j), lanes<float>, out + j, out_stride, add);
  }
  for (; j < size; j += lanes<float>) {
    int count = size - j < lanes<float> ? static_cast<int>(size - j) : lanes<float>;
    combine_tile<E, rows, 1>(a, from(j), count, out + j, out_stride, add);
  }
}

template <class E>
void combine_block(RowBlock a, RowBlock b, int64_t size, float* out, int64_t out_stride, bool add) {
  auto left = static_cast<const float*>(a.data);
  int64_t i = 0;
  for (; i + 4 <= a.count; i += 4) {
    combine_rows<E, 4>({left + i * a.stride, a.stride, 4}, b, size, out + i * out_stride, out_stride, add);
  }
  for (; i < a.count; i++) {
    combine_rows<E, 1>({left + i * a.stride, a.stride, 1}, b, size, out + i * out_stride, out_stride, add);
  }
}

// Long sums by parts, lest rounding grow with their length.
template <class E>
void combine(RowBlock a, RowBlock b, int64_t size, float* out, int64_t out_stride, bool add) {
  constexpr int64_t step = 256;
  auto left = static_cast<const float*>(a.data);
  auto right = static_cast<const typename E::Stored*>(b.data);
  for (int64_t k = 0; k < b.count; k += step) {
    int64_t count = b.count - k < step ? b.count - k : step;
    combine_block<E>({left + k, a.stride, a.count}, {right + k * b.stride, b.stride, count}, size, out, out_stride, add || k);
  }
}

} // namespace
} // namespace mlxffi
