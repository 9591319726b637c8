// Dot products of bfloat16 numbers with rows of codes of 4 bits, by VDPBF16PS: with 16 + code, which is what the four bits
// are where they stand at the top of a bfloat16's fraction below the exponent of 16. What the 16 add is taken off by the
// groups' biases.
#pragma once

#include "pairs.h"

namespace mlxffi {
namespace {

// The upper halves of every second of 32 numbers.
inline __m256i every_second(const float* x, int first) {
  alignas(64) static constexpr uint16_t even[2 * words] = {1, 5, 9, 13, 17, 21, 25, 29, 33, 37, 41, 45, 49, 53, 57, 61};
  auto places = _mm512_add_epi16(_mm512_load_si512(even), _mm512_set1_epi16(2 * first));
  return _mm512_castsi512_si256(_mm512_permutex2var_epi16(_mm512_loadu_si512(x), places, _mm512_loadu_si512(x + words)));
}

// Numbers of which each 64 lie as the even ones and then the odd ones, and the sums of their groups.
void split_pairs(const float* x, int64_t size, int64_t group_size, uint16_t* numbers, float* sums) {
  for (int64_t i = 0; i < size; i += 2 * words) {
    auto to = numbers + i - i % nibble_block / 2;
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), every_second(x + i, 0));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + nibble_block / 2), every_second(x + i, 1));
  }
  for (int64_t group = 0; group < size / group_size; group++, x += group_size) {
    auto sum = _mm512_setzero_ps();
    for (int64_t i = 0; i < group_size; i += words) {
      sum = _mm512_add_ps(sum, _mm512_loadu_ps(x + i));
    }
    sums[group] = _mm512_reduce_add_ps(sum);
  }
}

// Both halves of 64 codes, by the scale of each half.
inline __m512 scaled_step(const uint8_t* codes, const uint16_t* x, float low_scale, float high_scale, __m512 sum) {
  const auto mask = _mm512_set1_epi16(0x78), sixteen = _mm512_set1_epi16(0x4180);
  constexpr int and_or = 0xea;  // (a & b) | c
  auto bytes = _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes)));
  auto even = _mm512_ternarylogic_epi32(_mm512_slli_epi16(bytes, 3), mask, sixteen, and_or);
  auto odd = _mm512_ternarylogic_epi32(_mm512_srli_epi16(bytes, 1), mask, sixteen, and_or);
  auto part = add_pairs(_mm512_setzero_ps(), even, _mm512_loadu_si512(x));
  part = add_pairs(part, odd, _mm512_loadu_si512(x + nibble_block / 2));
  auto scales = _mm512_mask_broadcastss_ps(_mm512_set1_ps(low_scale), 0xff00, _mm_load_ss(&high_scale));
  return _mm512_fmadd_ps(part, scales, sum);
}

inline __m512 widened(const uint16_t* from, int64_t count) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first_words(count), from)), 16));
}

// The sum over `groups` groups, a few of a row, of (bias - 16 scale) times the sum of x; their scales are written to `scales`.
inline __m512 shifted(const NibbleGroups& row, int64_t first, int64_t groups, const float* sums, float* scales) {
  auto total = _mm512_setzero_ps();
  for (int64_t group = 0; group < groups; group += words) {
    auto some = first_words(groups - group);
    auto scale = widened(row.scales + first + group, groups - group), bias = widened(row.biases + first + group, groups - group);
    _mm512_storeu_ps(scales + group, scale);
    auto shift = _mm512_fnmadd_ps(_mm512_set1_ps(16), scale, bias);
    total = _mm512_fmadd_ps(shift, _mm512_maskz_loadu_ps(some, sums + first + group), total);
  }
  return total;
}

// Groups of a row whose scales are widened at once.
constexpr int64_t most_groups = 256;

void nibble_dots(const uint16_t* x, const float* sums, NibbleGroups row, int64_t count, float* out) {
  int shift = __builtin_ctzll(row.group_size);  // groups are of 32, 64 or 128
  alignas(64) float scales[most_groups];
  for (int64_t j = 0; j < count; j++, row.scales += row.groups, row.biases += row.groups) {
    auto total = _mm512_setzero_ps();
    for (int64_t first = 0; first < row.groups; first += most_groups) {
      int64_t groups = row.groups - first < most_groups ? row.groups - first : most_groups, place = first << shift;
      total = _mm512_add_ps(total, shifted(row, first, groups, sums, scales));
      for (int64_t i = 0; i < groups << shift; i += nibble_block, row.codes += nibble_block / 2) {
        total = scaled_step(row.codes, x + place + i, scales[i >> shift], scales[(i + nibble_block / 2) >> shift], total);
      }
    }
    out[j] = _mm512_reduce_add_ps(total);
  }
}

} // namespace
} // namespace mlxffi
