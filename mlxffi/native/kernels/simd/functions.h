// exp and log1p of vectors, where the losses need them: exp of what is not above 0, log1p between -1/2 and 0.
//
// The polynomials are least-maximum fits of our own (see docs/losses.md); errors are relative to the result.
#pragma once

#include "vectors.h"

namespace mlxffi {
namespace {

// exp(x) = scale * (1 + rest), where scale is a power of two and |rest| < 1/2 keeps the digits of exp(x) - 1.
template <class T>
struct Power {
  Vector<T> scale, rest;

  MLXFFI_INLINE Vector<T> value() const {
    return scale + scale * rest;
  }
  MLXFFI_INLINE Vector<T> less_one() const {
    return (scale - 1) + scale * rest;
  }
};

// x -> exp(x / temperature). A NaN stays one; what is below the smallest normal float becomes 0.
template <class T>
struct Exponential;

template <>
struct Exponential<float> {
  float factor, lowest;

  explicit Exponential(double temperature)
      : factor(static_cast<float>(1.4426950408889634 / temperature)), lowest(static_cast<float>(-127 * 0.6931471805599453 * temperature)) {}

  MLXFFI_INLINE Power<float> power(Vector<float> x) const {
    // Adding this rounds to an integer n and leaves n + 127, the exponent of 2^n, in the lowest bits.
    constexpr float rounding = 12582912 + 127;
    x = larger(all(lowest), x);
    Vector<float> rounded = x * factor + rounding;
    Vector<float> f = x * factor - (rounded - rounding);
    // 2^f - 1 for |f| <= 1/2, to 2e-9 of 2^f.
    Vector<float> series = f * 1.5353599e-4f + 1.3398851e-3f;
    series = series * f + 9.6184360e-3f;
    series = series * f + 5.5503324e-2f;
    series = series * f + 2.4022648e-1f;
    series = series * f + 6.9314718e-1f;
    return {bits_as<Vector<float>>(bits_as<Words>(rounded) << 23), series * f};
  }
  MLXFFI_INLINE Vector<float> operator()(Vector<float> x) const {
    return power(x).value();
  }
};

template <>
struct Exponential<double> {
  double factor;

  explicit Exponential(double temperature) : factor(1 / temperature) {}

  MLXFFI_INLINE Power<double> power(Vector<double> x) const {
    Power<double> result{all(1.0), x};
    for (int i = 0; i < lanes<double>; i++) {
      result.rest[i] = std::expm1(x[i] * factor);
    }
    return result;
  }
  MLXFFI_INLINE Vector<double> operator()(Vector<double> x) const {
    for (int i = 0; i < lanes<double>; i++) {
      x[i] = std::exp(x[i] * factor);
    }
    return x;
  }
};

// log(1 + z) for z in [-1/2, 0], to 4e-9.
MLXFFI_INLINE Vector<float> log1p_of(Vector<float> z) {
  Vector<float> series = z * -1.7756382f - 2.5526266f;
  series = series * z - 2.0467489f;
  series = series * z - 6.3348335e-1f;
  series = series * z - 3.5335758e-1f;
  series = series * z + 1.7329237e-1f;
  series = series * z - 2.5216186e-1f;
  series = series * z + 3.3324540e-1f;
  series = series * z - 5.0000137e-1f;
  return series * z * z + z;
}

MLXFFI_INLINE Vector<double> log1p_of(Vector<double> z) {
  for (int i = 0; i < lanes<double>; i++) {
    z[i] = std::log1p(z[i]);
  }
  return z;
}

} // namespace
} // namespace mlxffi
