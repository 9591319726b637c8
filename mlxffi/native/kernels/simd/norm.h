// RMSNorm of one row: x scale weight with scale = 1 / sqrt(mean(x^2) + eps), and its gradients.
#pragma once

#include "loops.h"

namespace mlxffi {
namespace {

// The weights of a vector's elements; 1 where there are none.
template <class E>
MLXFFI_INLINE VectorFor<E> weights_at(const typename E::Stored* weight, int64_t i, int count) {
  return weight ? load<E>(weight + i, count) : all(typename E::Lane(1));
}

template <class E>
double norm(const void* row, const void* weights, void* out, int64_t size, double eps) {
  using T = typename E::Lane;
  auto x = static_cast<const typename E::Stored*>(row), weight = static_cast<const typename E::Stored*>(weights);
  auto to = static_cast<typename E::Stored*>(out);
  double squares = 0;
  accumulate<T, 1>(size, &squares, [&](int64_t i, int count, Vector<T>* sum) MLXFFI_INLINED {
    auto value = first<T>(load<E>(x + i, count), count);
    *sum += value * value;
  });
  double scale = 1 / std::sqrt(squares / size + eps);
  auto factor = all(static_cast<T>(scale));
  each<T>(size, [&](int64_t i, int count) MLXFFI_INLINED {
    store<E>(to + i, load<E>(x + i, count) * factor * weights_at<E>(weight, i, count), count);
  });
  return scale;
}

// With g the cotangent times the weight: dx = scale g - x scale^3 mean(g x).
template <class E>
void norm_gradient(const void* row, const void* weights, const void* cotangents, void* out, int64_t size, double scale) {
  using T = typename E::Lane;
  using Stored = typename E::Stored;
  auto x = static_cast<const Stored*>(row), weight = static_cast<const Stored*>(weights), c = static_cast<const Stored*>(cotangents);
  auto to = static_cast<Stored*>(out);
  double product = 0;
  accumulate<T, 1>(size, &product, [&](int64_t i, int count, Vector<T>* sum) MLXFFI_INLINED {
    *sum += first<T>(load<E>(c + i, count) * weights_at<E>(weight, i, count) * load<E>(x + i, count), count);
  });
  auto factor = all(static_cast<T>(scale)), pull = all(static_cast<T>(scale * scale * scale * product / size));
  each<T>(size, [&](int64_t i, int count) MLXFFI_INLINED {
    auto g = load<E>(c + i, count) * weights_at<E>(weight, i, count);
    store<E>(to + i, g * factor - load<E>(x + i, count) * pull, count);
  });
}

template <class E>
void norm_weight(const void* row, const void* cotangents, double* sum, int64_t size, double scale) {
  using T = typename E::Lane;
  auto x = static_cast<const typename E::Stored*>(row), c = static_cast<const typename E::Stored*>(cotangents);
  auto factor = all(static_cast<T>(scale));
  each<T>(size, [&](int64_t i, int count) MLXFFI_INLINED {
    auto part = load<E>(c + i, count) * load<E>(x + i, count) * factor;
    for (int k = 0; k < count; k++) {
      sum[i + k] += part[k];
    }
  });
}

} // namespace
} // namespace mlxffi
