// Dot products of rows of whole numbers of 8 bits with rows of codes, which are never unpacked.
#pragma once

#include "int8_rows.h"
#include "packed.h"

namespace mlxffi {
namespace {

// The first `count` numbers, and 0 behind them.
MLXFFI_INLINE GroupLanes some_of(const float* from, int64_t count) {
  if (count >= group_lanes) {
    return read_as<GroupLanes>(from);
  }
#if defined(__x86_64__)
  alignas(64) static constexpr int32_t first[2 * group_lanes] = {-1, -1, -1, -1, -1, -1, -1, -1};
  return bits_as<GroupLanes>(_mm256_maskload_ps(from, read_as<__m256i>(first + group_lanes - count)));
#else
  GroupLanes result = {};
  for (int64_t i = 0; i < count; i++) {
    result[i] = from[i];
  }
  return result;
#endif
}

// The products of a vector of codes, a sum for each four bytes.
template <int width, int rows>
MLXFFI_INLINE void multiply_block(const uint8_t* codes, const int8_t* x, int64_t stride, ByteProducts<width> (&products)[rows]) {
  constexpr uint16_t lowest[] = {0, 0x0101, 0x0303, 0, 0x0f0f, 0, 0, 0, 0xffff};
  auto pairs = read_as<VectorOf<uint16_t, byte_lanes>::Type>(codes);
  MLXFFI_UNROLLED for (int place = 0; place < places_of_byte<width>; place++) {
    auto some = bits_as<Octets>((pairs >> static_cast<uint16_t>(place * width)) & lowest[width]);
    MLXFFI_UNROLLED for (int j = 0; j < rows; j++) {
      products[j].add(some, read_as<Octets>(x + j * stride + place * byte_lanes));
    }
  }
}

// What is kept of rows, which are `stride` bytes apart, while some groups of a row of codes are read.
template <int rows>
struct Int8Sums {
  GroupLanes sums[rows];
  float factors[rows][group_lanes];

  // Begins with what is known of the groups, and keeps what their products are multiplied by.
  MLXFFI_INLINE Int8Sums(const RoundedGroups* x, int64_t stride, GroupLanes scales, GroupLanes biases) {
    MLXFFI_UNROLLED for (int j = 0; j < rows; j++) {
      auto& groups = *reinterpret_cast<const RoundedGroups*>(reinterpret_cast<const char*>(x) + j * stride);
      auto by_scale = scales * read_as<GroupLanes>(groups.steps);
      __builtin_memcpy(factors[j], &by_scale, sizeof(by_scale));
      sums[j] = scales * read_as<GroupLanes>(groups.rests) + biases * read_as<GroupLanes>(groups.sums);
    }
  }
  template <int width, int parts>
  MLXFFI_INLINE void add(const uint8_t* codes, const int8_t* x, int64_t stride, int64_t group) {
    ByteProducts<width> products[rows] = {};
    multiply_block<width, rows>(codes, x, stride, products);
    MLXFFI_UNROLLED for (int j = 0; j < rows; j++) {
      sums[j] += __builtin_convertvector(products[j].total(), GroupLanes) * of_groups<parts, byte_lanes>(factors[j] + group);
    }
  }
};

// One row of codes, a vector of which belongs to `parts` groups.
template <int width, int parts, int rows>
MLXFFI_INLINE void int8_row(const float* x, int64_t stride, PackedGroups b, float* out, int64_t out_stride) {
  GroupLanes totals[rows] = {};
  int shift = __builtin_ctzll(b.group_size);  // groups are of 32, 64 or 128
  auto numbers = reinterpret_cast<const int8_t*>(x);
  auto known = groups_behind(x, b.groups << shift);
  for (int64_t group = 0; group < b.groups; group += group_lanes, known++) {
    int64_t count = b.groups - group < group_lanes ? b.groups - group : group_lanes;
    Int8Sums<rows> some(known, stride, some_of(b.scales + group, count), some_of(b.biases + group, count));
    for (int64_t i = 0; i < count << shift; i += int8_block<width>, b.codes += byte_lanes, numbers += int8_block<width>) {
      some.template add<width, parts>(b.codes, numbers, stride, i >> shift);
    }
    MLXFFI_UNROLLED for (int j = 0; j < rows; j++) {
      totals[j] += some.sums[j];
    }
  }
  MLXFFI_UNROLLED for (int j = 0; j < rows; j++) {
    out[j * out_stride] = total<byte_lanes>(totals[j]);
  }
}

template <int width, int parts, int rows>
void int8_rows(RowBlock x, PackedGroups b, int64_t count, float* out, int64_t out_stride) {
  for (int64_t j = 0; j < count; j++) {
    int8_row<width, parts, rows>(static_cast<const float*>(x.data), x.stride * sizeof(float), b, out + j, out_stride);
    b.codes += b.groups * b.group_size * width / 8;
    b.scales += b.groups;
    b.biases += b.groups;
  }
}

template <int width, int parts>
void int8_blocks(RowBlock x, PackedGroups b, int64_t count, float* out, int64_t out_stride) {
  static_assert(most_split_rows == 4);
  constexpr PackedDots of_rows[] = {int8_rows<width, parts, 1>, int8_rows<width, parts, 2>, int8_rows<width, parts, 3>, int8_rows<width, parts, 4>};
  of_rows[x.count - 1](x, b, count, out, out_stride);
}

template <int width>
void int8_dots(RowBlock x, PackedGroups b, int64_t count, float* out, int64_t out_stride) {
  constexpr PackedDots by_parts[] = {
      int8_blocks<width, 1>, int8_blocks<width, 2>, int8_blocks<width, 4>, int8_blocks<width, group_lanes < 8 ? 4 : 8>};
  int parts = 0;
  for (int64_t size = b.group_size; size < int8_block<width>; size *= 2) {
    parts++;
  }
  by_parts[parts](x, b, count, out, out_stride);
}

template <int width>
inline constexpr SplitKernels of_int8{int8_block<width>, int8_size, split_int8<width>, int8_dots<width>};
inline constexpr ByWidth int8_kernels{{of_int8<1>, of_int8<2>, {}, of_int8<4>, {}, {}, {}, of_int8<8>}};

} // namespace
} // namespace mlxffi
