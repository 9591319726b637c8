// Cross-entropy of one row: loss = log(sum) - (x[target] - shift), and its gradient exp(x - shift) / sum - onehot.
#pragma once

#include "loops.h"

namespace mlxffi {
namespace {

template <class E>
CrossEntropyRow cross_entropy(const void* row, const void* following, int64_t size, int64_t target, double smoothing) {
  using T = typename E::Lane;
  auto x = static_cast<const typename E::Stored*>(row);
  Normalizer normalizer{shift_of<E>(x, size), 0};
  auto shift = all(static_cast<T>(normalizer.shift));
  Exponential<T> exp(1);
  accumulate<T, 1>(size, &normalizer.sum, [&](int64_t i, int count, Vector<T>* sum) MLXFFI_INLINED {
    fetch(following, i * sizeof(*x));
    *sum += exp(load<E>(x + i, count) - shift);
  });
  double log_sum = std::log(normalizer.sum);
  double chosen = target < size ? element<E>(x + target) - normalizer.shift : NAN;
  double loss = log_sum - chosen;
  if (smoothing != 0) {
    double sum = 0;
    accumulate<T, 1>(size, &sum, [&](int64_t i, int count, Vector<T>* part) MLXFFI_INLINED {
      *part += first<T>(load<E>(x + i, count) - shift, count);
    });
    loss = (1 - smoothing) * loss + smoothing * (log_sum - sum / size);
  }
  return {loss, normalizer};
}

// The target's own element is computed in double: where the target is nearly certain, most of it cancels.
template <class E>
void cross_entropy_gradient(
    const void* row, void* out, int64_t size, int64_t target, double smoothing, Normalizer normalizer, double cotangent) {
  using T = typename E::Lane;
  auto x = static_cast<const typename E::Stored*>(row);
  auto to = static_cast<typename E::Stored*>(out);
  if (target >= size) {
    return fill<E>(out, size, NAN);
  }
  double scale = cotangent / normalizer.sum, spread = cotangent * smoothing / size;
  double chosen = std::exp(element<E>(x + target) - normalizer.shift) * scale - spread - cotangent * (1 - smoothing);
  auto shift = all(static_cast<T>(normalizer.shift)), factor = all(static_cast<T>(scale)), offset = all(static_cast<T>(spread));
  Exponential<T> exp(1);
  each<T>(size, [&](int64_t i, int count) MLXFFI_INLINED {
    store<E>(to + i, exp(load<E>(x + i, count) - shift) * factor - offset, count);
  });
  put_element<E>(to + target, chosen);
}

} // namespace
} // namespace mlxffi
