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
#if defined(__x86_64__) && MLXFFI_VECTOR_BYTES > 16
using Bytes = __m128i;

// From `from` on, of which a step asks for `size`; nothing is read at `end` or behind it.
template <int size>
MLXFFI_INLINE Bytes bytes_at(const uint8_t* from, const uint8_t* end) {
  if constexpr (size == 1 || size == 2 || size == 4 || size == 8) {
    uint64_t some = 0;
    __builtin_memcpy(&some, from, size);
    return _mm_cvtsi64_si128(some);
  }
  if (size == 16 || end - from >= 16) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  }
  uint8_t last[16] = {};
  __builtin_memcpy(last, from, size);
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(last));
}
#if MLXFFI_VECTOR_BYTES == 64
MLXFFI_INLINE Words picked(Bytes from, const uint8_t* bytes) {
  return bits_as<Words>(_mm512_shuffle_epi8(_mm512_broadcast_i32x4(from), read_as<__m512i>(bytes)));
}
MLXFFI_INLINE Words whole_bytes(Bytes from, int) {
  return bits_as<Words>(_mm512_cvtepu8_epi32(from));
}
#else
MLXFFI_INLINE Words picked(Bytes from, const uint8_t* bytes) {
  return bits_as<Words>(_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(from), read_as<__m256i>(bytes)));
}
MLXFFI_INLINE Words whole_bytes(Bytes from, int) {
  return bits_as<Words>(_mm256_cvtepu8_epi32(from));
}
#endif
#elif defined(__aarch64__)
using Bytes = uint8x16_t;

template <int size>
MLXFFI_INLINE Bytes bytes_at(const uint8_t* from, const uint8_t* end) {
  if (size == 16 || end - from >= 16) {
    return vld1q_u8(from);
  }
  uint8_t last[16] = {};
  __builtin_memcpy(last, from, size);
  return vld1q_u8(last);
}
MLXFFI_INLINE Words picked(Bytes from, const uint8_t* bytes) {
  return bits_as<Words>(vqtbl1q_u8(from, vld1q_u8(bytes)));
}
MLXFFI_INLINE Words whole_bytes(Bytes from, int part) {
  auto half = vget_low_u16(vmovl_u8(part ? vext_u8(vget_low_u8(from), vget_low_u8(from), 4) : vget_low_u8(from)));
  return bits_as<Words>(vmovl_u16(half));
}
#else
using Bytes = const uint8_t*;

template <int size>
MLXFFI_INLINE Bytes bytes_at(const uint8_t* from, const uint8_t*) {
  return from;
}
MLXFFI_INLINE Words picked(Bytes from, const uint8_t* bytes) {
  Words result;
  for (int i = 0; i < lanes<float>; i++) {
    uint32_t high = bytes[4 * i + 1] & 0x80 ? 0 : from[bytes[4 * i + 1]];
    result[i] = from[bytes[4 * i]] | high << 8;
  }
  return result;
}
MLXFFI_INLINE Words whole_bytes(Bytes from, int part) {
  return __builtin_convertvector(read_as<VectorOf<uint8_t, lanes<float>>::Type>(from + part * lanes<float>), Words);
}
#endif

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
    auto code = bits < 8 ? codes & ((1u << bits) - 1) : codes;
    return __builtin_convertvector(bits_as<Vector<int32_t>>(code), Vector<float>) * scale + bias;
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
constexpr int step_bytes = step_codes * Number::width / 8;

// The codes of a step, each at the low end of a word.
template <class Number>
struct Step {
  Bytes bytes;

  MLXFFI_INLINE Step(const uint8_t* codes, const uint8_t* end) : bytes(bytes_at<step_bytes<Number>>(codes, end)) {}
  MLXFFI_INLINE Words words(int part) const {
    if constexpr (Number::width == 8) {
      return whole_bytes(bytes, part);
    }
    constexpr auto& at = spread<Number::width>;
    return picked(bytes, at.bytes[part]) >> read_as<Words>(at.shifts[part]);
  }
};

template <class Number>
MLXFFI_INLINE Number number_of(const PackedGroups& packed, int64_t group) {
  constexpr float no_bias = 0;
  return Number(packed.scales[group], packed.biases ? packed.biases + group : &no_bias);
}

template <class Half, size_t... lanes>
MLXFFI_INLINE auto joined(Half low, Half high, std::index_sequence<lanes...>) {
  return __builtin_shufflevector(low, high, lanes...);
}

// What the lanes of a vector have of the groups that they belong to, the same number of lanes each.
template <int parts, int bytes = MLXFFI_VECTOR_BYTES>
MLXFFI_INLINE typename VectorOf<float, bytes>::Type of_groups(const float* values) {
  using All = typename VectorOf<float, bytes>::Type;
  if constexpr (parts == 1) {
    return *values - All{};
  } else if constexpr (4 * parts == bytes) {
    return read_as<All>(values);
  } else {
    constexpr int half = parts / 2;
    auto low = of_groups<half, bytes / 2>(values), high = of_groups<half, bytes / 2>(values + half);
    return joined(low, high, std::make_index_sequence<bytes / 4>());
  }
}

template <class Number>
void unpack(PackedGroups packed, float* out) {
  const uint8_t *codes = packed.codes, *end = codes + packed.groups * packed.group_size * Number::width / 8;
  for (int64_t group = 0; group < packed.groups; group++) {
    auto number = number_of<Number>(packed, group);
    for (int64_t i = 0; i < packed.group_size; i += step_codes, codes += step_bytes<Number>, out += step_codes) {
      Step<Number> step(codes, end);
      MLXFFI_UNROLLED for (int part = 0; part < step_parts; part++) {
        store<Float32>(out + part * lanes<float>, number(step.words(part)), lanes<float>);
      }
    }
  }
}

} // namespace
} // namespace mlxffi
