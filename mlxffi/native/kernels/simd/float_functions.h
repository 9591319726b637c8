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

// The sum of terms[i] x^i, by pairs: what waits for results is half as long as term by term.
template <int count>
MLXFFI_INLINE Doubles series(Doubles x, const double (&terms)[count]) {
  constexpr int last = (count - 1) / 2 * 2;
  Doubles square = x * x, sum = last + 1 < count ? x * terms[count - 1] + terms[last] : all(terms[last]);
  MLXFFI_UNROLLED
  for (int i = last - 2; i >= 0; i -= 2) {
    sum = sum * square + (x * terms[i + 1] + terms[i]);
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

// --- remainders ---

// What is left of x without multiples of y, of the sign of y. Quotients of so few bits make products that are exact.
MLXFFI_INLINE Doubles remainder_of(Doubles x, Doubles y) {
  constexpr double most = 0x1p28;
  Doubles size = size_of(x), step = size_of(y), quotient = size / step;
  Doubles rest = size - rounded<Rounding::down>(quotient) * step;
  rest = rest < 0 ? rest + step : rest;
  rest = bits_as<Doubles>(bits_as<Bits>(rest) ^ (bits_as<Bits>(x) & sign_bit));
  if (any_above(bits_as<Bits>(quotient), bits_as<uint64_t>(most)) || any_above(bits_as<Bits>(step), largest)) {
    for (int i = 0; i < lanes<double>; i++) {
      rest[i] = std::fmod(x[i], y[i]);
    }
  }
  return (rest != 0) & ((rest < 0) != (y < 0)) ? rest + y : rest;
}

// --- powers ---

// What exp(x) - 1 - x is of x^2 for small x, by powers of x.
constexpr double exp_terms[] = {0.50000000784340215, 0.16666666856880702, 0.041666268263845098, 0.0083332651639649365, 0.0013946189717948061, 0.00019917972540171378};

// x = exponent ln(2) + rest, as 2^exponent / `part`, a power of two.
struct Scaled {
  Doubles scale, rest;
};

// A float's exponential is 0 or infinite long before the limits of this.
template <int part>
MLXFFI_INLINE Scaled scaled(Doubles x) {
  // Adding this rounds to an integer n and leaves the exponent of 2^n / part in the lowest bits.
  constexpr double rounding = 0x1.8p52 + 1024 - part;
  x = smaller(all(200.0), larger(all(-200.0), x));
  Doubles rounded = x * log2e + rounding;
  return {bits_as<Doubles>(bits_as<Bits>(rounded) << 52), x - (rounded - rounding) * ln2};
}

MLXFFI_INLINE Power<double> power_of(Doubles x) {
  auto [scale, rest] = scaled<1>(x);
  return {scale, rest + rest * rest * series(rest, exp_terms)};
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

struct Hyperbolic {
  Doubles sine, cosine;
};

// By those of the rest: sinh(a + b) = sinh(a) cosh(b) + cosh(a) sinh(b), cosh(a + b) = cosh(a) cosh(b) + sinh(a) sinh(b).
MLXFFI_INLINE Hyperbolic hyperbolic(Doubles x) {
  constexpr double even[] = {1, exp_terms[0], exp_terms[2], exp_terms[4]}, odd[] = {1, exp_terms[1], exp_terms[3], exp_terms[5]};
  constexpr uint64_t of_inverse = uint64_t(2 * 1022) << 52;
  auto [half, rest] = scaled<2>(x);
  Doubles inverse = bits_as<Doubles>(of_inverse - bits_as<Bits>(half)), square = rest * rest;
  Doubles sine = half - inverse, cosine = half + inverse, of_rest = rest * series(square, odd), beside = series(square, even);
  return {sine * beside + cosine * of_rest, cosine * beside + sine * of_rest};
}

MLXFFI_INLINE Doubles sinh_of(Doubles x) {
  return with_sign_of(x, hyperbolic(x).sine);
}
MLXFFI_INLINE Doubles cosh_of(Doubles x) {
  return hyperbolic(x).cosine;
}
MLXFFI_INLINE Doubles tanh_of(Doubles x) {
  auto e = power_of(x * 2).less_one();
  return with_sign_of(x, e / (e + 2));
}

// --- logarithms ---

// For each of 16 parts of nearly the same length from `lowest` to twice that: 1 / its middle, and the logarithm of that
// middle. 1 is the middle of its own.
namespace mantissas {
constexpr uint64_t lowest = 0x3fe8800000000000;
constexpr PairTable parts(
    {1.28, 1.2307692307692308, 1.1851851851851851, 1.1428571428571428,
       1.103448275862069, 1.0666666666666667, 1.032258064516129, 1.0,
       0.9411764705882353, 0.8888888888888888, 0.8421052631578947, 0.8,
       0.7619047619047619, 0.7272727272727273, 0.6956521739130435, 0.6666666666666666},
    {-0.2468600779315258, -0.20763936477824455, -0.16989903679539742, -0.13353139262452257,
       -0.09844007281325251, -0.06453852113757116, -0.03174869831458027, 0.0,
       0.060624621816434854, 0.11778303565638351, 0.17185025692665928, 0.2231435513142097,
       0.2719337154836418, 0.3184537311185346, 0.3629054936893685, 0.40546510810816444});
} // namespace mantissas

// x = mantissa 2^exponent, the mantissa in the part of that number; x is positive.
struct Parts {
  Doubles mantissa, exponent;
  Bits part;
};

MLXFFI_INLINE Parts parts_of(Doubles x) {
  constexpr uint64_t one = uint64_t(1023) << 52, exponents = ~((uint64_t(1) << 52) - 1);
  Bits bits = bits_as<Bits>(x), above = bits - mantissas::lowest;
  return {bits_as<Doubles>(bits - (above & exponents)), exponent_of(bits_as<Doubles>(above + one)), above >> 48};
}

// log(1 + d), for d up to 1/32.
MLXFFI_INLINE Doubles log_by_series(Doubles d) {
  constexpr double terms[] = {-0.5000000000071543, 0.333333274588318, -0.24999991555981435, 0.20019439615909973, -0.16686511008858604};
  return d + d * d * series(d, terms);
}

// The logarithm of what is not a positive number: that of 0 is -inf, that of inf inf, and others have none.
MLXFFI_INLINE Doubles log_at_limits(Doubles x, Doubles log) {
  if (any_above(bits_as<Bits>(x) - 1, largest - 1)) {
    log = x < INFINITY ? log : x;
    log = x > 0 ? log : x == 0 ? all(-double(INFINITY)) : all(double(NAN));
  }
  return log;
}

MLXFFI_INLINE Doubles log_of_positive(Doubles x) {
  auto parts = parts_of(x);
  auto [inverse, log_of_middle] = entries(mantissas::parts, parts.part);
  auto log = log_by_series(parts.mantissa * inverse - 1);
  return log + (parts.exponent * ln2 + log_of_middle);
}

MLXFFI_INLINE Doubles log_of(Doubles x) {
  return log_at_limits(x, log_of_positive(x));
}
MLXFFI_INLINE Doubles log2_of(Doubles x) {
  return log_of(x) * log2e;
}
MLXFFI_INLINE Doubles log10_of(Doubles x) {
  return log_of(x) * 0.4342944819032518;
}
// Near 0, 1 + x lacks digits of x that a float has: `near` is what a function is there to 2^-43.
MLXFFI_INLINE Doubles near_zero(Doubles x, Doubles near, Doubles elsewhere) {
  return size_of(x) < 0x1p-22 ? near : elsewhere;
}

MLXFFI_INLINE Doubles log1p_of(Doubles x) {
  return near_zero(x, x - x * x * 0.5, log_of(x + 1));
}
MLXFFI_INLINE Doubles asinh_of(Doubles x) {
  auto size = size_of(x);
  return with_sign_of(x, near_zero(size, size, log_of(size + root(size * size + 1))));
}
MLXFFI_INLINE Doubles acosh_of(Doubles x) {
  return x < 1 ? all(double(NAN)) : log_of(x + root(x * x - 1));
}
MLXFFI_INLINE Doubles atanh_of(Doubles x) {
  return near_zero(x, x, log_of((1 + x) / (1 - x)) * 0.5);
}

// log(exp(x) + exp(y)); an infinity as large as its neighbour is the result.
MLXFFI_INLINE Doubles logaddexp_of(Doubles x, Doubles y) {
  Doubles top = x > y ? x : y, low = x > y ? y : x;
  auto sum = top + log1p_of(exp_of(low - top));
  sum = top == low ? top + ln2 : sum;
  return x != x ? x : y != y ? y : sum;
}

// As C's pow: 1 for an exponent of 0 and a base of 1 whatever stands beside it.
MLXFFI_INLINE Doubles pow_at_limits(Doubles x, Doubles y) {
  Doubles size = size_of(x), none = all(double(NAN)), power = exp_of(y * log_of(size));
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
  bool at_limits = any_above(bits_as<Bits>(x) - 1, largest - 1) || any_above(bits_as<Bits>(size_of(y)), largest);
  return at_limits ? pow_at_limits(x, y) : exp_of(y * log_of_positive(x));
}

MLXFFI_INLINE Doubles square_of(Doubles x) {
  return x * x;
}
MLXFFI_INLINE Doubles cube_of(Doubles x) {
  return x * x * x;
}
MLXFFI_INLINE Doubles inverse_of(Doubles x) {
  return 1 / x;
}
// Other than the root, 0 of -0, and inf of -inf.
MLXFFI_INLINE Doubles power_of_half(Doubles x) {
  return x == -INFINITY ? all(double(INFINITY)) : root(x + 0.0);
}

// --- angles ---

// Adding this rounds to an integer, of which the lowest bits are then those of the sum.
constexpr double to_integer = 0x1.8p52;

// Up to here the first two parts of pi times a number of turns are exact.
constexpr double farthest = 1e6;

// What is left of x without so many turns of `unit` times pi.
MLXFFI_INLINE Doubles rest_of(Doubles x, Doubles turns, double unit) {
  constexpr double first = 0x1.921fb544p+1, second = 0x1.0b4611a6p-33, third = 0x1.3198a2e037073p-68;
  return ((x - turns * (first * unit)) - turns * (second * unit)) - turns * (third * unit);
}

// The C library's function of the numbers that are too far away.
template <double (*function)(double)>
MLXFFI_INLINE Doubles far(Doubles x, Doubles near) {
  if (any_above(bits_as<Bits>(size_of(x)), bits_as<uint64_t>(farthest))) {
    for (int i = 0; i < lanes<double>; i++) {
      near[i] = std::abs(x[i]) > farthest ? function(x[i]) : near[i];
    }
  }
  return near;
}

// The sine of what is up to pi / 2.
MLXFFI_INLINE Doubles sine_series(Doubles x) {
  constexpr double terms[] = {-0.16666666626130658, 0.008333331107795609, -0.00019840868102339126, 2.752537877725117e-06, -2.3888807259878855e-08};
  Doubles square = x * x;
  return x * (1 + square * series(square, terms));
}

// x after so many half turns, as to_integer has their number.
MLXFFI_INLINE Doubles turned(Doubles x, Doubles turns) {
  return bits_as<Doubles>(bits_as<Bits>(x) ^ (bits_as<Bits>(turns) << 63));
}

MLXFFI_INLINE Doubles sin_of(Doubles x) {
  Doubles turns = x * (1 / pi) + to_integer;
  return far<std::sin>(x, turned(sine_series(rest_of(x, turns - to_integer, 1)), turns));
}
MLXFFI_INLINE Doubles cos_of(Doubles x) {
  Doubles turns = (x * (1 / pi) + 0.5) + to_integer;
  return far<std::cos>(x, turned(sine_series(rest_of(x, (turns - to_integer) - 0.5, 1)), turns));
}
MLXFFI_INLINE Doubles tan_of(Doubles x) {
  Doubles turns = x * (2 / pi) + to_integer, rest = rest_of(x, turns - to_integer, 0.5), square = rest * rest;
  Doubles height = rest * ((square * 0.0010747250147165785 - 0.11135524579120759) * square + 1);
  Doubles width = (square * 0.01597090026507899 - 0.4446885779327801) * square + 1;
  auto odd = (bits_as<Bits>(turns) & 1) != 0;
  return far<std::tan>(x, (odd ? -width : height) / (odd ? height : width));
}

constexpr double tangent_of_eighth = 0.41421356237309503;

// The angle of which this is the tangent, up to that of pi / 8.
MLXFFI_INLINE Doubles angle_by_series(Doubles t) {
  constexpr double terms[] = {-0.3333333249865448, 0.1999990386313107, -0.14282006410492593, 0.11044674224714623, -0.08476168331365269, 0.04743832337142528};
  Doubles square = t * t;
  return t + t * square * series(square, terms);
}

// The angle of the point (x, y).
MLXFFI_INLINE Doubles angle_of(Doubles y, Doubles x) {
  Doubles width = size_of(x), height = size_of(y);
  auto steep = height > width;
  Doubles low = steep ? width : height, high = steep ? height : width;
  auto large = low > high * tangent_of_eighth;
  Doubles t = (large ? low - high : low) / (large ? low + high : high);
  t = low == high ? all(0.0) : t;
  auto angle = angle_by_series(t);
  angle = large | ((low == high) & (high > 0)) ? angle + pi / 4 : angle;
  angle = steep ? pi / 2 - angle : angle;
  angle = bits_as<Bits>(x) >= sign_bit ? pi - angle : angle;
  return x != x ? x : with_sign_of(y, angle);
}

MLXFFI_INLINE Doubles atan_of(Doubles x) {
  auto size = size_of(x);
  auto large = size > tangent_of_eighth, steep = size > 1 / tangent_of_eighth;
  Doubles above = large ? size - 1 : size, below = large ? size + 1 : all(1.0), from = large ? all(pi / 4) : all(0.0);
  above = steep ? all(-1.0) : above;
  below = steep ? size : below;
  from = steep ? all(pi / 2) : from;
  return with_sign_of(x, from + angle_by_series(above / below));
}

// The arc sine of a size, as asin(s) or as pi / 2 - 2 asin(s), with s up to 1/2.
struct HalvedArc {
  Vector<int64_t> is_halved;
  Doubles angle;
};

MLXFFI_INLINE HalvedArc arc_of(Doubles size) {
  constexpr double terms[] = {0.16666659986128612, 0.07500504504037371, 0.04451689149554512, 0.031808270888551614, 0.01443643349363618, 0.03751961787142571};
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

// Of what erf(x) / x is in each of 16 parts of `erf_part` each, by powers of how far x is from the middle: the numbers before
// these, in order, and the middle.
constexpr double erf_part = 0.2537;
constexpr PairTable erf_terms[] = {
    PairTable(
        {1.128379167092777, 1.1046306618478905, 1.0385864190533118, 0.9436773036208755, 0.8363755524277859,
         0.7309228555649018, 0.6363546089039995, 0.556325319526287, 0.4906873359767492, 0.4374186842291711,
         0.39403492177199534, 0.35830463551389286, 0.3284664741705212, 0.3032039362262899, 0.28154724120290225,
         0.2627775394169278},
        {0.0, -0.1836430012491445, -0.3278096037929163, -0.4091976256175724, -0.42714173458591514, -0.3982412329662871,
         -0.3449887671265516, -0.28614013747500067, -0.23272767591812896, -0.18888324976449047, -0.15460268677573694,
         -0.12822471791406126, -0.10785704830298602, -0.09192645269244257, -0.0792678343468341, -0.06905188803536087}),
    PairTable(
        {-0.3761263835984462, -0.33418151526814455, -0.2261982567489556, -0.09459722430098776, 0.018000105617677842,
         0.08819271689039905, 0.11542555315158383, 0.11295496509144558, 0.09632352655756746, 0.07658224036320235,
         0.059131270398946396, 0.0454792373967147, 0.035321538552074296, 0.0278512460214641, 0.022313904214134643,
         0.018144707034384297},
        {0.0, 0.10603252626546812, 0.16782822707624764, 0.16818994540343452, 0.1225010629061591, 0.062065442741264874,
         0.012677931675146591, -0.015616372036852916, -0.02565247241796665, -0.025088283148431548, -0.02048747872707465,
         -0.015482133273124407, -0.011397708604729934, -0.00839994789284404, -0.006273895591129714, -0.004766598153263726}),
    PairTable(
        {0.11283622991509595, 0.08836632154810274, 0.03050646778928487, -0.02694378282921624, -0.05756543022482778,
         -0.05713596625378937, -0.038618587509849416, -0.017761056411774265, -0.00337648595886952, 0.003385424599167734,
         0.00510061602889242, 0.004567025796904844, 0.0034681296725475566, 0.002480324372072489, 0.001752518449672141,
         0.0012500481740498283},
        {0.0, -0.03608543918289122, -0.0497585105000567, -0.03670649433447594, -0.011040259406007003, 0.009584011271115404,
         0.017151211301809115, 0.014433076465728488, 0.008138317467129652, 0.002951772931080377, 0.000181361375812554,
         -0.0007773866231463611, -0.0008622854370868449, -0.0006776028918245832, -0.0004768170984770983,
         -0.0003256100090552067}),
    PairTable(
        {-0.026698464612318642, -0.018046688417279143, 0.0005874231854297597, 0.014869920117453342, 0.016772752810298757,
         0.00941725147814511, 0.0008796702101428027, -0.0036711077749909627, -0.004081533567291074, -0.0026060744203899033,
         -0.0011130370768405663, -0.000252397685471414, 7.675809439264077e-05, 0.0001406628512177773, 0.00011733942166813892,
         8.184914331777431e-05},
        {0.0, 0.2537, 0.5074, 0.7611, 1.0148, 1.2685, 1.5222, 1.7759, 2.0296, 2.2833, 2.537, 2.7907, 3.0444, 3.2981, 3.5518,
         3.8055})};

// From 3.93 on a float's erf is 1.
MLXFFI_INLINE Doubles erf_of(Doubles x) {
  Doubles size = smaller(all(3.93), size_of(x));
  auto part = bits_as<Bits>(size * (1 / erf_part) + to_integer);
  auto [first, second] = entries(erf_terms[0], part);
  auto [third, fourth] = entries(erf_terms[1], part);
  auto [fifth, sixth] = entries(erf_terms[2], part);
  auto [seventh, middle] = entries(erf_terms[3], part);
  Doubles t = size - middle, square = t * t;
  Doubles sum = (seventh * square + (sixth * t + fifth)) * square + (fourth * t + third);
  return with_sign_of(x, size * (sum * square + (second * t + first)));
}

// What erfinv(x) / x is for w = -log(1 - x^2) up to 5, by powers of w - 2.5; and above, by those of root(w) - erfinv_middle.
constexpr double erfinv_limit = 5, erfinv_middle = 3.16131566292015;
constexpr double erfinv_terms[] = {
      1.5014093511285518, 0.2466402766779535, -0.004177318013898877, -0.0012527075896496638, 0.0002182510282704942,
      -4.996526262982478e-06, -3.417373102983959e-06, 4.790038325960827e-07, 1.3770880469312052e-08,
      -1.095124790398727e-08, 8.214312338030975e-10, 1.355416319143136e-10, -2.060349624977841e-11,
      -6.207325641544703e-13};
constexpr double erfinv_terms_above[] = {
      2.9947799074221453, 1.004210321468146, 0.006499205504086557, -0.004781883206031468, 0.0033612506641877015,
      -0.0022543335406761183, 0.0011742712888115818, -0.0003494368958767906, -4.821696698951649e-05,
      0.00011733840191445832, -5.7949280756012714e-05, 3.256987415705895e-06, 9.97597082985666e-06,
      -3.4940615109858795e-06};

MLXFFI_INLINE Doubles erfinv_of(Doubles x) {
  Doubles rest = (1 - x) * (1 + x), w = -log_of_positive(larger(rest, all(0x1p-30)));
  Doubles factor = series(w - 0.5 * erfinv_limit, erfinv_terms);
  auto above = w > erfinv_limit;
  if (any_of(above)) {
    factor = above ? series(root(w) - erfinv_middle, erfinv_terms_above) : factor;
  }
  factor = rest > 0 ? factor : rest == 0 ? all(double(INFINITY)) : all(double(NAN));
  return x * factor;
}

} // namespace numbers
} // namespace
} // namespace mlxffi
