// The kernels of elementwise operations and of conversions between types.
#pragma once

#include <cstring>
#include <utility>

#include "../elementwise_rows.h"
#include "float_functions.h"
#include "operations.h"
#include "softmax.h"

namespace mlxffi {
namespace {

// --- numbers of any type ---

template <class T>
MLXFFI_INLINE Vector<T> get(const T* from, int count) {
  if (count == lanes<T>) {
    return read_as<Vector<T>>(from);
  }
  Vector<T> part{};
  __builtin_memcpy(&part, from, count * sizeof(T));
  return part;
}

// A vector, or as many of its first bytes as there is room for.
template <class V>
MLXFFI_INLINE void put(void* to, V values, int64_t bytes = sizeof(V)) {
  if (bytes == sizeof(V)) {
    __builtin_memcpy(to, &values, sizeof(V));
  } else {
    __builtin_memcpy(to, &values, bytes);
  }
}

// --- to fewer bytes ---

template <int bytes>
struct UnsignedOf;
template <>
struct UnsignedOf<1> {
  using Type = uint8_t;
};
template <>
struct UnsignedOf<2> {
  using Type = uint16_t;
};
template <>
struct UnsignedOf<4> {
  using Type = uint32_t;
};

template <class Narrow, class V, size_t... i>
MLXFFI_INLINE Vector<Narrow> lower_halves(V a, V b, std::index_sequence<i...>) {
  return __builtin_shufflevector(bits_as<Vector<Narrow>>(a), bits_as<Vector<Narrow>>(b), (2 * i)...);
}

// The lowest bytes of the numbers of as many vectors as make one of To. GCC converts vectors by more than half number by
// number where there is no AVX512.
template <class To, class V>
MLXFFI_INLINE Vector<To> lowest_bytes(const V* parts) {
  constexpr int from = sizeof(parts[0][0]), half = from / 2, count = half / sizeof(To);
  if constexpr (from == sizeof(To)) {
    return bits_as<Vector<To>>(parts[0]);
  } else {
    using Narrow = typename UnsignedOf<half>::Type;
    Vector<Narrow> halves[count];
    MLXFFI_UNROLLED
    for (int k = 0; k < count; k++) {
      halves[k] = lower_halves<Narrow>(parts[2 * k], parts[2 * k + 1], std::make_index_sequence<lanes<Narrow>>());
    }
    return lowest_bytes<To>(halves);
  }
}

// Puts the lowest bytes of body(i, count), vectors of integers, for all numbers.
template <class To, class Body>
MLXFFI_INLINE void each_narrow(To* to, int64_t size, Body body) {
  using Wide = decltype(body(0, 0));
  constexpr int width = sizeof(Wide) / sizeof(Wide{}[0]), parts = lanes<To> / width;
  each_part<lanes<To>>(size, [&](int64_t i, int count) MLXFFI_INLINED {
    Wide wide[parts];
    MLXFFI_UNROLLED
    for (int k = 0; k < parts; k++) {
      int left = count - k * width;
      wide[k] = body(i + k * width, left < 0 ? 0 : left < width ? left : width);
    }
    put(to + i, lowest_bytes<To>(wide), count * sizeof(To));
  });
}

// --- loops ---

// Where inputs lie is looked up before the loop: in it, what is written might be taken for a place.
template <class F, class T>
void arithmetic(const void* const* in, void* out, int64_t size) {
  auto a = static_cast<const T*>(in[0]);
  auto to = static_cast<T*>(out);
  if constexpr (requires(Vector<T> x) { F::template of<T>(x); }) {
    each<T>(size, [&](int64_t i, int count) MLXFFI_INLINED { put(to + i, F::template of<T>(get(a + i, count)), count * sizeof(T)); });
  } else {
    auto b = static_cast<const T*>(in[1]);
    each<T>(size, [&](int64_t i, int count) MLXFFI_INLINED {
      put(to + i, F::template of<T>(get(a + i, count), get(b + i, count)), count * sizeof(T));
    });
  }
}

template <class F, class T>
void comparison(const void* const* in, void* out, int64_t size) {
  auto a = static_cast<const T*>(in[0]), b = static_cast<const T*>(in[1]);
  each_narrow<uint8_t>(static_cast<uint8_t*>(out), size, [&](int64_t i, int count) MLXFFI_INLINED {
    return F::of(get(a + i, count), get(b + i, count)) & 1;
  });
}

// As many bytes as a vector has floats. GCC 12 widens them one by one.
using Quarters = VectorOf<uint8_t, lanes<float>>::Type;
MLXFFI_INLINE Vector<int32_t> words_of(Quarters x) {
#if defined(__x86_64__) && MLXFFI_VECTOR_BYTES == 64
  return bits_as<Vector<int32_t>>(_mm512_cvtepu8_epi32(bits_as<__m128i>(x)));
#elif defined(__x86_64__) && MLXFFI_VECTOR_BYTES == 32
  return bits_as<Vector<int32_t>>(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(bits_as<int64_t>(x))));
#else
  return __builtin_convertvector(x, Vector<int32_t>);
#endif
}

template <class T>
void select(const void* const* in, void* out, int64_t size) {
  auto condition = static_cast<const int8_t*>(in[0]);
  auto a = static_cast<const T*>(in[1]), b = static_cast<const T*>(in[2]);
  auto to = static_cast<T*>(out);
  each<T>(size, [&](int64_t i, int count) MLXFFI_INLINED {
    typename VectorOf<int8_t, lanes<T>>::Type bytes{};
    __builtin_memcpy(&bytes, condition + i, count);
    Vector<std::make_signed_t<T>> words;
    if constexpr (sizeof(T) == 4) {
      words = words_of(bits_as<Quarters>(bytes));
    } else {
      words = __builtin_convertvector(bytes, decltype(words));
    }
    auto chosen = words != 0;
    put(to + i, chosen ? get(a + i, count) : get(b + i, count), count * sizeof(T));
  });
}

// Half a vector of floats at a time, as a vector of doubles.
MLXFFI_INLINE Doubles get_wide(const float* from, int count) {
  Singles singles{};
  __builtin_memcpy(&singles, from, count * sizeof(float));
  return wide(singles);
}
MLXFFI_INLINE void put_narrow(float* to, Doubles result, int count) {
  put(to, narrow(result), count * sizeof(float));
}

template <auto function>
void function_of_floats(const void* const* in, void* out, int64_t size) {
  auto a = static_cast<const float*>(in[0]);
  auto to = static_cast<float*>(out);
  if constexpr (std::is_invocable_v<decltype(function), Doubles>) {
    each<double>(size, [&](int64_t i, int count) MLXFFI_INLINED { put_narrow(to + i, function(get_wide(a + i, count)), count); });
  } else {
    auto b = static_cast<const float*>(in[1]);
    each<double>(size, [&](int64_t i, int count) MLXFFI_INLINED {
      put_narrow(to + i, function(get_wide(a + i, count), get_wide(b + i, count)), count);
    });
  }
}

// Exponents that all numbers have in common: what takes a product or a root is computed as that.
void powers(const void* const* in, void* out, int64_t size) {
  auto exponents = static_cast<const float*>(in[1]);
  bool alike = std::memcmp(exponents, exponents + 1, (size - 1) * sizeof(float)) == 0;
  if (alike && exponents[0] == 2) {
    function_of_floats<numbers::square_of>(in, out, size);
  } else if (alike && exponents[0] == 3) {
    function_of_floats<numbers::cube_of>(in, out, size);
  } else if (alike && exponents[0] == -1) {
    function_of_floats<numbers::inverse_of>(in, out, size);
  } else if (alike && exponents[0] == 0.5f) {
    function_of_floats<numbers::power_of_half>(in, out, size);
  } else {
    function_of_floats<numbers::pow_of>(in, out, size);
  }
}

// --- conversions ---

template <class T, int count>
using Numbers = typename VectorOf<T, count * sizeof(T)>::Type;

// Floats become short integers by way of int32, as in C: what such a type does not hold wraps around.
template <class From, class To, int count>
MLXFFI_INLINE Numbers<To, count> converted(Numbers<From, count> x) {
  if constexpr (is_real<From> && !is_real<To> && sizeof(To) < 4) {
    return __builtin_convertvector(__builtin_convertvector(x, Numbers<int32_t, count>), Numbers<To, count>);
  } else if constexpr (std::is_same_v<From, uint8_t> && std::is_same_v<To, float> && count == lanes<float>) {
    return __builtin_convertvector(words_of(x), Vector<float>);
  } else {
    return __builtin_convertvector(x, Numbers<To, count>);
  }
}

// Whether numbers of a type become integers of fewer bytes by way of integers of their own size.
template <class From, class To>
constexpr bool narrows = !is_real<To> && sizeof(To) < sizeof(From) && !std::is_same_v<From, double>;

template <class From, class To>
void narrow_numbers(const void* const* in, void* out, int64_t size) {
  auto from = static_cast<const From*>(in[0]);
  each_narrow<To>(static_cast<To*>(out), size, [&](int64_t i, int count) MLXFFI_INLINED {
    if constexpr (is_real<From>) {
      return __builtin_convertvector(get(from + i, count), Vector<int32_t>);
    } else {
      return get(from + i, count);
    }
  });
}

template <class From, class To>
void convert(const void* const* in, void* out, int64_t size) {
  constexpr int step = MLXFFI_VECTOR_BYTES / (sizeof(From) > sizeof(To) ? sizeof(From) : sizeof(To));
  auto from = static_cast<const From*>(in[0]);
  auto to = static_cast<To*>(out);
  each_part<step>(size, [&](int64_t i, int count) MLXFFI_INLINED {
    Numbers<From, step> source{};
    __builtin_memcpy(&source, from + i, count * sizeof(From));
    put(to + i, converted<From, To, step>(source), count * sizeof(To));
  });
}

template <class From>
void to_bool(const void* const* in, void* out, int64_t size) {
  auto from = static_cast<const From*>(in[0]);
  each_narrow<uint8_t>(static_cast<uint8_t*>(out), size, [&](int64_t i, int count) MLXFFI_INLINED {
    return (get(from + i, count) != 0) & 1;
  });
}

template <class E>
void widen_half(const void* const* in, void* out, int64_t size) {
  widen<E>(in[0], static_cast<float*>(out), size);
}
template <class E>
void narrow_half(const void* const* in, void* out, int64_t size) {
  auto from = static_cast<const float*>(in[0]);
  auto to = static_cast<typename E::Stored*>(out);
  each<float>(size, [&](int64_t i, int count) MLXFFI_INLINED { store<E>(to + i, load<Float32>(from + i, count), count); });
}

// --- the tables ---

// What `make` gives for a zero of the type; NULL where numbers of it have no vectors of their own.
template <class Make>
NumbersKernel of_type(TypeOfNumbers type, Make make) {
  switch (type) {
    case TypeOfNumbers::bool_:
    case TypeOfNumbers::uint8:
      return make(uint8_t());
    case TypeOfNumbers::uint16:
      return make(uint16_t());
    case TypeOfNumbers::uint32:
      return make(uint32_t());
    case TypeOfNumbers::uint64:
      return make(uint64_t());
    case TypeOfNumbers::int8:
      return make(int8_t());
    case TypeOfNumbers::int16:
      return make(int16_t());
    case TypeOfNumbers::int32:
      return make(int32_t());
    case TypeOfNumbers::int64:
      return make(int64_t());
    case TypeOfNumbers::float32:
      return make(float());
    case TypeOfNumbers::float64:
      return make(double());
    default:
      return nullptr;
  }
}

template <class F>
struct ArithmeticOf {
  template <class T>
  NumbersKernel operator()(T) const {
    if constexpr (F::template has<T>()) {
      return arithmetic<F, T>;
    } else {
      return nullptr;
    }
  }
};

// Remainders of floats are made as functions are.
template <>
template <>
NumbersKernel ArithmeticOf<Remainder>::operator()(float) const {
  return function_of_floats<numbers::remainder_of>;
}

template <class F>
NumbersKernel comparison_of(TypeOfNumbers type) {
  return of_type(type, [](auto zero) -> NumbersKernel { return comparison<F, decltype(zero)>; });
}

// Halves are chosen as the words that they are.
NumbersKernel select_of(TypeOfNumbers type) {
  if (type == TypeOfNumbers::float16 || type == TypeOfNumbers::bfloat16) {
    return select<uint16_t>;
  }
  return of_type(type, [](auto zero) -> NumbersKernel {
    using T = decltype(zero);
    if constexpr (is_real<T>) {
      return select<std::make_unsigned_t<typename IntegersOf<T>::Type>>;
    } else {
      return select<std::make_unsigned_t<T>>;
    }
  });
}

NumbersKernel kernel_of(Operation operation, TypeOfNumbers type) {
  bool is_float = type == TypeOfNumbers::float32, is_bool = type == TypeOfNumbers::bool_;
  bool is_logical = operation >= Operation::LogicalAnd && operation <= Operation::LogicalNot;
  switch (operation) {
#define MLXFFI_FUNCTION(name, function) \
  case Operation::name:                 \
    return is_float ? (operation == Operation::Power ? powers : function_of_floats<numbers::function##_of>) : nullptr;
    MLXFFI_FOR_FUNCTIONS(MLXFFI_FUNCTION)
    MLXFFI_FOR_FUNCTIONS_OF_TWO(MLXFFI_FUNCTION)
#undef MLXFFI_FUNCTION
#define MLXFFI_CASE(name) \
  case Operation::name:   \
    return is_bool == is_logical ? of_type(type, ArithmeticOf<name>()) : nullptr;
    MLXFFI_FOR_ARITHMETIC(MLXFFI_CASE)
#undef MLXFFI_CASE
#define MLXFFI_CASE(name) \
  case Operation::name:   \
    return comparison_of<name>(type);
    MLXFFI_FOR_COMPARISONS(MLXFFI_CASE)
#undef MLXFFI_CASE
    default:
      return select_of(type);
  }
}

template <class From>
NumbersKernel conversion_from(TypeOfNumbers to) {
  if (to == TypeOfNumbers::bool_) {
    return to_bool<From>;
  }
  return of_type(to, [](auto zero) -> NumbersKernel {
    using To = decltype(zero);
    // What such a type holds and these do not, C's conversions treat otherwise than those of vectors.
    constexpr bool differs = is_real<From> && !is_real<To> && (sizeof(To) == 8 || std::is_same_v<To, uint32_t>);
    if constexpr (differs) {
      return nullptr;
    } else if constexpr (narrows<From, To>) {
      return narrow_numbers<From, To>;
    } else {
      return convert<From, To>;
    }
  });
}

NumbersKernel conversion_of(TypeOfNumbers from, TypeOfNumbers to) {
  bool to_float = to == TypeOfNumbers::float32, from_float = from == TypeOfNumbers::float32;
  if (from == TypeOfNumbers::float16 || from == TypeOfNumbers::bfloat16) {
    return !to_float ? nullptr : from == TypeOfNumbers::float16 ? widen_half<Float16> : widen_half<BFloat16>;
  }
  if (to == TypeOfNumbers::float16 || to == TypeOfNumbers::bfloat16) {
    return !from_float ? nullptr : to == TypeOfNumbers::float16 ? narrow_half<Float16> : narrow_half<BFloat16>;
  }
  return of_type(from, [to](auto zero) { return conversion_from<decltype(zero)>(to); });
}

} // namespace
} // namespace mlxffi
