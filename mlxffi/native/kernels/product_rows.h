// The arithmetic of products with few rows and of packed weights, in the manner of rows.h.
#pragma once

#include <array>
#include <cstdint>

namespace mlxffi {

// What the codes of packed weights stand for: whole numbers of 1 to 8 bits, floats of 4 bits (e2m1) or 8 (e4m3).
enum class Codes { whole1, whole2, whole3, whole4, whole5, whole6, whole7, whole8, float4, float8 };
inline constexpr int codes_count = 10;

// `groups` groups of `group_size` codes, which lie side by side from the lowest bit of the first byte on. A number is
// its code times the scale of its group, plus the bias, which floats have not.
struct PackedGroups {
  const uint8_t* codes;
  const float *scales, *biases;
  int64_t groups, group_size;
};
using Unpack = void (*)(PackedGroups, float* out);

// Rows of `size` elements, `stride` elements apart.
struct RowBlock {
  const void* data;
  int64_t stride, count;
};
// out[i * out_stride + j] is the dot product of row i of a (float32) and row j of b (of an Element).
using Dots = void (*)(RowBlock a, RowBlock b, int64_t size, float* out, int64_t out_stride);
// The same with the first `count` of rows of packed numbers that lie side by side, the first of which is given.
using PackedDots = void (*)(RowBlock a, PackedGroups b, int64_t count, float* out, int64_t out_stride);
// Row i of out, of `size` columns, is the sum of all rows of b (of an Element), each times its number in row i of a
// (float32): added to what is there, or in its place.
using Combine = void (*)(RowBlock a, RowBlock b, int64_t size, float* out, int64_t out_stride, bool add);

// Columns of a panel, which has a word for each column and each pair of neighbouring terms of a product, and one more for
// each column where the pairs are odd. In which order is up to the kernels; where there is no further column or term,
// there are zeros. A panel begins with a cache line.
inline constexpr int64_t pair_columns = 32;
// Makes a panel of rows of up to `pair_columns` numbers, one row for each term.
using PackRows = void (*)(RowBlock rows, int64_t columns, uint32_t* panel);
// Makes a panel of up to `pair_columns` columns that lie as rows of `terms` numbers.
using PackColumns = void (*)(RowBlock columns, int64_t terms, uint32_t* panel);
// out[i * out_stride + j] is the product of row i of a (bfloat16, 2 * pairs terms) and column j of a panel: added to what
// is there, or in its place.
using MultiplyPairs = void (*)(RowBlock a, const uint32_t* panel, int64_t pairs, float* out, int64_t out_stride, bool add);

// Numbers that are bfloat16 in truth, as NibbleDots takes them: a multiple of 64, and the sums of their groups.
using SplitPairs = void (*)(const float* x, int64_t size, int64_t group_size, uint16_t* numbers, float* sums);
// As PackedGroups, of affine codes of 4 bits with scales and biases of bfloat16.
struct NibbleGroups {
  const uint8_t* codes;
  const uint16_t *scales, *biases;
  int64_t groups, group_size;
};
// The dot products of such numbers with the first `count` of rows that lie side by side, the first of which is given.
using NibbleDots = void (*)(const uint16_t* numbers, const float* sums, NibbleGroups row, int64_t count, float* out);
inline constexpr int64_t nibble_block = 64;

// NULL where the CPU has no instructions for it.
struct PairKernels {
  PackRows pack_rows;
  PackColumns pack_columns;
  MultiplyPairs multiply;
  SplitPairs split;
  NibbleDots nibble_dots;
};

// How affine codes are multiplied where they lie, by rows of a multiple of `block` numbers of which something else is made
// first. NULL where an instruction set has no way that is faster.
struct SplitKernels {
  int64_t block;
  // How many floats are made of a row.
  int64_t (*split_size)(int64_t size, int64_t group_size);
  // Makes them. Returns whether the row may be multiplied so.
  bool (*split)(const float* x, int64_t size, int64_t group_size, float* to);
  // Of up to `most_split_rows` such rows.
  PackedDots dots;
};
inline constexpr int64_t most_split_rows = 4;
// For codes of 1 to 8 bits.
using ByWidth = std::array<SplitKernels, 8>;

struct ProductKernels {
  Unpack unpack[codes_count];
  PackedDots packed_dots[codes_count];
  // By numbers as they are, and by what is left of them in 8 bits.
  ByWidth words, int8;
  Dots dots[3];
  Combine combine[3];
  PairKernels pairs;
};

} // namespace mlxffi
