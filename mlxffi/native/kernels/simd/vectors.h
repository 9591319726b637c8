// Vectors of MLXFFI_VECTOR_BYTES bytes, and the elements of arrays as vectors of float or double.
//
// These are the compiler's own vector types, so that one source serves SSE2, AVX2, AVX-512 and NEON. Everything is in an
// unnamed namespace: each file that includes this is compiled for another instruction set, and none may get to use a
// function that was compiled for a better one.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "unrolled.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

// Vectors stay in registers where everything that takes them is part of one loop.
#define MLXFFI_INLINED __attribute__((always_inline))
#define MLXFFI_INLINE inline MLXFFI_INLINED

namespace mlxffi {
namespace {

template <class T, int bytes = MLXFFI_VECTOR_BYTES>
struct VectorOf {
  typedef T Type __attribute__((vector_size(bytes)));
};
template <class T>
using Vector = typename VectorOf<T>::Type;
// As many elements as a vector of floats has, of half the size.
using Halves = VectorOf<uint16_t, MLXFFI_VECTOR_BYTES / 2>::Type;
// As many floats as a vector has doubles.
using Singles = VectorOf<float, MLXFFI_VECTOR_BYTES / 2>::Type;

template <class T>
inline constexpr int lanes = MLXFFI_VECTOR_BYTES / sizeof(T);

template <class To, class From>
MLXFFI_INLINE To bits_as(const From& value) {
  static_assert(sizeof(To) == sizeof(From));
  To result;
  __builtin_memcpy(&result, &value, sizeof(To));
  return result;
}

template <class To>
MLXFFI_INLINE To read_as(const void* from) {
  To result;
  __builtin_memcpy(&result, from, sizeof(To));
  return result;
}

template <class T>
MLXFFI_INLINE Vector<T> all(T value) {
  return value - Vector<T>{};
}

template <class T>
MLXFFI_INLINE double sum_of(Vector<T> values) {
  double sum = 0;
  for (int i = 0; i < lanes<T>; i++) {
    sum += values[i];
  }
  return sum;
}

// --- half precision ---

using Words = Vector<uint32_t>;

MLXFFI_INLINE Vector<float> from_bfloat16(Halves halves) {
  return bits_as<Vector<float>>(__builtin_convertvector(halves, Words) << 16);
}

// To the nearest, ties to even; a NaN keeps a bit of its payload, lest it turn into an infinity.
MLXFFI_INLINE Halves to_bfloat16(Vector<float> values) {
  auto bits = bits_as<Words>(values);
  auto rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return __builtin_convertvector(values != values ? (bits >> 16) | 64u : rounded, Halves);
}

#if defined(__x86_64__) && MLXFFI_VECTOR_BYTES == 64

MLXFFI_INLINE Vector<float> from_float16(Halves halves) {
  return bits_as<Vector<float>>(_mm512_cvtph_ps(bits_as<__m256i>(halves)));
}

MLXFFI_INLINE Halves to_float16(Vector<float> values) {
  return bits_as<Halves>(_mm512_cvtps_ph(bits_as<__m512>(values), _MM_FROUND_TO_NEAREST_INT));
}

#elif defined(__x86_64__) && MLXFFI_VECTOR_BYTES == 32

MLXFFI_INLINE Vector<float> from_float16(Halves halves) {
  return bits_as<Vector<float>>(_mm256_cvtph_ps(bits_as<__m128i>(halves)));
}

MLXFFI_INLINE Halves to_float16(Vector<float> values) {
  return bits_as<Halves>(_mm256_cvtps_ph(bits_as<__m256>(values), _MM_FROUND_TO_NEAREST_INT));
}

#elif defined(__aarch64__)

MLXFFI_INLINE Vector<float> from_float16(Halves halves) {
  return bits_as<Vector<float>>(vcvt_f32_f16(bits_as<float16x4_t>(halves)));
}

MLXFFI_INLINE Halves to_float16(Vector<float> values) {
  return bits_as<Halves>(vcvt_f16_f32(bits_as<float32x4_t>(values)));
}

#else

// A half's exponent and mantissa, moved to a float's place, are its value times 2^-112, subnormals too.
MLXFFI_INLINE Vector<float> from_float16(Halves halves) {
  auto wide = __builtin_convertvector(halves, Words);
  auto magnitude = (wide & 0x7fffu) << 13;
  auto value = bits_as<Words>(bits_as<Vector<float>>(magnitude) * 0x1p112f);
  auto special = bits_as<Words>(magnitude >= 0x0f800000u) & 0x7f800000u;
  return bits_as<Vector<float>>(value | special | ((wide & 0x8000u) << 16));
}

// Adding 1/2, whose last bit is worth as much as a subnormal half's, rounds what becomes subnormal.
MLXFFI_INLINE Halves to_float16(Vector<float> values) {
  auto bits = bits_as<Words>(values);
  auto sign = (bits >> 16) & 0x8000u;
  auto size = bits & 0x7fffffffu;
  auto normal = ((size + 0xfffu + ((size >> 13) & 1u)) >> 13) - (112u << 10);
  auto small = bits_as<Words>(bits_as<Vector<float>>(size) + 0.5f) - 0x3f000000u;
  auto result = size < (113u << 23) ? small : normal;
  result = size >= (143u << 23) ? 0x7c00u - Words{} : result;
  result = size > 0x7f800000u ? 0x7e00u - Words{} : result;
  return __builtin_convertvector(result | sign, Halves);
}

#endif

// --- what the operators lack ---

// By the numbers that x86's instructions have for them.
enum class Rounding { nearest, down, up };

#if defined(__x86_64__) && MLXFFI_VECTOR_BYTES == 64

MLXFFI_INLINE Vector<double> root(Vector<double> x) {
  return bits_as<Vector<double>>(_mm512_sqrt_pd(bits_as<__m512d>(x)));
}
MLXFFI_INLINE Vector<float> root(Vector<float> x) {
  return bits_as<Vector<float>>(_mm512_sqrt_ps(bits_as<__m512>(x)));
}
template <Rounding which>
MLXFFI_INLINE Vector<double> rounded(Vector<double> x) {
  return bits_as<Vector<double>>(_mm512_roundscale_pd(bits_as<__m512d>(x), static_cast<int>(which) | _MM_FROUND_NO_EXC));
}
template <Rounding which>
MLXFFI_INLINE Vector<float> rounded(Vector<float> x) {
  return bits_as<Vector<float>>(_mm512_roundscale_ps(bits_as<__m512>(x), static_cast<int>(which) | _MM_FROUND_NO_EXC));
}
MLXFFI_INLINE unsigned bits_of(Vector<int64_t> mask) {
  return _mm512_movepi64_mask(bits_as<__m512i>(mask));
}
MLXFFI_INLINE bool any_above(Vector<uint64_t> x, uint64_t limit) {
  return _mm512_cmpgt_epu64_mask(bits_as<__m512i>(x), _mm512_set1_epi64(limit)) != 0;
}
// The exponent of the power of two that is the largest up to x, which is positive.
MLXFFI_INLINE Vector<double> exponent_of(Vector<double> x) {
  return bits_as<Vector<double>>(_mm512_getexp_pd(bits_as<__m512d>(x)));
}
// GCC 12 converts each half by itself.
MLXFFI_INLINE Vector<double> wide(Singles x) {
  return bits_as<Vector<double>>(_mm512_cvtps_pd(bits_as<__m256>(x)));
}

#elif defined(__x86_64__) && MLXFFI_VECTOR_BYTES == 32

MLXFFI_INLINE Vector<double> root(Vector<double> x) {
  return bits_as<Vector<double>>(_mm256_sqrt_pd(bits_as<__m256d>(x)));
}
MLXFFI_INLINE Vector<float> root(Vector<float> x) {
  return bits_as<Vector<float>>(_mm256_sqrt_ps(bits_as<__m256>(x)));
}
template <Rounding which>
MLXFFI_INLINE Vector<double> rounded(Vector<double> x) {
  return bits_as<Vector<double>>(_mm256_round_pd(bits_as<__m256d>(x), static_cast<int>(which) | _MM_FROUND_NO_EXC));
}
template <Rounding which>
MLXFFI_INLINE Vector<float> rounded(Vector<float> x) {
  return bits_as<Vector<float>>(_mm256_round_ps(bits_as<__m256>(x), static_cast<int>(which) | _MM_FROUND_NO_EXC));
}
MLXFFI_INLINE unsigned bits_of(Vector<int64_t> mask) {
  return _mm256_movemask_pd(bits_as<__m256d>(mask));
}
MLXFFI_INLINE Vector<double> wide(Singles x) {
  return bits_as<Vector<double>>(_mm256_cvtps_pd(bits_as<__m128>(x)));
}

#else

template <class V>
MLXFFI_INLINE V root(V x) {
  for (size_t i = 0; i < sizeof(V) / sizeof(x[0]); i++) {
    x[i] = std::sqrt(x[i]);
  }
  return x;
}
// Adding what leaves no digits after the point rounds to the nearest, ties to even.
template <Rounding which, class V>
MLXFFI_INLINE V rounded(V x) {
  using Number = std::remove_reference_t<decltype(x[0])>;
  using Integers = decltype(x == x);
  constexpr Number limit = sizeof(Number) == 4 ? Number(0x1p23) : Number(0x1p52);
  Integers sign_bit = bits_as<Integers>(-V{}), sign = bits_as<Integers>(x) & sign_bit;
  V size = bits_as<V>(bits_as<Integers>(x) & ~sign_bit), near = size < limit ? (size + limit) - limit : size;
  near = bits_as<V>(bits_as<Integers>(near) | sign);
  if constexpr (which == Rounding::down) {
    near = near > x ? near - 1 : near;
  } else if constexpr (which == Rounding::up) {
    near = near < x ? near + 1 : near;
  }
  return bits_as<V>(bits_as<Integers>(near) | sign);
}
// A bit for each lane of a comparison's result.
MLXFFI_INLINE unsigned bits_of(Vector<int64_t> mask) {
  unsigned bits = 0;
  for (int i = 0; i < lanes<double>; i++) {
    bits |= static_cast<unsigned>(mask[i] & 1) << i;
  }
  return bits;
}
MLXFFI_INLINE Vector<double> wide(Singles x) {
  return __builtin_convertvector(x, Vector<double>);
}

#endif

MLXFFI_INLINE bool any_of(Vector<int64_t> mask) {
  return bits_of(mask) != 0;
}

#if !(defined(__x86_64__) && MLXFFI_VECTOR_BYTES == 64)

MLXFFI_INLINE bool any_above(Vector<uint64_t> x, uint64_t limit) {
  return any_of(x > limit);
}
MLXFFI_INLINE Vector<double> exponent_of(Vector<double> x) {
  // An integer behind the mantissa of 2^52 is that much more than 2^52.
  constexpr uint64_t integer = 0x4330000000000000;
  return bits_as<Vector<double>>((bits_as<Vector<uint64_t>>(x) >> 52) | integer) - (0x1p52 + 1023);
}

#endif

MLXFFI_INLINE Singles narrow(Vector<double> x) {
  return __builtin_convertvector(x, Singles);
}

// b where one of the two is a NaN.
template <class V>
MLXFFI_INLINE V larger(V a, V b) {
  return a > b ? a : b;
}
template <class V>
MLXFFI_INLINE V smaller(V a, V b) {
  return a < b ? a : b;
}

// GCC 12 makes two instructions of those.
#if defined(__x86_64__) && MLXFFI_VECTOR_BYTES == 64

MLXFFI_INLINE Vector<float> larger(Vector<float> a, Vector<float> b) {
  return bits_as<Vector<float>>(_mm512_max_ps(bits_as<__m512>(a), bits_as<__m512>(b)));
}
MLXFFI_INLINE Vector<double> larger(Vector<double> a, Vector<double> b) {
  return bits_as<Vector<double>>(_mm512_max_pd(bits_as<__m512d>(a), bits_as<__m512d>(b)));
}
MLXFFI_INLINE Vector<float> smaller(Vector<float> a, Vector<float> b) {
  return bits_as<Vector<float>>(_mm512_min_ps(bits_as<__m512>(a), bits_as<__m512>(b)));
}
MLXFFI_INLINE Vector<double> smaller(Vector<double> a, Vector<double> b) {
  return bits_as<Vector<double>>(_mm512_min_pd(bits_as<__m512d>(a), bits_as<__m512d>(b)));
}

#endif

// 16 pairs of numbers, to be looked up.
struct PairTable {
  alignas(64) double first[16] = {}, second[16] = {}, pairs[16][2] = {};

