// Dot products with rows of codes of 4 or 8 bits that are never moved: the words of a vector hold several codes each, and
// what is left of a word where all but one are masked is, as an integer, that code times a power of 2, which the numbers
// that it is multiplied by make up for. Scales and biases come in once for as many codes as a vector holds.
#pragma once

#include "dots.h"
#include "packed.h"

namespace mlxffi {
namespace {

// Codes of a word, and of a vector of words.
template <int width>
inline constexpr int places = 32 / width;
template <int width>
inline constexpr int64_t word_block = places<width> * lanes<float>;
// What split_words makes of as many numbers: a vector for each place in a word, and the sums of the numbers of each word.
template <int width>
inline constexpr int64_t split_block = word_block<width> + lanes<float>;
template <int width>
int64_t split_size(int64_t size, int64_t) {
  return size / word_block<width> * split_block<width>;
}

// The highest code of a word would be its sign.
template <int width>
constexpr bool is_shifted(int place) {
  return place + 1 == places<width>;
}

// Returns whether all numbers, and their products with codes, are well within the range of float32.
template <int width>
bool split_words(const float* x, int64_t size, int64_t, float* to) {
  Vector<float> sizes = {};
  for (int64_t i = 0; i < size; i += word_block<width>, x += word_block<width>, to += split_block<width>) {
    for (int lane = 0; lane < lanes<float>; lane++) {
      MLXFFI_UNROLLED for (int place = 0; place < places<width>; place++) {
        to[place * lanes<float> + lane] = x[lane * places<width> + place];
      }
    }
    Vector<float> sums = {};
    MLXFFI_UNROLLED for (int place = 0; place < places<width>; place++) {
      auto at = to + place * lanes<float>;
      auto numbers = read_as<Vector<float>>(at);
      sums += numbers;
      sizes += numbers < 0 ? -numbers : numbers;
      Float32::store(at, numbers * (is_shifted<width>(place) ? 1.0f : 1.0f / (1u << width * place)));
    }
    Float32::store(to + word_block<width>, sums);
  }
  float all_sizes = total<MLXFFI_VECTOR_BYTES>(sizes);
  return all_sizes == 0 || (all_sizes > 0x1p-60f && all_sizes < 0x1p100f);
}

template <int width, int rows>
MLXFFI_INLINE void add_words(const uint8_t* codes, const float* x, int64_t stride, Vector<float> (&sums)[rows]) {
  auto words = read_as<Words>(codes);
  MLXFFI_UNROLLED for (int place = 0; place < places<width>; place++) {
    auto code = is_shifted<width>(place) ? words >> (32 - width) : words & (((1u << width) - 1) << width * place);
    auto numbers = __builtin_convertvector(bits_as<Vector<int32_t>>(code), Vector<float>);
    MLXFFI_UNROLLED for (int i = 0; i < rows; i++) {
      sums[i] += read_as<Vector<float>>(x + i * stride + place * lanes<float>) * numbers;
    }
  }
}

template <int width, int parts, int rows>
MLXFFI_INLINE void word_row(const float* x, int64_t stride, PackedGroups b, float* out, int64_t out_stride) {
  Vector<float> totals[rows] = {};
  int shift = __builtin_ctzll(b.group_size);  // groups are of 32, 64 or 128
  for (int64_t i = 0; i < b.groups << shift; i += word_block<width>, b.codes += MLXFFI_VECTOR_BYTES, x += split_block<width>) {
    Vector<float> sums[rows] = {};
    add_words<width, rows>(b.codes, x, stride, sums);
    auto scales = of_groups<parts>(b.scales + (i >> shift)), biases = of_groups<parts>(b.biases + (i >> shift));
    MLXFFI_UNROLLED for (int j = 0; j < rows; j++) {
      totals[j] += sums[j] * scales + read_as<Vector<float>>(x + j * stride + word_block<width>) * biases;
    }
  }
  MLXFFI_UNROLLED for (int j = 0; j < rows; j++) {
    out[j * out_stride] = total<MLXFFI_VECTOR_BYTES>(totals[j]);
  }
}

template <int width, int parts, int rows>
void word_rows(const float* x, int64_t stride, PackedGroups b, int64_t count, float* out, int64_t out_stride) {
  for (int64_t j = 0; j < count; j++) {
    word_row<width, parts, rows>(x, stride, b, out + j, out_stride);
    b.codes += b.groups * b.group_size * width / 8;
    b.scales += b.groups;
    b.biases += b.groups;
  }
}

template <int width, int parts>
void word_blocks(RowBlock x, PackedGroups b, int64_t count, float* out, int64_t out_stride) {
  static_assert(most_split_rows == 4);
  constexpr decltype(&word_rows<width, parts, 1>) of_rows[] = {
      word_rows<width, parts, 1>, word_rows<width, parts, 2>, word_rows<width, parts, 3>, word_rows<width, parts, 4>};
  of_rows[x.count - 1](static_cast<const float*>(x.data), x.stride, b, count, out, out_stride);
}

template <int width>
void word_dots(RowBlock x, PackedGroups b, int64_t count, float* out, int64_t out_stride) {
  auto run = b.group_size < word_block<width> ? word_blocks<width, 2> : word_blocks<width, 1>;
  run(x, b, count, out, out_stride);
}

template <int width>
inline constexpr SplitKernels of_words = has_lookup ? SplitKernels{}
                                                    : SplitKernels{word_block<width>, split_size<width>, split_words<width>, word_dots<width>};
inline constexpr ByWidth word_kernels{{{}, {}, {}, of_words<4>, {}, {}, {}, of_words<8>}};

} // namespace
} // namespace mlxffi
