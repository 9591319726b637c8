// Codes of packed weights, as floats: 16 bytes at a time are spread over the words of a vector, and each word is shifted
// to where its code begins.
#pragma once

#include "../product_rows.h"
#include "loops.h"

namespace mlxffi {
namespace {

// Codes that begin at whole bytes, whatever their width, and that one step takes.
constexpr int step_codes = lanes<float> < 8 ? 8 : lanes<float>;
constexpr int step_parts = step_codes / lanes<float>;

// For each word of a step: the two bytes that hold its code, as they lie in a word, and the bit where it begins.
template <int width>
struct Spread {
  alignas(64) uint8_t bytes[step_parts][MLXFFI_VECTOR_BYTES] = {};
  alignas(64) uint32_t shifts[step_parts][lanes<float>] = {};

  constexpr Spread() {
    for (int i = 0; i < step_codes; i++) {
      int part = i / lanes<float>, lane = i % lanes<float>, bit = i * width;
      bool ends_in_next = bit % 8 + width > 8;
      uint8_t* word = bytes[part] + 4 * lane;
      word[0] = bit / 8;
      word[1] = ends_in_next ? bit / 8 + 1 : absent;
      word[2] = word[3] = absent;
      shifts[part][lane] = bit % 8;
    }
  }
  static constexpr uint8_t absent = 0x80;
};
template <int width>
inline constexpr Spread<width> spread{};

// Of 16 bytes those that a part of a step asks for; 0 for absent ones.
MLXFFI_INLINE Words picked(const uint8_t* from, const uint8_t* bytes) {
#if defined(__x86_64__) && MLXFFI_VECTOR_BYTES == 64
  auto sixteen = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  return bits_as<Words>(_mm512_shuffle_epi8(sixteen, read_as<__m512i>(bytes)));
#elif defined(__x86_64__) && MLXFFI_VECTOR_BYTES == 32
  auto sixteen = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  return bits_as<Words>(_mm256_shuffle_epi8(sixteen, read_as<__m256i>(bytes)));
#elif defined(__aarch64__)
  return bits_as<Words>(vqtbl1q_u8(vld1q_u8(from), vld1q_u8(bytes)));
#else
  Words result;
  for (int i = 0; i < lanes<float>; i++) {
    uint32_t high = bytes[4 * i + 1] & 0x80 ? 0 : from[bytes[4 * i + 1]];
    result[i] = from[bytes[4 * i]] | high << 8;
  }
  return result;
#endif
}

// What codes of 4 bits stand for: the 16 numbers in one vector, or in an array.
#if defined(__x86_64__) && MLXFFI_VECTOR_BYTES == 64
constexpr bool has_lookup = true;
using Sixteen = Vector<float>;

MLXFFI_INLINE Sixteen sixteen(const float* levels, float scale, float bias) {
  return read_as<Sixteen>(levels) * scale + bias;
}
// By the lowest 4 bits of each word.
MLXFFI_INLINE Vector<float> looked_up(Words codes, const Sixteen& values) {
  return bits_as<Vector<float>>(_mm512_permutexvar_ps(bits_as<__m512i>(codes), bits_as<__m512>(values)));
}
#else
constexpr bool has_lookup = false;
struct Sixteen {
  float values[16];
};

MLXFFI_INLINE Sixteen sixteen(const float* levels, float scale, float bias) {
  Sixteen result;
  for (int i = 0; i < 16; i++) {
    result.values[i] = levels[i] * scale + bias;
  }
  return result;
}
MLXFFI_INLINE Vector<float> looked_up(Words codes, const Sixteen& table) {
  Vector<float> result;
  for (int i = 0; i < lanes<float>; i++) {
    result[i] = table.values[codes[i] & 15];
  }
  return result;
}
#endif

template <int bits>
struct Whole {
  static constexpr int width = bits;
  Vector<float> scale, bias;

  MLXFFI_INLINE Whole(float scale, const float* bias) : scale(all(scale)), bias(all(*bias)) {}
  MLXFFI_INLINE Vector<float> operator()(Words codes) const {
    return __builtin_convertvector(bits_as<Vector<int32_t>>(codes & ((1u << bits) - 1)), Vector<float>) * scale + bias;
  }
};

inline constexpr float whole_numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
inline constexpr float small_floats[16] = {0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6};

template <const float* levels>
struct Looked {
  static constexpr int width = 4;
  Sixteen table;

  MLXFFI_INLINE Looked(float scale, const float* bias) : table(sixteen(levels, scale, *bias)) {}
  MLXFFI_INLINE Vector<float> operator()(Words codes) const {
    return looked_up(codes, table);
  }
};
using Whole4 = std::conditional_t<has_lookup, Looked<whole_numbers>, Whole<4>>;
using Float4 = Looked<small_floats>;

// A half has the same exponents, and more: its value is 2^-8 of what it stands for.
struct Float8 {
  static constexpr int width = 8;
  Vector<float> scale;

  MLXFFI_INLINE Float8(float scale, const float*) : scale(all(scale)) {}
  MLXFFI_INLINE Vector<float> operator()(Words codes) const {
    auto size = codes & 0x7fu;
    auto half = (size == 0x7fu ? 0x7e00u - Words{} : size << 7) | (codes & 0x80u) << 8;
    return from_float16(__builtin_convertvector(half, Halves)) * 256.0f * scale;
  }
};

template <class Number>
MLXFFI_INLINE void unpack_step(const uint8_t* codes, const Number& number, float* out) {
  constexpr auto& at = spread<Number::width>;
  MLXFFI_UNROLLED for (int part = 0; part < step_parts; part++) {
    auto words = picked(codes, at.bytes[part]) >> read_as<Words>(at.shifts[part]);
    store<Float32>(out + part * lanes<float>, number(words), lanes<float>);
  }
}

template <class Number>
void unpack(PackedGroups packed, float* out) {
  constexpr int step_bytes = step_codes * Number::width / 8;
  constexpr float no_bias = 0;
  const uint8_t *codes = packed.codes, *end = codes + packed.groups * packed.group_size * Number::width / 8;
  for (int64_t group = 0; group < packed.groups; group++) {
    Number number(packed.scales[group], packed.biases ? packed.biases + group : &no_bias);
    for (int64_t i = 0; i < packed.group_size; i += step_codes, codes += step_bytes, out += step_codes) {
      if (end - codes >= 16) {
        unpack_step(codes, number, out);
      } else {
        uint8_t last[16] = {};
        std::memcpy(last, codes, step_bytes);
        unpack_step(last, number, out);
      }
    }
  }
}

} // namespace
} // namespace mlxffi
