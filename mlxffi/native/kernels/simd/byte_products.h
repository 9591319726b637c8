// Products of codes with whole numbers of 8 bits, four of which are added up in each word of a vector, by what an
// instruction set has for that. Codes that reach beyond what its instruction takes are less by their middle.
#pragma once

#include "vectors.h"

namespace mlxffi {
namespace {

#if defined(__x86_64__)
constexpr int byte_lanes = 32;
#else
constexpr int byte_lanes = 16;
#endif
using Octets = VectorOf<int8_t, byte_lanes>::Type;
using Wholes = VectorOf<int32_t, byte_lanes>::Type;

// Whole numbers of 8 bits, one after the other.
#if defined(__x86_64__)
MLXFFI_INLINE Octets narrowed(const Wholes (&from)[4]) {
  auto pair = [&](int i) MLXFFI_INLINED { return _mm256_packs_epi32(bits_as<__m256i>(from[i]), bits_as<__m256i>(from[i + 1])); };
  // Halves of vectors are packed by themselves.
  auto packed = _mm256_packs_epi16(pair(0), pair(2));
  return bits_as<Octets>(_mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
}
#else
MLXFFI_INLINE Octets narrowed(const Wholes (&from)[4]) {
  auto pair = [&](int i) MLXFFI_INLINED {
    auto low = vmovn_s32(bits_as<int32x4_t>(from[i])), high = vmovn_s32(bits_as<int32x4_t>(from[i + 1]));
    return vmovn_s16(vcombine_s16(low, high));
  };
  return bits_as<Octets>(vcombine_s8(pair(0), pair(2)));
}
#endif

#if defined(MLXFFI_VNNI)

template <int width>
struct ByteProducts {
  static constexpr bool centered = false;
  __m256i sums;

  MLXFFI_INLINE void add(Octets codes, Octets numbers) {
    sums = _mm256_dpbusd_epi32(sums, bits_as<__m256i>(codes), bits_as<__m256i>(numbers));
  }
  MLXFFI_INLINE Wholes total() const {
    return bits_as<Wholes>(sums);
  }
};

#elif defined(__x86_64__)

template <int width>
struct ByteProducts {
  // Pairs of products of 8 bits would not fit into 16.
  static constexpr bool centered = width == 8;
  __m256i sums;

  MLXFFI_INLINE void add(Octets codes, Octets numbers) {
    auto left = bits_as<__m256i>(codes), right = bits_as<__m256i>(numbers);
    if constexpr (centered) {
      left = _mm256_xor_si256(left, _mm256_set1_epi8(-128));
      right = _mm256_sign_epi8(right, left);
      left = _mm256_abs_epi8(left);
    }
    sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16(left, right));
  }
  MLXFFI_INLINE Wholes total() const {
    return bits_as<Wholes>(_mm256_madd_epi16(sums, _mm256_set1_epi16(1)));
  }
};

#else

template <int width>
struct ByteProducts {
  static constexpr bool centered = width == 8;
  int32x4_t sums;

  MLXFFI_INLINE void add(Octets codes, Octets numbers) {
    auto left = bits_as<int8x16_t>(codes), right = bits_as<int8x16_t>(numbers);
    if constexpr (centered) {
      left = veorq_s8(left, vdupq_n_s8(-128));
    }
#if defined(__ARM_FEATURE_DOTPROD) || defined(MLXFFI_DOT_PRODUCTS)
    sums = vdotq_s32(sums, left, right);
#else
    auto low = vmull_s8(vget_low_s8(left), vget_low_s8(right)), high = vmull_s8(vget_high_s8(left), vget_high_s8(right));
    sums = vpadalq_s16(sums, vpaddq_s16(low, high));
#endif
  }
  MLXFFI_INLINE Wholes total() const {
    return bits_as<Wholes>(sums);
  }
};

#endif

} // namespace
} // namespace mlxffi
