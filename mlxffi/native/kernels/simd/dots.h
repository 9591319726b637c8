// Dot products of a few rows with many: as fast as memory gives the many.
#pragma once

#include "../product_rows.h"
#include "loops.h"

namespace mlxffi {
namespace {

// The lanes of a vector, folded by what takes two of them: halves of it first.
template <int bytes, class Fold>
MLXFFI_INLINE float folded(typename VectorOf<float, bytes>::Type values, Fold fold) {
  if constexpr (bytes == 8) {
    return fold(values[0], values[1]);
  } else {
    using Part = typename VectorOf<float, bytes / 2>::Type;
    struct Parts {
      Part low, high;
    };
    auto parts = bits_as<Parts>(values);
    return folded<bytes / 2>(fold(parts.low, parts.high), fold);
  }
}

template <int bytes>
MLXFFI_INLINE float total(typename VectorOf<float, bytes>::Type values) {
  return folded<bytes>(values, [](auto a, auto b) MLXFFI_INLINED { return a + b; });
}

// A vector of a row's elements, or its last `count` ones with 0 behind them.
template <class E>
MLXFFI_INLINE Vector<float> load_or_0(const typename E::Stored* from, int count) {
  if (count == lanes<float>) {
    return E::load(from);
  }
#if defined(__x86_64__) && MLXFFI_VECTOR_BYTES == 64
  uint32_t some = (1u << count) - 1;
  if constexpr (sizeof(*from) == 4) {
    return bits_as<Vector<float>>(_mm512_maskz_loadu_ps(some, from));
  }
  auto padded = _mm256_maskz_loadu_epi16(some, from);
  return E::load(reinterpret_cast<const typename E::Stored*>(&padded));
#else
  typename E::Stored padded[lanes<float>] = {};
  for (int i = 0; i < count && i < lanes<float>; i++) {
    padded[i] = from[i];
  }
  return E::load(padded);
#endif
}

template <class E, int rows, int columns>
MLXFFI_INLINE void add_products(
    const float* a, int64_t a_stride, const typename E::Stored* b, int64_t b_stride, int count, Vector<float> (&sums)[rows][columns]) {
  Vector<float> left[rows];
  MLXFFI_UNROLLED for (int i = 0; i < rows; i++) {
    left[i] = load_or_0<Float32>(a + i * a_stride, count);
  }
  MLXFFI_UNROLLED for (int j = 0; j < columns; j++) {
    auto right = load_or_0<E>(b + j * b_stride, count);
    MLXFFI_UNROLLED for (int i = 0; i < rows; i++) {
      sums[i][j] += left[i] * right;
    }
  }
}

template <class E, int rows, int columns>
void dot_tile(const float* a, int64_t a_stride, const typename E::Stored* b, int64_t b_stride, int64_t size, float* out, int64_t out_stride) {
  Vector<float> sums[rows][columns] = {};
  int64_t at = 0;
  for (; at + lanes<float> <= size; at += lanes<float>) {
    add_products<E>(a + at, a_stride, b + at, b_stride, lanes<float>, sums);
  }
  if (at < size) {
    add_products<E>(a + at, a_stride, b + at, b_stride, static_cast<int>(size - at), sums);
  }
  MLXFFI_UNROLLED for (int i = 0; i < rows; i++) {
    MLXFFI_UNROLLED for (int j = 0; j < columns; j++) {
      out[i * out_stride + j] = total<MLXFFI_VECTOR_BYTES>(sums[i][j]);
    }
  }
}

// One row by one: of b read in a single stream memory gives twice as much as of rows side by side.
template <class E>
float dot_row(const float* a, const typename E::Stored* b, int64_t size) {
  constexpr int step = 2 * lanes<float>;
  Vector<float> sums[2] = {};
  int64_t at = 0;
  for (; at + step <= size; at += step) {
    MLXFFI_UNROLLED for (int k = 0; k < 2; k++) {
      sums[k] += read_as<Vector<float>>(a + at + k * lanes<float>) * E::load(b + at + k * lanes<float>);
    }
  }
  for (; at < size; at += lanes<float>) {
    int count = size - at < lanes<float> ? static_cast<int>(size - at) : lanes<float>;
    sums[0] += load_or_0<Float32>(a + at, count) * load_or_0<E>(b + at, count);
  }
  return total<MLXFFI_VECTOR_BYTES>(sums[0] + sums[1]);
}

// Tiles of `rows` rows of a: by as many of b as registers hold the sums of, and those that are left one by one.
template <class E, int rows>
void dot_rows(RowBlock a, RowBlock b, int64_t size, float* out, int64_t out_stride) {
  constexpr int columns = 4;
  auto left = static_cast<const float*>(a.data);
  auto right = static_cast<const typename E::Stored*>(b.data);
  int64_t j = 0;
  for (; j + columns <= b.count; j += columns) {
    dot_tile<E, rows, columns>(left, a.stride, right + j * b.stride, b.stride, size, out + j, out_stride);
  }
  for (; j < b.count; j++) {
    dot_tile<E, rows, 1>(left, a.stride, right + j * b.stride, b.stride, size, out + j, out_stride);
  }
}

template <class E>
void dots(RowBlock a, RowBlock b, int64_t size, float* out, int64_t out_stride) {
  auto left = static_cast<const float*>(a.data);
  int64_t i = 0;
  for (; i + 4 <= a.count; i += 4) {
    dot_rows<E, 4>({left + i * a.stride, a.stride, 4}, b, size, out + i * out_stride, out_stride);
  }
  auto right = static_cast<const typename E::Stored*>(b.data);
  for (; i < a.count; i++) {
    for (int64_t j = 0; j < b.count; j++) {
      out[i * out_stride + j] = dot_row<E>(left + i * a.stride, right + j * b.stride, size);
    }
  }
}

} // namespace
} // namespace mlxffi
