// Functions of float32 numbers. They are computed in double, where short series have more digits than a float: what is
// left is the rounding to the nearest float or, rarely, to the one beside it.
//
// The series are least-maximum fits of our own, to 1e-10 of the function or better.
#pragma once

#include "functions.h"

namespace mlxffi {
namespace {

using Doubles = Vector<double>;
using Bits = Vector<uint64_t>;

namespace numbers {

constexpr double ln2 = 0.6931471805599453, log2e = 1.4426950408889634, pi = 3.141592653589793;

template <int count>
MLXFFI_INLINE Doubles series(Doubles x, const double (&terms)[count]) {
  Doubles sum = all(terms[count - 1]);
  MLXFFI_UNROLLED
  for (int i = count - 2; i >= 0; i--) {
    sum = sum * x + terms[i];
  }
  return sum;
}

constexpr uint64_t sign_bit = uint64_t(1) << 63, largest = 0x7fefffffffffffff;

MLXFFI_INLINE Doubles size_of(Doubles x) {
  return bits_as<Doubles>(bits_as<Bits>(x) & ~sign_bit);
}

MLXFFI_INLINE Doubles with_sign_of(Doubles x, Doubles size) {
  return bits_as<Doubles>(bits_as<Bits>(size) | (bits_as<Bits>(x) & sign_bit));
}

// --- powers ---

// exp(x), of which a float is 0 or infinite long before this one's limits.
MLXFFI_INLINE Power<double> power_of(Doubles x) {
  // Adding this rounds to an integer n and leaves n + 1023, the exponent of 2^n, in the lowest bits.
  constexpr double rounding = 0x1.8p52 + 1023;
  x = x < -200 ? all(-200.0) : x;
  x = x > 200 ? all(200.0) : x;
  Doubles rounded = x * log2e + rounding;
  Doubles r = x - (rounded - rounding) * ln2;
  constexpr double terms[] = {0.50000000784340215, 0.16666666856880702, 0.041666268263845098, 0.0083332651639649365, 0.0013946189717948061, 0.00019917972540171378};
  return {bits_as<Doubles>(bits_as<Bits>(rounded) << 52), r + r * r * series(r, terms)};
}

MLXFFI_INLINE Doubles exp_of(Doubles x) {
  return power_of(x).value();
}
MLXFFI_INLINE Doubles expm1_of(Doubles x) {
  return x == 0 ? x : power_of(x).less_one();
}
MLXFFI_INLINE Doubles sigmoid_of(Doubles x) {
  return 1 / (1 + exp_of(-x));
}
MLXFFI_INLINE Doubles sinh_of(Doubles x) {
  auto e = expm1_of(size_of(x));
  return with_sign_of(x, (e + e / (e + 1)) * 0.5);
}
MLXFFI_INLINE Doubles cosh_of(Doubles x) {
  auto e = exp_of(size_of(x));
  return (e + 1 / e) * 0.5;
}
MLXFFI_INLINE Doubles tanh_of(Doubles x) {
  auto e = expm1_of(size_of(x) * 2);
  return with_sign_of(x, e / (e + 2));
}

// --- logarithms ---

// x = mantissa 2^exponent, the mantissa between sqrt(1/2) and sqrt(2); x is positive.
struct Parts {
  Doubles mantissa, exponent;
};

MLXFFI_INLINE Parts parts_of(Doubles x) {
  constexpr uint64_t one = uint64_t(1023) << 52, root_of_half = 0x3fe6a09e667f3bcd;
  // An integer behind the mantissa of 2^52 is that much more than 2^52.
  constexpr uint64_t integer = 0x4330000000000000;
  auto bits = bits_as<Bits>(x);
  auto biased = (bits - root_of_half + one) >> 52;
  return {bits_as<Doubles>(bits - (biased << 52) + one), bits_as<Doubles>(biased | integer) - (0x1p52 + 1023)};
}

// log(1 + d) + exponent log(2), by 2 atanh(d / (d + 2)).
MLXFFI_INLINE Doubles log_by_series(Doubles d, Doubles exponent) {
  constexpr double terms[] = {0.66666666666586327, 0.40000000052752249, 0.28571417043628156, 0.2222337840579125, 0.18123407593265783, 0.16822838611063332};
  Doubles t = d / (d + 2), square = t * t;
  return exponent * ln2 + t * (2 + square * series(square, terms));
}

// The logarithm of what is not a positive number: that of 0 is -inf, that of inf inf, and others have none.
MLXFFI_INLINE Doubles log_at_limits(Doubles x, Doubles log) {
  if (any_of(bits_as<Bits>(x) - 1 >= largest)) {
    log = x < INFINITY ? log : x;
    log = x > 0 ? log : x == 0 ? all(-double(INFINITY)) : all(double(NAN));
  }
  return log;
}

MLXFFI_INLINE Doubles log_of(Doubles x) {
  auto parts = parts_of(x);
  return log_at_limits(x, log_by_series(parts.mantissa - 1, parts.exponent));
}
MLXFFI_INLINE Doubles log2_of(Doubles x) {
  return log_of(x) * log2e;
}
MLXFFI_INLINE Doubles log10_of(Doubles x) {
  return log_of(x) * 0.4342944819032518;
}
MLXFFI_INLINE Doubles log1p_of(Doubles x) {
  Doubles sum = x + 1;
  auto parts = parts_of(sum);
  // Near 1 the sum has lost digits of x.
  Doubles d = parts.exponent == 0 ? x : parts.mantissa - 1;
  auto log = log_at_limits(sum, log_by_series(d, parts.exponent));
  return x == 0 ? x : log;
}

MLXFFI_INLINE Doubles asinh_of(Doubles x) {
  Doubles size = size_of(x), square = size * size;
  auto sum = size + square / (1 + root(square + 1));
  return with_sign_of(x, log1p_of(size < INFINITY ? sum : size));
}
MLXFFI_INLINE Doubles acosh_of(Doubles x) {
  Doubles t = x - 1;
  return x < 1 ? all(double(NAN)) : log1p_of(t + root(t * (t + 2)));
}
MLXFFI_INLINE Doubles atanh_of(Doubles x) {
  auto size = size_of(x);
  return with_sign_of(x, log1p_of(2 * size / (1 - size)) * 0.5);
}

// log(exp(x) + exp(y)); an infinity as large as its neighbour is the result.
MLXFFI_INLINE Doubles logaddexp_of(Doubles x, Doubles y) {
  Doubles top = x > y ? x : y, low = x > y ? y : x;
  auto sum = top + log1p_of(exp_of(low - top));
  sum = top == low ? top + ln2 : sum;
  return x != x ? x : y != y ? y : sum;
}

// As C's pow: 1 for an exponent of 0 and a base of 1 whatever stands beside it.
MLXFFI_INLINE Doubles pow_at_limits(Doubles x, Doubles y, Doubles power) {
  Doubles size = size_of(x), none = all(double(NAN));
  power = size == 1 ? all(1.0) : power;
  Doubles half = y * 0.5;
  auto whole = rounded<Rounding::nearest>(y) == y, odd = whole & (rounded<Rounding::nearest>(half) != half);
  auto negative = bits_as<Bits>(x) >= sign_bit;
  Doubles signed_power = odd ? -power : power;
  signed_power = whole | (x == 0) | (size == INFINITY) ? signed_power : none;
  power = negative ? signed_power : power;
  power = (x == 1) | (y == 0) ? all(1.0) : power;
  return x != x ? (y == 0 ? all(1.0) : x) : power;
}

MLXFFI_INLINE Doubles pow_of(Doubles x, Doubles y) {
  auto power = exp_of(y * log_of(size_of(x)));
  return any_of((bits_as<Bits>(x) - 1 >= largest) | (bits_as<Bits>(size_of(y)) > largest)) ? pow_at_limits(x, y, power) : power;
}

// --- angles ---

// x = quarter * pi / 2 + rest, where the two lowest bits of `quarter` count.
struct Turn {
  Doubles rest;
  Bits quarter;
};

// Up to here the first two parts of pi / 2 times a number of quarters are exact.
constexpr double farthest = 1e6;

MLXFFI_INLINE Turn turn_of(Doubles x) {
  constexpr double rounding = 0x1.8p52, first = 0x1.921fb544p+0, second = 0x1.0b4611a6p-34, third = 0x1.3198a2e037073p-69;
  Doubles rounded = x * (2 / pi) + rounding, quarters = rounded - rounding;
  return {((x - quarters * first) - quarters * second) - quarters * third, bits_as<Bits>(rounded)};
}

MLXFFI_INLINE Doubles sine_series(Doubles rest) {
  constexpr double terms[] = {-0.16666666666631566, 0.0083333333252687356, -0.00019841263821521369, 2.7555357446185515e-06, -2.4761628619060797e-08};
  Doubles square = rest * rest;
  return rest * (1 + square * series(square, terms));
}

MLXFFI_INLINE Doubles cosine_series(Doubles rest) {
  constexpr double terms[] = {0.041666666622791892, -0.0013888883750260443, 2.4799519169289395e-05, -2.721016773866554e-07};
  Doubles square = rest * rest;
  return 1 - square * 0.5 + square * square * series(square, terms);
}

// The C library's function of the numbers that are too far away.
template <double (*function)(double)>
MLXFFI_INLINE Doubles far(Doubles x, Doubles near) {
  if (any_of(size_of(x) > farthest)) {
    for (int i = 0; i < lanes<double>; i++) {
      near[i] = std::abs(x[i]) > farthest ? function(x[i]) : near[i];
    }
  }
  return near;
}

// sin(x + shift * pi / 2)
MLXFFI_INLINE Doubles wave(Doubles x, uint64_t shift) {
  auto turn = turn_of(x);
  auto quarter = turn.quarter + shift;
  Doubles size = (quarter & 1) != 0 ? cosine_series(turn.rest) : sine_series(turn.rest);
  return bits_as<Doubles>(bits_as<Bits>(size) ^ ((quarter & 2) << 62));
}

MLXFFI_INLINE Doubles sin_of(Doubles x) {
  return far<std::sin>(x, wave(x, 0));
}
MLXFFI_INLINE Doubles cos_of(Doubles x) {
  return far<std::cos>(x, wave(x, 1));
}
MLXFFI_INLINE Doubles tan_of(Doubles x) {
  auto turn = turn_of(x);
  Doubles sine = sine_series(turn.rest), cosine = cosine_series(turn.rest);
  auto odd = (turn.quarter & 1) != 0;
  return far<std::tan>(x, (odd ? -cosine : sine) / (odd ? sine : cosine));
}

// The angle of the point (x, y).
MLXFFI_INLINE Doubles angle_of(Doubles y, Doubles x) {
  constexpr double terms[] = {-0.33333333331684745, 0.19999999683572053, -0.14285693482774967, 0.1111044703989731, -0.090790969747586742, 0.075682335555352254, -0.058898664924127535, 0.03087600985508604};
  constexpr double tangent_of_eighth = 0.41421356237309503;
  Doubles width = size_of(x), height = size_of(y);
  auto steep = height > width;
  Doubles low = steep ? width : height, high = steep ? height : width;
  auto large = low > high * tangent_of_eighth;
  Doubles t = (large ? low - high : low) / (large ? low + high : high);
  t = low == high ? all(0.0) : t;
  Doubles square = t * t, angle = t * (1 + square * series(square, terms));
  angle = large | ((low == high) & (high > 0)) ? angle + pi / 4 : angle;
  angle = steep ? pi / 2 - angle : angle;
  angle = bits_as<Bits>(x) >= sign_bit ? pi - angle : angle;
  return x != x ? x : with_sign_of(y, angle);
}

MLXFFI_INLINE Doubles atan_of(Doubles x) {
  return angle_of(x, all(1.0));
}

// The arc sine of a size, as asin(s) or as pi / 2 - 2 asin(s), with s up to 1/2.
struct HalvedArc {
  Vector<int64_t> is_halved;
  Doubles angle;
};

MLXFFI_INLINE HalvedArc arc_of(Doubles size) {
  constexpr double terms[] = {0.1666666718025856, 0.07499948897727615, 0.04465997212024693, 0.030112525942784622, 0.024604708465129792, 0.007509484371943245, 0.03464631531014064};
  auto is_halved = size > 0.5;
  Doubles square = is_halved ? (1 - size) * 0.5 : size * size, sine = is_halved ? root(square) : size;
  return {is_halved, sine + sine * square * series(square, terms)};
}

MLXFFI_INLINE Doubles asin_of(Doubles x) {
  auto arc = arc_of(size_of(x));
  return with_sign_of(x, arc.is_halved ? pi / 2 - 2 * arc.angle : arc.angle);
}
MLXFFI_INLINE Doubles acos_of(Doubles x) {
  auto arc = arc_of(size_of(x));
  Doubles angle = with_sign_of(x, arc.angle), near = 2 * angle;
  return arc.is_halved ? (x > 0 ? near : near + pi) : pi / 2 - angle;
}

// --- the normal distribution ---

MLXFFI_INLINE Doubles erf_of(Doubles x) {
  constexpr double near_terms[] = {1.128379167094713, -0.3761263889009861, 0.11283791318315319, -0.026866134010704441, 0.0052237865200882019, -0.00085427028376450199, 0.00011957328112672895, -1.3914047064243686e-05, 1.0601139519966352e-06};
  // exp(x^2) erfc(x), by (x - 2) / (x + 2), between 1 and 4; from there a float's erf is 1.
  constexpr double far_terms[] = {0.2553956762593762, -0.42718584888558681, 0.24165820984569525, -0.078978428801274619, 0.0037321707661415282, 0.0069931146551423457, -0.00083675963986072654, -0.00093503943788503631};
  Doubles size = size_of(x);
  size = size > 4 ? all(4.0) : size;
  Doubles square = size * size, near = size * series(square, near_terms);
  auto far = 1 - exp_of(-square) * series((size - 2) / (size + 2), far_terms);
  return with_sign_of(x, size < 1 ? near : far);
}

} // namespace numbers
} // namespace
} // namespace mlxffi
