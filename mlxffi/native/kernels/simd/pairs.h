// Products of bfloat16 matrices by VDPBF16PS, which adds to a float32 the products of two pairs of numbers.
#pragma once

#include "../product_rows.h"
#include "unrolled.h"

namespace mlxffi {
namespace {

constexpr int words = 16;
static_assert(pair_columns == 2 * words);

inline __mmask16 first_words(int64_t count) {
  return count >= words ? 0xffff : count <= 0 ? 0 : (1u << count) - 1;
}

// 16 rows of 16 words, turned into the columns of what these are.
inline void transpose(__m512i (&rows)[words]) {
  __m512i pairs[words], fours[words];
  for (int i = 0; i < words; i += 2) {
    pairs[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < words; i += 4) {
    for (int j = 0; j < 2; j++) {
      fours[i + 2 * j] = _mm512_unpacklo_epi64(pairs[i + j], pairs[i + 2 + j]);
      fours[i + 2 * j + 1] = _mm512_unpackhi_epi64(pairs[i + j], pairs[i + 2 + j]);
    }
  }
  // fours[4 i + j]: of rows 4 i to 4 i + 3 the columns j, j + 4, j + 8 and j + 12, in lanes of 128 bits.
  for (int j = 0; j < 4; j++) {
    auto low = _mm512_shuffle_i32x4(fours[j], fours[4 + j], 0x88), high = _mm512_shuffle_i32x4(fours[8 + j], fours[12 + j], 0x88);
    auto odd_low = _mm512_shuffle_i32x4(fours[j], fours[4 + j], 0xdd), odd_high = _mm512_shuffle_i32x4(fours[8 + j], fours[12 + j], 0xdd);
    rows[j] = _mm512_shuffle_i32x4(low, high, 0x88);
    rows[j + 8] = _mm512_shuffle_i32x4(low, high, 0xdd);
    rows[j + 4] = _mm512_shuffle_i32x4(odd_low, odd_high, 0x88);
    rows[j + 12] = _mm512_shuffle_i32x4(odd_low, odd_high, 0xdd);
  }
}

// Columns that lie as rows: `first` to `first` + 16 of them, all terms.
inline void pack_sixteen(RowBlock columns, int64_t first, int64_t terms, uint32_t* out) {
  auto from = static_cast<const uint16_t*>(columns.data) + first * columns.stride;
  for (int64_t at = 0; at < terms; at += 2 * words) {
    int64_t left = terms - at;
    __mmask32 some = left >= 2 * words ? 0xffffffffu : (1u << left) - 1;
    __m512i rows[words];
    for (int i = 0; i < words; i++) {
      rows[i] = first + i < columns.count ? _mm512_maskz_loadu_epi16(some, from + i * columns.stride + at) : _mm512_setzero_si512();
    }
    transpose(rows);
    for (int i = 0; i < words && 2 * i < left; i++) {
      _mm512_store_si512(out + (at / 2 + i) * pair_columns + first, rows[i]);
    }
  }
}

void pack_columns(RowBlock columns, int64_t terms, uint32_t* out) {
  pack_sixteen(columns, 0, terms, out);
  pack_sixteen(columns, words, terms, out);
}

void pack_rows(RowBlock rows, int64_t columns, uint32_t* out) {
  auto from = static_cast<const uint16_t*>(rows.data);
  for (int64_t term = 0; term < rows.count; term += 2, out += pair_columns) {
    for (int part = 0; part < 2; part++) {
      auto some = first_words(columns - part * words);
      auto load = [&](int64_t row) {
        return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(some, from + row * rows.stride + part * words));
      };
      auto second = term + 1 < rows.count ? _mm512_slli_epi32(load(term + 1), 16) : _mm512_setzero_si512();
      _mm512_store_si512(out + part * words, _mm512_or_si512(load(term), second));
    }
  }
}

inline __m512 add_pairs(__m512 sums, __m512i a, __m512i b) {
  return _mm512_dpbf16_ps(sums, (__m512bh)a, (__m512bh)b);
}

// The products of a few rows with a panel.
template <int rows>
void pair_tile(const uint16_t* a, int64_t stride, const uint32_t* panel, int64_t pairs, float* out, int64_t out_stride, bool add) {
  __m512 sums[rows][2];
  MLXFFI_UNROLLED for (int i = 0; i < rows; i++) {
    sums[i][0] = add ? _mm512_loadu_ps(out + i * out_stride) : _mm512_setzero_ps();
    sums[i][1] = add ? _mm512_loadu_ps(out + i * out_stride + words) : _mm512_setzero_ps();
  }
  for (int64_t k = 0; k < pairs; k++, panel += pair_columns) {
    auto left = _mm512_load_si512(panel), right = _mm512_load_si512(panel + words);
    MLXFFI_UNROLLED for (int i = 0; i < rows; i++) {
      int pair;
      __builtin_memcpy(&pair, a + i * stride + 2 * k, sizeof(pair));
      auto all = _mm512_set1_epi32(pair);
      sums[i][0] = add_pairs(sums[i][0], all, left);
      sums[i][1] = add_pairs(sums[i][1], all, right);
    }
  }
  MLXFFI_UNROLLED for (int i = 0; i < rows; i++) {
    _mm512_storeu_ps(out + i * out_stride, sums[i][0]);
    _mm512_storeu_ps(out + i * out_stride + words, sums[i][1]);
  }
}

template <int rows>
void pair_tiles(RowBlock a, int64_t& at, const uint32_t* panel, int64_t pairs, float* out, int64_t out_stride, bool add) {
  auto from = static_cast<const uint16_t*>(a.data);
  for (; at + rows <= a.count; at += rows) {
    pair_tile<rows>(from + at * a.stride, a.stride, panel, pairs, out + at * out_stride, out_stride, add);
  }
}

void multiply_pairs(RowBlock a, const uint32_t* panel, int64_t pairs, float* out, int64_t out_stride, bool add) {
  int64_t at = 0;
  pair_tiles<12>(a, at, panel, pairs, out, out_stride, add);
  pair_tiles<4>(a, at, panel, pairs, out, out_stride, add);
  pair_tiles<1>(a, at, panel, pairs, out, out_stride, add);
}

} // namespace
} // namespace mlxffi
