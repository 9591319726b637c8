// Rotary positions of one row: pairs (a, b) of its first features become (a cos - b sin, a sin + b cos).
#pragma once

#include "loops.h"

namespace mlxffi {
namespace {

// The pairs are (i, i + half).
template <class E>
MLXFFI_INLINE void rotate_halves(
    const typename E::Stored* x, typename E::Stored* out, int64_t half, const typename E::Lane* cosines, const typename E::Lane* sines) {
  using T = typename E::Lane;
  int64_t i = 0;
  for (; i + lanes<T> <= half; i += lanes<T>) {
    auto a = E::load(x + i), b = E::load(x + half + i);
    auto c = read_as<Vector<T>>(cosines + i), s = read_as<Vector<T>>(sines + i);
    E::store(out + i, a * c - b * s);
    E::store(out + half + i, a * s + b * c);
  }
  for (; i < half; i++) {
    double a = element<E>(x + i), b = element<E>(x + half + i), c = cosines[i], s = sines[i];
    put_element<E>(out + i, a * c - b * s);
    put_element<E>(out + half + i, a * s + b * c);
  }
}

// The pairs are (2 i, 2 i + 1).
template <class E>
MLXFFI_INLINE void rotate_neighbours(
    const typename E::Stored* x, typename E::Stored* out, int64_t half, const typename E::Lane* cosines, const typename E::Lane* sines) {
  using T = typename E::Lane;
  constexpr int pairs = lanes<T> / 2;
  for (int64_t i = 0; i < half; i += pairs) {
    int count = static_cast<int>(half - i < pairs ? half - i : pairs);
    auto values = load<E>(x + 2 * i, 2 * count), turned = values;
    for (int k = 0; k < count; k++) {
      T a = values[2 * k], b = values[2 * k + 1], c = cosines[i + k], s = sines[i + k];
      turned[2 * k] = a * c - b * s;
      turned[2 * k + 1] = a * s + b * c;
    }
    store<E>(out + 2 * i, turned, 2 * count);
  }
}

template <class E>
void rotate(const void* row, void* out, int64_t size, int64_t half, bool neighbours, const void* cosines, const void* sines) {
  using T = typename E::Lane;
  auto x = static_cast<const typename E::Stored*>(row);
  auto to = static_cast<typename E::Stored*>(out);
  auto turn = neighbours ? rotate_neighbours<E> : rotate_halves<E>;
  turn(x, to, half, static_cast<const T*>(cosines), static_cast<const T*>(sines));
  std::memmove(to + 2 * half, x + 2 * half, (size - 2 * half) * sizeof(*x));
}

} // namespace
} // namespace mlxffi
