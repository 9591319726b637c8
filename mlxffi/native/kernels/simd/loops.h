// Going through rows: whole vectors first, then the rest of a row in a vector that is filled up with -inf.
#pragma once

#include "functions.h"

namespace mlxffi {
namespace {


// Ask for the cache line of another row that stands where this one is read.
MLXFFI_INLINE void fetch(const void* next, int64_t offset) {
  if (next) {
    __builtin_prefetch(static_cast<const char*>(next) + offset);
  }
}

// The sums of body(i, count) over a row, for each vector of `count` elements at i. The vectors of a block are added up
// lane by lane, the blocks in double: rounding does not grow with the length of a row, nor as vectors get shorter.
template <class T, int sums, class Body>
MLXFFI_INLINE void accumulate(int64_t size, double* totals, Body body) {
  constexpr int64_t block = 128 * lanes<T>;
  for (int64_t start = 0; start < size; start += block) {
    int64_t end = size - start < block ? size : start + block, i = start;
    Vector<T> parts[sums] = {};
    for (; i + lanes<T> <= end; i += lanes<T>) {
      body(i, lanes<T>, parts);
    }
    if (i < end) {
      body(i, static_cast<int>(end - i), parts);
    }
    for (int k = 0; k < sums; k++) {
      totals[k] += sum_of<T>(parts[k]);
    }
  }
}

template <class E>
MLXFFI_INLINE VectorFor<E> load(const typename E::Stored* from, int count) {
  return count == lanes_of<E> ? E::load(from) : load_part<E>(from, count);
}

// The first `count` values, and 0 in the place of the others.
template <class T>
MLXFFI_INLINE Vector<T> first(Vector<T> values, int count) {
  for (int i = count; i < lanes<T>; i++) {
    values[i] = 0;
  }
  return values;
}

// Calls body(i, count) for each part of `step` elements at i, and for the rest.
template <int step, class Body>
MLXFFI_INLINE void each_part(int64_t size, Body body) {
  int64_t i = 0;
  for (; i + step <= size; i += step) {
    body(i, step);
  }
  if (i < size) {
    body(i, static_cast<int>(size - i));
  }
}

// The same for each vector.
template <class T, class Body>
MLXFFI_INLINE void each(int64_t size, Body body) {
  each_part<lanes<T>>(size, body);
}

template <class E>
MLXFFI_INLINE void store(typename E::Stored* to, VectorFor<E> values, int count) {
  if (count == lanes_of<E>) {
    E::store(to, values);
  } else {
    store_part<E>(to, values, count);
  }
}

// The largest element; NaNs are passed over, for they show in every sum.
template <class E>
MLXFFI_INLINE double highest(const typename E::Stored* x, int64_t size) {
  constexpr int width = lanes_of<E>;
  auto lowest = all(static_cast<typename E::Lane>(-INFINITY));
  VectorFor<E> best[4] = {lowest, lowest, lowest, lowest};
  int64_t i = 0;
  for (; i + 4 * width <= size; i += 4 * width) {
    for (int k = 0; k < 4; k++) {
      best[k] = larger(E::load(x + i + k * width), best[k]);
    }
  }
  for (; i < size; i += width) {
    int count = size - i < width ? static_cast<int>(size - i) : width;
    best[0] = larger(load<E>(x + i, count), best[0]);
  }
  auto four = larger(larger(best[0], best[1]), larger(best[2], best[3]));
  double result = four[0];
  for (int k = 1; k < width; k++) {
    result = four[k] > result ? four[k] : result;
  }
  return result;
}

// What is taken off the logits of a row so that no exp overflows.
template <class E>
MLXFFI_INLINE double shift_of(const typename E::Stored* x, int64_t size) {
  double top = highest<E>(x, size);
  return top == -INFINITY ? 0 : top;
}

template <class E>
MLXFFI_INLINE void fill(void* out, int64_t size, double value) {
  auto to = static_cast<typename E::Stored*>(out);
  auto values = all(static_cast<typename E::Lane>(value));
  each<typename E::Lane>(size, [&](int64_t i, int count) MLXFFI_INLINED { store<E>(to + i, values, count); });
}

} // namespace
} // namespace mlxffi
