// Rows that are rounded to whole numbers of 8 bits, a group of packed weights at a time: x = step q + rest, where the step is
// the 127th part of the largest number of the group.
//
// A code c times the scale s of its group, plus the bias b, gives with such numbers s step sum(c q) + s sum(c rest) + b sum(x).
// In place of c, the rests are multiplied by the middle h of all codes: what is lost, s sum((c - h) rest), is the least then.
// So of a group all but sum(c q) is known beforehand.
#pragma once

#include "byte_products.h"
#include "dots.h"

namespace mlxffi {
namespace {

template <int width>
inline constexpr int places_of_byte = 8 / width;
// Codes of a vector. The lowest ones of its bytes are multiplied first, and the numbers stand in that order.
template <int width>
inline constexpr int64_t int8_block = byte_lanes * places_of_byte<width>;

constexpr int group_lanes = byte_lanes / 4;
using GroupLanes = VectorOf<float, byte_lanes>::Type;

// Of some groups: the steps, h sum(rest), and sum(x).
struct RoundedGroups {
  float steps[group_lanes], rests[group_lanes], sums[group_lanes];
};

// The floats that a row takes: its numbers, and its groups behind them.
inline int64_t int8_size(int64_t columns, int64_t group_size) {
  int64_t parts = (columns / group_size + group_lanes - 1) / group_lanes;
  return (columns + parts * sizeof(RoundedGroups)) / sizeof(float);
}
template <class Floats>
MLXFFI_INLINE auto groups_behind(Floats* numbers, int64_t columns) {
  using Groups = std::conditional_t<std::is_const_v<Floats>, const RoundedGroups, RoundedGroups>;
  return reinterpret_cast<Groups*>(numbers + columns / static_cast<int64_t>(sizeof(float)));
}

// The largest number of a group and the sum; returns whether products with them are well within the range of float32.
inline bool measure_group(const float* x, int64_t size, float& largest, float& sum) {
  GroupLanes most = {}, sums = {};
  for (int64_t i = 0; i < size; i += group_lanes) {
    auto numbers = read_as<GroupLanes>(x + i);
    most = larger(most, bits_as<GroupLanes>(bits_as<Wholes>(numbers) & 0x7fffffff));
    sums += numbers;
  }
  largest = folded<byte_lanes>(most, [](auto a, auto b) MLXFFI_INLINED { return larger(a, b); });
  sum = total<byte_lanes>(sums);  // NaN where there is one, or infinities of both signs
  bool known = sum < 0x1p100f && sum > -0x1p100f;
  return known && (largest == 0 || (largest > 0x1p-60f && largest < 0x1p100f));
}

// Rounds to the nearest; returns the sum.
inline float round_group(const float* x, int64_t size, float inverse, int8_t* to) {
  // The last bits of numbers as large as 1.5 * 2^23 are those of an integer, and there are no digits after the point.
  constexpr float large = 0x1.8p23f;
  GroupLanes sums = {};
  for (int64_t i = 0; i < size; i += byte_lanes) {
    Wholes wholes[4];
    MLXFFI_UNROLLED for (int j = 0; j < 4; j++) {
      auto shifted = read_as<GroupLanes>(x + i + j * group_lanes) * inverse + large;
      sums += shifted - large;
      wholes[j] = bits_as<Wholes>(shifted) - bits_as<int32_t>(large);
    }
    auto bytes = narrowed(wholes);
    __builtin_memcpy(to + i, &bytes, sizeof(bytes));
  }
  return total<byte_lanes>(sums);
}

// The numbers of a block by their places in the bytes of codes.
template <int places>
inline void order_block(int8_t* numbers) {
  using Unit = std::conditional_t<places == 2, uint16_t, std::conditional_t<places == 4, uint32_t, uint64_t>>;
  constexpr int units = byte_lanes / places;
  int8_t given[byte_lanes * places];
  __builtin_memcpy(given, numbers, sizeof(given));
  for (int part = 0; part < places; part++) {
    auto some = read_as<typename VectorOf<Unit, byte_lanes>::Type>(given + part * byte_lanes);
    MLXFFI_UNROLLED for (int place = 0; place < places; place++) {
      auto bytes = __builtin_convertvector(some >> static_cast<Unit>(8 * place), typename VectorOf<uint8_t, units>::Type);
      __builtin_memcpy(numbers + place * byte_lanes + part * units, &bytes, units);
    }
  }
}

// Some groups of a row; returns whether all of them may be rounded.
template <int width>
inline bool split_groups(const float* x, int64_t count, int64_t group_size, int8_t* numbers, RoundedGroups& to) {
  for (int i = 0; i < group_lanes; i++) {
    if (i >= count) {
      to.steps[i] = to.rests[i] = to.sums[i] = 0;
      continue;
    }
    auto group = x + i * group_size;
    float largest;
    if (!measure_group(group, group_size, largest, to.sums[i])) {
      return false;
    }
    float whole = round_group(group, group_size, largest > 0 ? 127 / largest : 0, numbers + i * group_size);
    to.steps[i] = largest / 127;
    // Codes less their middle leave nothing for what was rounded.
    to.rests[i] = (to.sums[i] - (ByteProducts<width>::centered ? 0 : to.steps[i] * whole)) * (1 << (width - 1));
  }
  return true;
}

// Returns whether a row may be rounded.
template <int width>
bool split_int8(const float* x, int64_t size, int64_t group_size, float* to) {
  auto numbers = reinterpret_cast<int8_t*>(to);
  auto groups = groups_behind(to, size);
  for (int64_t left = size / group_size, i = 0; left > 0; left -= group_lanes, i += group_lanes * group_size, groups++) {
    if (!split_groups<width>(x + i, left, group_size, numbers + i, *groups)) {
      return false;
    }
  }
  if constexpr (width < 8) {
    for (int64_t i = 0; i < size; i += int8_block<width>) {
      order_block<places_of_byte<width>>(numbers + i);
    }
  }
  return true;
}

} // namespace
} // namespace mlxffi
