// Dot products of a few rows with rows of packed numbers, which are unpacked into registers alone.
#pragma once

#include "dots.h"
#include "packed.h"

namespace mlxffi {
namespace {

template <class Number, int rows>
MLXFFI_INLINE void add_step(const Step<Number>& step, const Number& number, const float* x, int64_t stride, Vector<float> (&sums)[rows]) {
  MLXFFI_UNROLLED for (int part = 0; part < step_parts; part++) {
    auto values = number(step.words(part));
    MLXFFI_UNROLLED for (int i = 0; i < rows; i++) {
      sums[i] += read_as<Vector<float>>(x + i * stride + part * lanes<float>) * values;
    }
  }
}

// One row of packed numbers, of which nothing is read from `end` on. Steps are added up in turns, lest each wait for the
// one before.
template <class Number, int rows>
void packed_row(const float* x, int64_t stride, PackedGroups b, const uint8_t* end, float* out, int64_t out_stride) {
  Vector<float> sums[2][rows] = {};
  auto codes = b.codes;
  for (int64_t group = 0; group < b.groups; group++, x += b.group_size) {
    auto number = number_of<Number>(b, group);
    for (int64_t i = 0; i < b.group_size; i += 2 * step_codes, codes += 2 * step_bytes<Number>) {
      add_step<Number, rows>({codes, end}, number, x + i, stride, sums[0]);
      if (i + step_codes < b.group_size) {
        add_step<Number, rows>({codes + step_bytes<Number>, end}, number, x + i + step_codes, stride, sums[1]);
      } else {
        codes -= step_bytes<Number>;
      }
    }
  }
  MLXFFI_UNROLLED for (int i = 0; i < rows; i++) {
    out[i * out_stride] = total<MLXFFI_VECTOR_BYTES>(sums[0][i] + sums[1][i]);
  }
}

template <class Number, int rows>
void packed_rows(const float* x, int64_t stride, PackedGroups b, int64_t count, float* out, int64_t out_stride) {
  int64_t bytes = b.groups * b.group_size * Number::width / 8;
  auto end = b.codes + count * bytes;
  for (int64_t j = 0; j < count; j++) {
    packed_row<Number, rows>(x, stride, b, end, out + j, out_stride);
    b.codes += bytes;
    b.scales += b.groups;
    b.biases += b.biases ? b.groups : 0;
  }
}

template <class Number>
void packed_dots(RowBlock a, PackedGroups b, int64_t count, float* out, int64_t out_stride) {
  auto x = static_cast<const float*>(a.data);
  int64_t i = 0;
  for (; i + 4 <= a.count; i += 4) {
    packed_rows<Number, 4>(x + i * a.stride, a.stride, b, count, out + i * out_stride, out_stride);
  }
  for (; i < a.count; i++) {
    packed_rows<Number, 1>(x + i * a.stride, a.stride, b, count, out + i * out_stride, out_stride);
  }
}

} // namespace
} // namespace mlxffi
