#include "composed.h"

namespace mlxffi {

namespace {

mx::array constant(double value, const mx::array& like) {
  return mx::array(value, like.dtype());
}

mx::array column(const mx::array& rows, mx::Stream s) {
  return mx::expand_dims(rows, -1, s);
}

// --- cross-entropy ---

// What of each row counts: 1, 0 for an ignored target, NaN for one that is no class.
mx::array weight_of(const mx::array& targets, const mx::array& logits, const CrossEntropyOptions& options, mx::Stream s) {
  auto one = mx::array(1, sums_dtype(logits));
  auto in_range = mx::logical_and(
      mx::greater_equal(targets, mx::array(0, targets.dtype()), s), mx::less(targets, mx::array(logits.shape(-1)), s), s);
  auto weight = mx::where(in_range, one, constant(NAN, one), s);
  if (options.ignored) {
    weight = mx::where(mx::equal(targets, mx::array(*options.ignored), s), constant(0, one), weight, s);
  }
  return weight;
}

// The classes' part in the target distribution: 1 - smoothing for the target and smoothing / classes for each.
mx::array wanted(const mx::array& targets, const mx::array& x, const CrossEntropyOptions& options, mx::Stream s) {
  auto classes = mx::arange(x.shape(-1), mx::int32, s);
  auto onehot = mx::astype(mx::equal(column(targets, s), classes, s), x.dtype(), s);
  auto scaled = mx::multiply(onehot, constant(1.0 - options.smoothing, x), s);
  return mx::add(scaled, constant(options.smoothing / x.shape(-1), x), s);
}

// --- divergences ---

// log p and p, of logits over a temperature.
struct Distribution {
  mx::array log, probability;
};

Distribution distribution(const mx::array& logits, double temperature, mx::Stream s) {
  auto x = mx::astype(logits, sums_dtype(logits), s);
  if (x.size() == 0) {
    return {x, x};
  }
  x = mx::divide(x, constant(temperature, x), s);
  auto log = mx::subtract(x, mx::logsumexp(x, -1, true, s), s);
  return {log, mx::exp(log, s)};
}

// A value where a probability is not 0, else 0: also for derivatives, to which 0 * inf must not come.
mx::array where_possible(const Distribution& of, const mx::array& value, mx::Stream s) {
  return mx::where(mx::greater(of.probability, constant(0, value), s), value, constant(0, value), s);
}

// log(a / b) where a is not 0.
mx::array log_ratio(const Distribution& a, const mx::array& log_b, mx::Stream s) {
  auto safe_a = where_possible(a, a.log, s), safe_b = where_possible(a, log_b, s);
  return mx::subtract(safe_a, safe_b, s);
}

mx::array expected(const Distribution& of, const mx::array& value, mx::Stream s) {
  return mx::sum(mx::multiply(of.probability, value, s), -1, true, s);
}

mx::array log_mean(const Distribution& q, const Distribution& p, mx::Stream s) {
  auto sum = mx::logaddexp(q.log, p.log, s);
  return mx::subtract(sum, constant(std::log(2.0), sum), s);
}

struct Pair {
  Distribution q, p;
};

Pair pair_of(const mx::array& q, const mx::array& p, const DivergenceOptions& options, mx::Stream s) {
  auto teacher = options.teacher_gradient ? p : mx::stop_gradient(p, s);
  return {distribution(q, options.temperature, s), distribution(teacher, options.temperature, s)};
}

// probability * (value - its mean), times what every gradient is multiplied with.
mx::array centred(const Distribution& of, const mx::array& value, const mx::array& factor, mx::Stream s) {
  auto deviation = mx::subtract(value, expected(of, value, s), s);
  return mx::multiply(mx::multiply(of.probability, deviation, s), factor, s);
}

} // namespace

mx::array composed_cross_entropy(const mx::array& logits, const mx::array& targets, const CrossEntropyOptions& options, mx::Stream s) {
  auto x = mx::astype(logits, sums_dtype(logits), s);
  if (x.size() == 0) {
    return mx::sum(x, -1, false, s);
  }
  auto weight = weight_of(targets, logits, options, s);
  auto goal = wanted(targets, x, options, s);
  // Where nothing is wanted, a logit of -inf must not count.
  auto counted = mx::where(mx::greater(goal, constant(0, x), s), x, constant(0, x), s);
  auto loss = mx::subtract(mx::logsumexp(x, -1, false, s), mx::sum(mx::multiply(counted, goal, s), -1, false, s), s);
  return mx::where(mx::equal(weight, constant(0, weight), s), weight, mx::multiply(loss, weight, s), s);
}

mx::array composed_cross_entropy_gradient(
    const mx::array& logits, const mx::array& targets, const mx::array& cotangent, const CrossEntropyOptions& options, mx::Stream s) {
  auto x = mx::astype(logits, sums_dtype(logits), s);
  auto factor = mx::multiply(cotangent, weight_of(targets, logits, options, s), s);
  auto difference = mx::subtract(mx::softmax(x, -1, true, s), wanted(targets, x, options, s), s);
  return mx::astype(mx::multiply(difference, column(factor, s), s), logits.dtype(), s);
}

mx::array composed_divergence(const mx::array& q_logits, const mx::array& p_logits, const DivergenceOptions& options, mx::Stream s) {
  auto [q, p] = pair_of(q_logits, p_logits, options, s);
  if (options.kind == DivergenceKind::kl) {
    return mx::squeeze(expected(p, log_ratio(p, q.log, s), s), -1, s);
  }
  auto middle = log_mean(q, p, s);
  auto both = mx::add(expected(q, log_ratio(q, middle, s), s), expected(p, log_ratio(p, middle, s), s), s);
  return mx::squeeze(mx::multiply(both, constant(0.5, both), s), -1, s);
}

Arrays composed_divergence_gradients(
    const mx::array& q_logits, const mx::array& p_logits, const mx::array& cotangent, const DivergenceOptions& options, mx::Stream s) {
  auto [q, p] = pair_of(q_logits, p_logits, options, s);
  bool is_kl = options.kind == DivergenceKind::kl;
  auto factor = mx::divide(column(cotangent, s), constant(options.temperature * (is_kl ? 1.0 : 2.0), cotangent), s);
  auto middle = is_kl ? q.log : log_mean(q, p, s);
  auto for_q = is_kl ? mx::multiply(mx::subtract(q.probability, p.probability, s), factor, s)
                     : centred(q, log_ratio(q, middle, s), factor, s);
  Arrays gradients{mx::astype(for_q, q_logits.dtype(), s)};
  if (options.teacher_gradient) {
    gradients.push_back(mx::astype(centred(p, log_ratio(p, middle, s), factor, s), p_logits.dtype(), s));
  }
  return gradients;
}

} // namespace mlxffi
