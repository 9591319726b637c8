// KL(p || q) of one row of logits of q (student) and p (teacher), and its gradients.
//
// With u = (q - its shift) / temperature and v = (p - its shift) / temperature,
//   KL = sum(exp(v) (v - u)) / sum(exp(v)) + log(sum(exp(u))) - log(sum(exp(v))).
#pragma once

#include "loops.h"

namespace mlxffi {
namespace {

inline double at_least_0(double divergence) {
  return divergence < 0 ? 0 : divergence;
}

template <class E>
DivergenceRow kl(RowPair rows, RowPair next, int64_t size, double temperature) {
  using T = typename E::Lane;
  auto q = static_cast<const typename E::Stored*>(rows.q), p = static_cast<const typename E::Stored*>(rows.p);
  double q_shift = shift_of<E>(q, size), p_shift = shift_of<E>(p, size);
  auto q_top = all(static_cast<T>(q_shift)), p_top = all(static_cast<T>(p_shift));
  Exponential<T> exp(temperature);
  double sums[3] = {};
  accumulate<T, 3>(size, sums, [&](int64_t i, int count, Vector<T>* sum) MLXFFI_INLINED {
    fetch(next.q, i * sizeof(*q));
    fetch(next.p, i * sizeof(*p));
    auto u = load<E>(q + i, count) - q_top, v = load<E>(p + i, count) - p_top;
    auto weight = exp(v);
    sum[0] += exp(u);
    sum[1] += weight;
    sum[2] += weight > 0 ? weight * (v - u) : Vector<T>{};
  });
  double loss = sums[2] / sums[1] / temperature + std::log(sums[0]) - std::log(sums[1]);
  return {at_least_0(loss), {q_shift, sums[0]}, {p_shift, sums[1]}, 0, 0};
}

// d KL / dq = (softmax(q) - softmax(p)) / temperature,
// d KL / dp = softmax(p) (log(softmax(p) / softmax(q)) - KL) / temperature.
template <class E>
void kl_gradient(RowPair rows, GradientPair out, int64_t size, double temperature, const DivergenceRow& row, double cotangent) {
  using T = typename E::Lane;
  using Stored = typename E::Stored;
  auto q = static_cast<const Stored*>(rows.q), p = static_cast<const Stored*>(rows.p);
  auto to_q = static_cast<Stored*>(out.q), to_p = static_cast<Stored*>(out.p);
  auto q_top = all(static_cast<T>(row.q.shift)), p_top = all(static_cast<T>(row.p.shift));
  double factor = cotangent / temperature;
  // Not two products and their difference, which rounding, or a fused multiply-add, would keep from being 0 for q = p.
  auto ratio = all(static_cast<T>(row.p.sum / row.q.sum)), p_factor = all(static_cast<T>(factor / row.p.sum));
  auto slope = all(static_cast<T>(1 / temperature));
  auto offset = all(static_cast<T>(std::log(row.q.sum) - std::log(row.p.sum) - row.loss));
  Exponential<T> exp(temperature);
  each<T>(size, [&](int64_t i, int count) MLXFFI_INLINED {
    auto u = load<E>(q + i, count) - q_top, v = load<E>(p + i, count) - p_top;
    auto weight = exp(v);
    store<E>(to_q + i, (exp(u) * ratio - weight) * p_factor, count);
    if (to_p) {
      store<E>(to_p + i, weight != 0 ? weight * p_factor * ((v - u) * slope + offset) : Vector<T>{}, count);
    }
  });
}

} // namespace
} // namespace mlxffi
