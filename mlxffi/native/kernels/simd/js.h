// The Jensen-Shannon divergence of one row of logits of q (student) and p (teacher), and its gradients.
//
// With m = (p + q) / 2, and g the distance between log p and log q of an element, the larger one of p and q has
// log(larger / m) = -log((1 + exp(-g)) / 2) = -log1p((exp(-g) - 1) / 2), the smaller one that less g: exactly 0 for
// equal probabilities, and never an overflow.
#pragma once

#include "kl.h"

namespace mlxffi {
namespace {

// q, p, log(q / m) and log(p / m) of the elements of a vector; where a probability is 0, so is its logarithm.
template <class T>
struct Mixture {
  Vector<T> q, p, q_over_m, p_over_m;
};

template <class T>
MLXFFI_INLINE Mixture<T> mixture(Vector<T> log_q, Vector<T> log_p, const Exponential<T>& exp) {
  auto q_leads = log_q > log_p;
  Vector<T> top = q_leads ? log_q : log_p, gap = q_leads ? log_q - log_p : log_p - log_q;
  auto ratio = exp.power(-gap);
  Vector<T> log = log1p_of(ratio.less_one() * T(0.5));
  Vector<T> large = exp(top), small = large * ratio.value(), none{};
  Vector<T> large_over_m = large > 0 ? -log : none;
  Vector<T> small_over_m = small > 0 ? -gap - log : none;
  small = small > 0 ? small : none;
  return {
      q_leads ? large : small,
      q_leads ? small : large,
      q_leads ? large_over_m : small_over_m,
      q_leads ? small_over_m : large_over_m};
}

// (x - shift) / temperature - log(sum), the logarithms of the probabilities.
template <class T>
struct LogSoftmax {
  T shift, slope, log_sum;

  LogSoftmax(Normalizer normalizer, double temperature)
      : shift(static_cast<T>(normalizer.shift)), slope(static_cast<T>(1 / temperature)), log_sum(static_cast<T>(std::log(normalizer.sum))) {}

  MLXFFI_INLINE Vector<T> operator()(Vector<T> x) const {
    return (x - shift) * slope - log_sum;
  }
};

template <class E>
Normalizer normalizer_of(const typename E::Stored* x, int64_t size, double temperature) {
  using T = typename E::Lane;
  Normalizer result{shift_of<E>(x, size), 0};
  auto shift = all(static_cast<T>(result.shift));
  Exponential<T> exp(temperature);
  accumulate<T, 1>(size, &result.sum, [&](int64_t i, int count, Vector<T>* sum) MLXFFI_INLINED { *sum += exp(load<E>(x + i, count) - shift); });
  return result;
}

// Whether a row has probabilities: not where a logit is NaN or +inf, nor where all are -inf.
inline bool has_probabilities(const DivergenceRow& row) {
  return row.q.sum > 0 && row.p.sum > 0;
}

template <class E>
DivergenceRow js(RowPair rows, RowPair next, int64_t size, double temperature) {
  using T = typename E::Lane;
  auto q = static_cast<const typename E::Stored*>(rows.q), p = static_cast<const typename E::Stored*>(rows.p);
  DivergenceRow row{NAN, normalizer_of<E>(q, size, temperature), normalizer_of<E>(p, size, temperature), NAN, NAN};
  if (!has_probabilities(row)) {
    return row;
  }
  LogSoftmax<T> log_q(row.q, temperature), log_p(row.p, temperature);
  Exponential<T> exp(1);
  double sums[2] = {};
  accumulate<T, 2>(size, sums, [&](int64_t i, int count, Vector<T>* sum) MLXFFI_INLINED {
    fetch(next.q, i * sizeof(*q));
    fetch(next.p, i * sizeof(*p));
    auto mixed = mixture<T>(log_q(load<E>(q + i, count)), log_p(load<E>(p + i, count)), exp);
    sum[0] += mixed.q * mixed.q_over_m;
    sum[1] += mixed.p * mixed.p_over_m;
  });
  row.to_q = sums[0];
  row.to_p = sums[1];
  row.loss = at_least_0((sums[0] + sums[1]) / 2);
  return row;
}

// d JS / dq = q (log(q / m) - KL(q || m)) / (2 temperature), and the same for p.
template <class E>
void js_gradient(RowPair rows, GradientPair out, int64_t size, double temperature, const DivergenceRow& row, double cotangent) {
  using T = typename E::Lane;
  using Stored = typename E::Stored;
  auto q = static_cast<const Stored*>(rows.q), p = static_cast<const Stored*>(rows.p);
  auto to_q = static_cast<Stored*>(out.q), to_p = static_cast<Stored*>(out.p);
  if (!has_probabilities(row)) {
    fill<E>(to_q, size, NAN);
    return to_p ? fill<E>(to_p, size, NAN) : void();
  }
  LogSoftmax<T> log_q(row.q, temperature), log_p(row.p, temperature);
  T factor = static_cast<T>(cotangent / (2 * temperature)), q_mean = static_cast<T>(row.to_q), p_mean = static_cast<T>(row.to_p);
  Exponential<T> exp(1);
  each<T>(size, [&](int64_t i, int count) MLXFFI_INLINED {
    auto mixed = mixture<T>(log_q(load<E>(q + i, count)), log_p(load<E>(p + i, count)), exp);
    store<E>(to_q + i, mixed.q * factor * (mixed.q_over_m - q_mean), count);
    if (to_p) {
      store<E>(to_p + i, mixed.p * factor * (mixed.p_over_m - p_mean), count);
    }
  });
}

} // namespace
} // namespace mlxffi
