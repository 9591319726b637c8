// Complex numbers: two floats each, the real part first.
#pragma once

#include <complex>

#include "elementwise.h"

namespace mlxffi {
namespace {

// Keeps the compiler from making one operation of a product and the sum that it goes into, which would round otherwise.
MLXFFI_INLINE Vector<float> product(Vector<float> x, Vector<float> y) {
  Vector<float> result = x * y;
#if defined(__aarch64__)
  __asm__("" : "+w"(result));
#elif MLXFFI_VECTOR_BYTES == 64
  __asm__("" : "+v"(result));
#else
  __asm__("" : "+x"(result));
#endif
  return result;
}

// The real parts twice, the imaginary parts twice, and each with the other's place.
template <int... i>
MLXFFI_INLINE Vector<float> reals(Vector<float> x, std::integer_sequence<int, i...>) {
  return __builtin_shufflevector(x, x, (i & ~1)...);
}
template <int... i>
MLXFFI_INLINE Vector<float> imaginaries(Vector<float> x, std::integer_sequence<int, i...>) {
  return __builtin_shufflevector(x, x, (i | 1)...);
}
template <int... i>
MLXFFI_INLINE Vector<float> exchanged(Vector<float> x, std::integer_sequence<int, i...>) {
  return __builtin_shufflevector(x, x, (i ^ 1)...);
}

// A product without a number is what C makes of it, as an infinity may be one.
inline void require_numbers(Vector<float>& result, Vector<float> x, Vector<float> y) {
  for (int i = 0; i < lanes<float>; i += 2) {
    if (result[i] != result[i] && result[i + 1] != result[i + 1]) {
      auto whole = std::complex<float>(x[i], x[i + 1]) * std::complex<float>(y[i], y[i + 1]);
      result[i] = whole.real();
      result[i + 1] = whole.imag();
    }
  }
}

MLXFFI_INLINE Vector<float> complex_product(Vector<float> x, Vector<float> y) {
  constexpr uint64_t sign_of_real = 0x80000000;
  using Places = std::make_integer_sequence<int, lanes<float>>;
  Vector<float> crossed = product(imaginaries(x, Places()), exchanged(y, Places()));
  crossed = bits_as<Vector<float>>(bits_as<Bits>(crossed) ^ sign_of_real);
  Vector<float> result = product(reals(x, Places()), y) + crossed;
  if (any_of(bits_as<Vector<int64_t>>(result != result))) {
    require_numbers(result, x, y);
  }
  return result;
}

MLXFFI_INLINE Vector<float> complex_square(Vector<float> x) {
  return complex_product(x, x);
}

MLXFFI_INLINE Vector<float> complex_conjugate(Vector<float> x) {
  return bits_as<Vector<float>>(bits_as<Vector<uint64_t>>(x) ^ uint64_t(1) << 63);
}

template <int first, int... i>
MLXFFI_INLINE Doubles every_other(Vector<float> x, std::integer_sequence<int, i...>) {
  return wide(__builtin_shufflevector(x, x, (2 * i + first)...));
}
// With zeros between.
template <int... i>
MLXFFI_INLINE Vector<float> as_reals(Singles x, std::integer_sequence<int, i...>) {
  return __builtin_shufflevector(x, Singles{}, (i / 2 + i % 2 * lanes<double>)...);
}

// The length as a complex number; of an infinity beside what is no number, too.
MLXFFI_INLINE Vector<float> complex_size(Vector<float> x) {
  using Places = std::make_integer_sequence<int, lanes<double>>;
  Doubles real = numbers::size_of(every_other<0>(x, Places())), imaginary = numbers::size_of(every_other<1>(x, Places()));
  Doubles size = root(real * real + imaginary * imaginary);
  size = (real == INFINITY) | (imaginary == INFINITY) ? all(double(INFINITY)) : size;
  return as_reals(narrow(size), std::make_integer_sequence<int, lanes<float>>());
}

template <auto function>
void function_of_complex(const void* const* in, void* out, int64_t size) {
  auto a = static_cast<const float*>(in[0]), b = static_cast<const float*>(in[std::is_invocable_v<decltype(function), Vector<float>> ? 0 : 1]);
  auto to = static_cast<float*>(out);
  each<float>(2 * size, [&](int64_t i, int count) MLXFFI_INLINED {
    if constexpr (std::is_invocable_v<decltype(function), Vector<float>>) {
      put(to + i, function(get(a + i, count)), count * sizeof(float));
    } else {
      put(to + i, function(get(a + i, count), get(b + i, count)), count * sizeof(float));
    }
  });
}

// Of what goes part by part.
template <class F>
void by_parts(const void* const* in, void* out, int64_t size) {
  arithmetic<F, float>(in, out, 2 * size);
}

// Between a number and a complex one.
void real_parts(const void* const* in, void* out, int64_t size) {
  auto from = static_cast<const float*>(in[0]);
  auto to = static_cast<float*>(out);
  each<double>(size, [&](int64_t i, int count) MLXFFI_INLINED {
    using Places = std::make_integer_sequence<int, lanes<double>>;
    put_narrow(to + i, every_other<0>(get(from + 2 * i, 2 * count), Places()), count);
  });
}
void with_real_parts(const void* const* in, void* out, int64_t size) {
  auto from = static_cast<const float*>(in[0]);
  auto to = static_cast<float*>(out);
  each<double>(size, [&](int64_t i, int count) MLXFFI_INLINED {
    Singles singles{};
    __builtin_memcpy(&singles, from + i, count * sizeof(float));
    put(to + 2 * i, as_reals(singles, std::make_integer_sequence<int, lanes<float>>()), 2 * count * sizeof(float));
  });
}

NumbersKernel complex_kernel_of(Operation operation) {
  switch (operation) {
    case Operation::Add:
      return by_parts<Add>;
    case Operation::Subtract:
      return by_parts<Subtract>;
    case Operation::Negative:
      return by_parts<Negative>;
    case Operation::Multiply:
      return function_of_complex<complex_product>;
    case Operation::Square:
      return function_of_complex<complex_square>;
    case Operation::Conjugate:
      return function_of_complex<complex_conjugate>;
    case Operation::Abs:
      return function_of_complex<complex_size>;
    case Operation::Select:
      return select<uint64_t>;
    default:
      return nullptr;
  }
}

NumbersKernel number_kernel_of(Operation operation, TypeOfNumbers type) {
  return type == TypeOfNumbers::complex64 ? complex_kernel_of(operation) : kernel_of(operation, type);
}

NumbersKernel number_conversion_of(TypeOfNumbers from, TypeOfNumbers to) {
  if (from == TypeOfNumbers::complex64 || to == TypeOfNumbers::complex64) {
    return to == TypeOfNumbers::float32 ? real_parts : from == TypeOfNumbers::float32 ? with_real_parts : nullptr;
  }
  return conversion_of(from, to);
}

} // namespace
} // namespace mlxffi
