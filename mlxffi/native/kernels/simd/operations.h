// What is computed with vectors of numbers of any type, operation by operation.
#pragma once

#include <type_traits>

#include "vectors.h"

namespace mlxffi {
namespace {

template <class T>
struct IntegersOf;
template <>
struct IntegersOf<float> {
  using Type = int32_t;
};
template <>
struct IntegersOf<double> {
  using Type = int64_t;
};

template <class T>
constexpr bool is_real = std::is_floating_point_v<T>;

// Integers wrap around: they are added and multiplied without a sign.
template <class T>
struct WrappingOf {
  using Type = std::make_unsigned_t<T>;
};
template <>
struct WrappingOf<float> {
  using Type = float;
};
template <>
struct WrappingOf<double> {
  using Type = double;
};

template <class T>
MLXFFI_INLINE auto word(Vector<T> x) {
  return bits_as<Vector<typename IntegersOf<T>::Type>>(x);
}

// --- arithmetic ---

#define MLXFFI_ARITHMETIC(name, condition, ...)       \
  struct name {                                       \
    template <class T>                                \
    static constexpr bool has() {                     \
      return condition;                               \
    }                                                 \
    template <class T>                                \
    MLXFFI_INLINE static Vector<T> of(__VA_ARGS__);   \
  };                                                  \
  template <class T>                                  \
  MLXFFI_INLINE Vector<T> name::of(__VA_ARGS__)

#define MLXFFI_OF_ONE Vector<T> x
#define MLXFFI_OF_TWO Vector<T> x, Vector<T> y

template <class T>
using Wrapping = Vector<typename WrappingOf<T>::Type>;

MLXFFI_ARITHMETIC(Add, true, MLXFFI_OF_TWO) {
  return bits_as<Vector<T>>(bits_as<Wrapping<T>>(x) + bits_as<Wrapping<T>>(y));
}
MLXFFI_ARITHMETIC(Subtract, true, MLXFFI_OF_TWO) {
  return bits_as<Vector<T>>(bits_as<Wrapping<T>>(x) - bits_as<Wrapping<T>>(y));
}
MLXFFI_ARITHMETIC(Multiply, true, MLXFFI_OF_TWO) {
  return bits_as<Vector<T>>(bits_as<Wrapping<T>>(x) * bits_as<Wrapping<T>>(y));
}
MLXFFI_ARITHMETIC(Negative, true, MLXFFI_OF_ONE) {
  return bits_as<Vector<T>>(-bits_as<Wrapping<T>>(x));
}
// Of complex numbers, which have kernels of their own.
MLXFFI_ARITHMETIC(Conjugate, false, MLXFFI_OF_ONE) {
  return x;
}
MLXFFI_ARITHMETIC(Square, true, MLXFFI_OF_ONE) {
  return Multiply::of<T>(x, x);
}
MLXFFI_ARITHMETIC(Divide, is_real<T>, MLXFFI_OF_TWO) {
  return x / y;
}
// A NaN on either side is the result, as in MLX.
MLXFFI_ARITHMETIC(Maximum, true, MLXFFI_OF_TWO) {
  return x != x ? x : larger(x, y);
}
MLXFFI_ARITHMETIC(Minimum, true, MLXFFI_OF_TWO) {
  return x != x ? x : smaller(x, y);
}
MLXFFI_ARITHMETIC(Abs, std::is_signed_v<T>, MLXFFI_OF_ONE) {
  if constexpr (is_real<T>) {
    return bits_as<Vector<T>>(word<T>(x) & ~word<T>(all(T(-0.0))));
  } else {
    return x < 0 ? Negative::of<T>(x) : x;
  }
}
MLXFFI_ARITHMETIC(Sign, std::is_signed_v<T>, MLXFFI_OF_ONE) {
  return x < 0 ? all(T(-1)) : x > 0 ? all(T(1)) : all(T(0));
}
// Processors stop at divisions by 0, of which 0 is the result, as in MLX, and at that of the least number by -1, which wraps
// around.
template <class T>
MLXFFI_INLINE Vector<T> floored_quotient(Vector<T> x, Vector<T> y) {
  auto stops = y == 0;
  if constexpr (std::is_signed_v<T>) {
    stops |= y == -1;
  }
  Vector<T> divisor = stops ? all(T(1)) : y, quotient = x / divisor;
  if constexpr (std::is_signed_v<T>) {
    quotient = (quotient * divisor != x) & ((x ^ divisor) < 0) ? quotient - 1 : quotient;
    quotient = y == -1 ? Negative::of<T>(x) : quotient;
  }
  return y == 0 ? all(T(0)) : quotient;
}
MLXFFI_ARITHMETIC(FloorDivide, true, MLXFFI_OF_TWO) {
  if constexpr (is_real<T>) {
    return rounded<Rounding::down>(x / y);
  } else {
    return floored_quotient<T>(x, y);
  }
}
MLXFFI_ARITHMETIC(Remainder, !is_real<T>, MLXFFI_OF_TWO) {
  return Subtract::of<T>(x, Multiply::of<T>(FloorDivide::of<T>(x, y), y));
}
MLXFFI_ARITHMETIC(Sqrt, is_real<T>, MLXFFI_OF_ONE) {
  return root(x);
}
MLXFFI_ARITHMETIC(Rsqrt, is_real<T>, MLXFFI_OF_ONE) {
  return 1 / root(x);
}
MLXFFI_ARITHMETIC(Round, is_real<T>, MLXFFI_OF_ONE) {
  return rounded<Rounding::nearest>(x);
}
MLXFFI_ARITHMETIC(Floor, is_real<T>, MLXFFI_OF_ONE) {
  return rounded<Rounding::down>(x);
}
MLXFFI_ARITHMETIC(Ceil, is_real<T>, MLXFFI_OF_ONE) {
  return rounded<Rounding::up>(x);
}
MLXFFI_ARITHMETIC(BitwiseAnd, !is_real<T>, MLXFFI_OF_TWO) {
  return x & y;
}
MLXFFI_ARITHMETIC(BitwiseOr, !is_real<T>, MLXFFI_OF_TWO) {
  return x | y;
}
MLXFFI_ARITHMETIC(BitwiseXor, !is_real<T>, MLXFFI_OF_TWO) {
  return x ^ y;
}
// By the lowest bits of the second, as processors shift words, and of two words at a time.
template <class T>
MLXFFI_INLINE Vector<T> shift_of(Vector<T> y) {
  return y & T(sizeof(T) == 8 ? 63 : 31);
}
template <class T>
constexpr T width_of = 8 * sizeof(T);
MLXFFI_ARITHMETIC(LeftShift, !is_real<T>, MLXFFI_OF_TWO) {
  Vector<T> shift = shift_of<T>(y), within = shift & T(width_of<T> - 1);
  return shift < width_of<T> ? bits_as<Vector<T>>(bits_as<Wrapping<T>>(x) << bits_as<Wrapping<T>>(within)) : Vector<T>{};
}
MLXFFI_ARITHMETIC(RightShift, !is_real<T>, MLXFFI_OF_TWO) {
  Vector<T> shift = shift_of<T>(y), last = all(T(width_of<T> - 1)), nothing = std::is_signed_v<T> ? x >> last : Vector<T>{};
  return shift < width_of<T> ? x >> (shift & last) : nothing;
}
MLXFFI_ARITHMETIC(BitwiseInvert, !is_real<T>, MLXFFI_OF_ONE) {
  return ~x;
}
// Of bools, which are bytes of 0 and 1.
MLXFFI_ARITHMETIC(LogicalAnd, (std::is_same_v<T, uint8_t>), MLXFFI_OF_TWO) {
  return x & y;
}
MLXFFI_ARITHMETIC(LogicalOr, (std::is_same_v<T, uint8_t>), MLXFFI_OF_TWO) {
  return x | y;
}
MLXFFI_ARITHMETIC(LogicalNot, (std::is_same_v<T, uint8_t>), MLXFFI_OF_ONE) {
  return x ^ 1;
}

// --- comparisons ---

#define MLXFFI_COMPARISON(name, expression)       \
  struct name {                                   \
    template <class V>                            \
    MLXFFI_INLINE static auto of(V x, V y) {      \
      return expression;                          \
    }                                             \
  };
MLXFFI_COMPARISON(Equal, x == y)
MLXFFI_COMPARISON(NaNEqual, (x == y) | ((x != x) & (y != y)))
MLXFFI_COMPARISON(NotEqual, x != y)
MLXFFI_COMPARISON(Greater, x > y)
MLXFFI_COMPARISON(GreaterEqual, x >= y)
MLXFFI_COMPARISON(Less, x < y)
MLXFFI_COMPARISON(LessEqual, x <= y)

} // namespace
} // namespace mlxffi
