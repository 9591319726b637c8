// Gated units: a(x) u with a(x) = x sigmoid(p(x)), where p(x) = x is SiLU and p(x) = sqrt(8 / pi) (x + 0.044715 x^3) is
// GELU with tanh, for (1 + tanh(z)) / 2 = sigmoid(2 z).
#pragma once

#include "loops.h"

namespace mlxffi {
namespace {

template <class T>
struct Silu {
  MLXFFI_INLINE static Vector<T> argument(Vector<T> x) {
    return x;
  }
  MLXFFI_INLINE static Vector<T> slope(Vector<T>) {
    return all(T(1));
  }
};

template <class T>
struct GeluTanh {
  static constexpr T linear = T(1.5957691216057308), cubic = T(1.5957691216057308 * 0.044715);
  MLXFFI_INLINE static Vector<T> argument(Vector<T> x) {
    return x * (x * x * cubic + linear);
  }
  MLXFFI_INLINE static Vector<T> slope(Vector<T> x) {
    return x * x * (3 * cubic) + linear;
  }
};

// By the exponential of what is not above 0, which never overflows.
template <class T>
MLXFFI_INLINE Vector<T> sigmoid(Vector<T> x, const Exponential<T>& exp) {
  Vector<T> small = exp(x < 0 ? x : -x);
  return (x < 0 ? small : all(T(1))) / (small + 1);
}

template <class E, template <class> class Activation>
void gate(const void* gates, const void* ups, void* out, int64_t size) {
  using T = typename E::Lane;
  auto g = static_cast<const typename E::Stored*>(gates), u = static_cast<const typename E::Stored*>(ups);
  auto to = static_cast<typename E::Stored*>(out);
  Exponential<T> exp(1);
  each<T>(size, [&](int64_t i, int count) MLXFFI_INLINED {
    auto x = load<E>(g + i, count);
    store<E>(to + i, x * sigmoid<T>(Activation<T>::argument(x), exp) * load<E>(u + i, count), count);
  });
}

// da/dx = s + x s (1 - s) p'(x); the second term is 0 where s is 0 or 1, whatever stands beside it.
template <class E, template <class> class Activation>
void gate_gradient(const void* gates, const void* ups, const void* cotangents, void* to_gate, void* to_up, int64_t size) {
  using T = typename E::Lane;
  using Stored = typename E::Stored;
  auto g = static_cast<const Stored*>(gates), u = static_cast<const Stored*>(ups), c = static_cast<const Stored*>(cotangents);
  auto for_gate = static_cast<Stored*>(to_gate), for_up = static_cast<Stored*>(to_up);
  Exponential<T> exp(1);
  each<T>(size, [&](int64_t i, int count) MLXFFI_INLINED {
    Vector<T> x = load<E>(g + i, count), up = load<E>(u + i, count), cotangent = load<E>(c + i, count);
    Vector<T> s = sigmoid<T>(Activation<T>::argument(x), exp), bend = s * (1 - s);
    bend = bend != 0 ? bend * x * Activation<T>::slope(x) : bend;
    store<E>(for_gate + i, cotangent * up * (s + bend), count);
    store<E>(for_up + i, cotangent * x * s, count);
  });
}

template <class E>
void swiglu(const void* gates, const void* ups, void* out, int64_t size) {
  gate<E, Silu>(gates, ups, out, size);
}
template <class E>
void geglu(const void* gates, const void* ups, void* out, int64_t size) {
  gate<E, GeluTanh>(gates, ups, out, size);
}
template <class E>
void swiglu_gradient(const void* gates, const void* ups, const void* cotangents, void* to_gate, void* to_up, int64_t size) {
  gate_gradient<E, Silu>(gates, ups, cotangents, to_gate, to_up, size);
}
template <class E>
void geglu_gradient(const void* gates, const void* ups, const void* cotangents, void* to_gate, void* to_up, int64_t size) {
  gate_gradient<E, GeluTanh>(gates, ups, cotangents, to_gate, to_up, size);
}

} // namespace
} // namespace mlxffi
