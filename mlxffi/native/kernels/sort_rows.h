// Numbers as keys, unsigned integers in the same order, and the sorting of several rows at a time.
#pragma once

#include <cstdint>

#include "elementwise_rows.h"

namespace mlxffi {

// Rows that are sorted at a time stand side by side: one cache line has a key of each.
inline constexpr int64_t line_bytes = 64;

// Makes keys of numbers where they are, the same for 0 and -0 and the last for every NaN; whether there was a -0 or a NaN.
using ToKeys = bool (*)(void* numbers, int64_t size);
using FromKeys = void (*)(void* keys, int64_t size);
// Lines are sorted in blocks of as many: there is room for whole blocks.
inline constexpr int64_t lines_of_block = 8;
constexpr int64_t whole_blocks(int64_t lines) {
  return (lines + lines_of_block - 1) / lines_of_block * lines_of_block;
}

// Sorts as many rows of `length` keys as a cache line has; keys of the same row stand a line apart.
using SortColumns = void (*)(void* keys, int64_t length);
// The same for keys of 64 bits and their places, which come along and decide among equal keys.
using SortPairs = void (*)(uint64_t* keys, uint64_t* places, int64_t length);

// How many keys are below a limit.
using CountBelow = int64_t (*)(const void* keys, int64_t size, uint64_t limit);

// Transposes a square as wide as a cache line; rows of it are `stride` keys apart.
using Transpose = void (*)(const void* from, int64_t from_stride, void* to, int64_t to_stride);

struct SortKernels {
  // NULL for complex numbers.
  ToKeys (*to_keys)(TypeOfNumbers type);
  FromKeys (*from_keys)(TypeOfNumbers type);
  // For keys of 1, 2, 4 and 8 bytes.
  SortColumns columns[4];
  SortPairs pairs;
  Transpose transpose[4];
  CountBelow below[4];
  // The length up to which this takes no longer than sorting one row after the other by its digits.
  int64_t most;
};

} // namespace mlxffi
