// What attention does with rows of scores, in float32, and the way to float32 and back.
#pragma once

#include "loops.h"

namespace mlxffi {
namespace {

SoftmaxRow softmax(float* scores, int64_t size) {
  float shift = static_cast<float>(highest<Float32>(scores, size));
  Exponential<float> exp(1);
  double sum = 0;
  accumulate<float, 1>(size, &sum, [&](int64_t i, int count, Vector<float>* part) MLXFFI_INLINED {
    auto power = first<float>(exp(load<Float32>(scores + i, count) - shift), count);
    store<Float32>(scores + i, power, count);
    *part += power;
  });
  return {shift, static_cast<float>(sum)};
}

void softmax_gradient(float* scores, float* cotangents, int64_t size, SoftmaxRow row, float mean, float scale) {
  Exponential<float> exp(1);
  float factor = 1 / row.sum;
  each<float>(size, [&](int64_t i, int count) MLXFFI_INLINED {
    auto p = exp(load<Float32>(scores + i, count) - row.shift) * factor;
    store<Float32>(scores + i, p, count);
    store<Float32>(cotangents + i, p * (load<Float32>(cotangents + i, count) - mean) * scale, count);
  });
}

template <class E>
void widen(const void* from, float* to, int64_t size) {
  auto x = static_cast<const typename E::Stored*>(from);
  if constexpr (std::is_same_v<typename E::Lane, float>) {
    each<float>(size, [&](int64_t i, int count) MLXFFI_INLINED { store<Float32>(to + i, load<E>(x + i, count), count); });
  } else {
    for (int64_t i = 0; i < size; i++) {
      to[i] = static_cast<float>(x[i]);
    }
  }
}

template <class E>
void narrow(const float* from, void* out, int64_t size, float factor) {
  auto to = static_cast<typename E::Stored*>(out);
  if constexpr (std::is_same_v<typename E::Lane, float>) {
    each<float>(size, [&](int64_t i, int count) MLXFFI_INLINED { store<E>(to + i, load<Float32>(from + i, count) * factor, count); });
  } else {
    for (int64_t i = 0; i < size; i++) {
      to[i] = from[i] * factor;
    }
  }
}

float dot(const float* a, const float* b, int64_t size) {
  double sum = 0;
  accumulate<float, 1>(size, &sum, [&](int64_t i, int count, Vector<float>* part) MLXFFI_INLINED {
    *part += first<float>(load<Float32>(a + i, count) * load<Float32>(b + i, count), count);
  });
  return static_cast<float>(sum);
}

void add_scaled(const float* from, float* to, int64_t size, float factor) {
  each<float>(size, [&](int64_t i, int count) MLXFFI_INLINED {
    store<Float32>(to + i, load<Float32>(to + i, count) + load<Float32>(from + i, count) * factor, count);
  });
}

} // namespace
} // namespace mlxffi