  constexpr PairTable(const double (&firsts)[16], const double (&seconds)[16]) {
    for (int i = 0; i < 16; i++) {
      pairs[i][0] = first[i] = firsts[i];
      pairs[i][1] = second[i] = seconds[i];
    }
  }
};

struct Entries {
  Vector<double> first, second;
};

// The pairs at these places, of which the four lowest bits count.
MLXFFI_INLINE Entries entries(const PairTable& table, Vector<uint64_t> places) {
#if defined(__x86_64__) && MLXFFI_VECTOR_BYTES == 64
  auto look_up = [&](const double* in) MLXFFI_INLINED {
    return bits_as<Vector<double>>(_mm512_permutex2var_pd(_mm512_load_pd(in), bits_as<__m512i>(places), _mm512_load_pd(in + 8)));
  };
  return {look_up(table.first), look_up(table.second)};
#else
  auto pair = [&](int lane) MLXFFI_INLINED { return read_as<VectorOf<double, 16>::Type>(table.pairs[places[lane] & 15]); };
#if MLXFFI_VECTOR_BYTES == 32
  auto a = __builtin_shufflevector(pair(0), pair(2), 0, 1, 2, 3), b = __builtin_shufflevector(pair(1), pair(3), 0, 1, 2, 3);
  return {__builtin_shufflevector(a, b, 0, 4, 2, 6), __builtin_shufflevector(a, b, 1, 5, 3, 7)};
#else
  auto a = pair(0), b = pair(1);
  return {__builtin_shufflevector(a, b, 0, 2), __builtin_shufflevector(a, b, 1, 3)};
#endif
#endif
}

// --- elements ---

// What an array holds (Stored), what is computed with it (Lane), and the way between the two.
struct Float32 {
  using Stored = float;
  using Lane = float;
  static constexpr Stored lowest = -std::numeric_limits<float>::infinity();
  MLXFFI_INLINE static Vector<float> load(const Stored* from) {
    return read_as<Vector<float>>(from);
  }
  MLXFFI_INLINE static void store(Stored* to, Vector<float> values) {
    __builtin_memcpy(to, &values, sizeof(values));
  }
};

struct Float64 {
  using Stored = double;
  using Lane = double;
  static constexpr Stored lowest = -std::numeric_limits<double>::infinity();
  MLXFFI_INLINE static Vector<double> load(const Stored* from) {
    return read_as<Vector<double>>(from);
  }
  MLXFFI_INLINE static void store(Stored* to, Vector<double> values) {
    __builtin_memcpy(to, &values, sizeof(values));
  }
};

template <uint16_t minus_infinity, Vector<float> (*widen)(Halves), Halves (*narrow)(Vector<float>)>
struct Half {
  using Stored = uint16_t;
  using Lane = float;
  static constexpr Stored lowest = minus_infinity;
  MLXFFI_INLINE static Vector<float> load(const Stored* from) {
    return widen(read_as<Halves>(from));
  }
  MLXFFI_INLINE static void store(Stored* to, Vector<float> values) {
    auto halves = narrow(values);
    __builtin_memcpy(to, &halves, sizeof(halves));
  }
};
using Float16 = Half<0xfc00, from_float16, to_float16>;
using BFloat16 = Half<0xff80, from_bfloat16, to_bfloat16>;

template <class E>
using VectorFor = Vector<typename E::Lane>;
template <class E>
inline constexpr int lanes_of = lanes<typename E::Lane>;

// The last `count` elements of a row, with -inf behind them.
template <class E>
MLXFFI_INLINE VectorFor<E> load_part(const typename E::Stored* from, int64_t count) {
  typename E::Stored padded[lanes_of<E>];
  for (auto& element : padded) {
    element = E::lowest;
  }
  std::memcpy(padded, from, count * sizeof(typename E::Stored));
  return E::load(padded);
}

template <class E>
MLXFFI_INLINE void store_part(typename E::Stored* to, VectorFor<E> values, int64_t count) {
  typename E::Stored padded[lanes_of<E>];
  E::store(padded, values);
  std::memcpy(to, padded, count * sizeof(typename E::Stored));
}

template <class E>
MLXFFI_INLINE double element(const typename E::Stored* from) {
  return load_part<E>(from, 1)[0];
}

template <class E>
MLXFFI_INLINE void put_element(typename E::Stored* to, double value) {
  store_part<E>(to, all(static_cast<typename E::Lane>(value)), 1);
}

} // namespace
} // namespace mlxffi
