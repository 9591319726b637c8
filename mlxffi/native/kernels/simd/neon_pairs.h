// Products of bfloat16 matrices by BFMMLA, which adds to 2 x 2 float32 numbers the products of two rows and two columns of
// four numbers each. A panel has, for each four terms, those of each column side by side.
#pragma once

#include "../product_rows.h"
#include "unrolled.h"

namespace mlxffi {
namespace {

constexpr int quad = 4, tile_columns = 8;

void pack_columns(RowBlock columns, int64_t terms, uint32_t* panel) {
  auto from = static_cast<const uint16_t*>(columns.data);
  auto to = reinterpret_cast<uint16_t*>(panel);
  for (int64_t term = 0; term < terms; term += quad) {
    int64_t count = terms - term < quad ? terms - term : quad;
    for (int64_t column = 0; column < pair_columns; column++, to += quad) {
      uint64_t four = 0;
      if (column < columns.count) {
        std::memcpy(&four, from + column * columns.stride + term, count * sizeof(uint16_t));
      }
      std::memcpy(to, &four, sizeof(four));
    }
  }
}

void pack_rows(RowBlock rows, int64_t columns, uint32_t* panel) {
  auto from = static_cast<const uint16_t*>(rows.data);
  auto to = reinterpret_cast<uint16_t*>(panel);
  for (int64_t term = 0; term < rows.count; term += quad) {
    for (int64_t column = 0; column < pair_columns; column += tile_columns, to += quad * tile_columns) {
      int64_t count = columns - column < 0 ? 0 : columns - column < tile_columns ? columns - column : tile_columns;
      uint16x8x4_t four{};
      for (int i = 0; i < quad && term + i < rows.count; i++) {
        std::memcpy(&four.val[i], from + (term + i) * rows.stride + column, count * sizeof(uint16_t));
      }
      vst4q_u16(to, four);
    }
  }
}

// Sums of `pairs` pairs of rows with the eight columns at `panel`.
template <int pairs>
struct QuadTile {
  const uint16_t* a;
  int64_t stride;
  const uint16_t* panel;
  float32x4_t sums[pairs][quad] = {};

  // Of the next four terms the first `count`; in the last pair of rows the second may be missing.
  inline void add(int64_t term, size_t count, bool odd) {
    uint16x8_t right[quad];
    MLXFFI_UNROLLED for (int j = 0; j < quad; j++) {
      right[j] = vld1q_u16(panel + term * pair_columns + j * 2 * quad);
    }
    MLXFFI_UNROLLED for (int i = 0; i < pairs; i++) {
      uint64_t rows[2] = {};
      std::memcpy(&rows[0], a + 2 * i * stride + term, count * sizeof(uint16_t));
      std::memcpy(&rows[1], a + (2 * i + !odd) * stride + term, count * sizeof(uint16_t));
      auto left = vreinterpretq_bf16_u64(vld1q_u64(rows));
      MLXFFI_UNROLLED for (int j = 0; j < quad; j++) {
        sums[i][j] = vbfmmlaq_f32(sums[i][j], left, vreinterpretq_bf16_u16(right[j]));
      }
    }
  }
  inline void put(float* out, int64_t out_stride, bool added, bool odd) const {
    MLXFFI_UNROLLED for (int i = 0; i < 2 * pairs; i++) {
      if (odd && i + 1 == 2 * pairs) {
        return;
      }
      MLXFFI_UNROLLED for (int j = 0; j < quad; j += 2) {
        auto &one = sums[i / 2][j], &two = sums[i / 2][j + 1];
        auto row = i % 2 ? vcombine_f32(vget_high_f32(one), vget_high_f32(two)) : vcombine_f32(vget_low_f32(one), vget_low_f32(two));
        float* to = out + i * out_stride + 2 * j;
        vst1q_f32(to, added ? vaddq_f32(vld1q_f32(to), row) : row);
      }
    }
  }
};

template <int pairs>
void quad_tile(const uint16_t* a, int64_t stride, const uint16_t* panel, int64_t terms, float* out, int64_t out_stride, bool add, bool odd) {
  QuadTile<pairs> tile{a, stride, panel};
  int64_t term = 0;
  for (; term + quad <= terms; term += quad) {
    tile.add(term, quad, odd);
  }
  if (term < terms) {
    tile.add(term, 2, odd);
  }
  tile.put(out, out_stride, add, odd);
}

void multiply_pairs(RowBlock a, const uint32_t* panel, int64_t pairs, float* out, int64_t out_stride, bool add) {
  for (int64_t column = 0; column < pair_columns; column += tile_columns) {
    auto right = reinterpret_cast<const uint16_t*>(panel) + column * quad;
    auto left = static_cast<const uint16_t*>(a.data);
    float* to = out + column;
    int64_t row = 0;
    for (; row + 8 <= a.count; row += 8) {
      quad_tile<4>(left + row * a.stride, a.stride, right, 2 * pairs, to + row * out_stride, out_stride, add, false);
    }
    for (; row < a.count; row += 2) {
      quad_tile<1>(left + row * a.stride, a.stride, right, 2 * pairs, to + row * out_stride, out_stride, add, row + 1 == a.count);
    }
  }
}

} // namespace
} // namespace mlxffi
