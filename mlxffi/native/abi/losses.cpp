// The C functions of mlxffi/losses.h: what arguments must be, and what becomes of the losses of a batch.
#include "kernel_arguments.h"
#include "cross_entropy.h"
#include "divergence.h"

namespace mlxc {

namespace {

enum class Reduction { none, sum, mean };

Reduction reduction_of(const mlxffi_reduction& value) {
  return enum_of<Reduction>(value, 3, "mlxffi_reduction", "reduction");
}

const mx::array& checked_logits(const mx::array& logits, const char* argument) {
  if (!mx::issubdtype(logits.dtype(), mx::floating) || logits.ndim() == 0 || logits.shape(-1) == 0) {
    throw BadArgument(argument, "expected floating point with a last axis of 1 or more classes, got " + described(logits));
  }
  return logits;
}

const mx::array& checked_targets(const mx::array& targets, const mx::array& logits) {
  if (!mx::issubdtype(targets.dtype(), mx::integer)) {
    throw BadArgument("targets", "expected integers, got " + described(targets));
  }
  if (targets.shape() != mlxffi::batch_of(logits)) {
    auto wanted = printed(mlxffi::batch_of(logits));
    throw BadArgument("targets", "expected the shape of logits without its last axis, " + wanted + ", got " + printed(targets.shape()));
  }
  return targets;
}

void check_weights(const mx::array& weights, const mx::array& targets) {
  if (mx::issubdtype(weights.dtype(), mx::complexfloating)) {
    throw BadArgument("weights", "expected real numbers, got " + described(weights));
  }
  if (weights.shape() != targets.shape()) {
    throw BadArgument("weights", "expected the shape of targets, " + printed(targets.shape()) + ", got " + printed(weights.shape()));
  }
}

double between(double value, double least, double most, const char* argument) {
  if (!(value >= least && value <= most)) {
    throw BadArgument(argument, "expected a number from " + printed(least) + " to " + printed(most) + ", got " + printed(value));
  }
  return value;
}

double checked_temperature(double temperature) {
  if (!(temperature > 0) || std::isinf(temperature)) {
    throw BadArgument("temperature", "expected a finite number above 0, got " + printed(temperature));
  }
  return temperature;
}

mx::array reduced(const mx::array& losses, Reduction reduction, mx::Stream s) {
  switch (reduction) {
    case Reduction::sum:
      return mx::sum(losses, s);
    case Reduction::mean:
      return mx::mean(losses, s);
    default:
      return losses;
  }
}

// How much each position counts, in the losses' dtype.
mx::array shares(
    const mx::array& losses,
    const mx::array& targets,
    const std::optional<mx::array>& weights,
    std::optional<int> ignored,
    mx::Stream s) {
  auto zero = mx::array(0, losses.dtype());
  auto share = weights ? mx::astype(*weights, losses.dtype(), s) : mx::array(1, losses.dtype());
  if (ignored) {
    share = mx::where(mx::equal(targets, mx::array(*ignored), s), zero, share, s);
  }
  return share;
}

mx::array weighted(const mx::array& losses, const mx::array& weights, mx::Stream s) {
  auto product = mx::multiply(losses, mx::astype(weights, losses.dtype(), s), s);
  if (mx::issubdtype(weights.dtype(), mx::floating)) {
    return product;
  }
  // A loss that does not count may be anything, NaN too.
  return mx::where(mx::not_equal(weights, mx::array(0, weights.dtype()), s), product, mx::array(0, losses.dtype()), s);
}

mx::array cross_entropy(
    const mx::array& logits,
    const mx::array& targets,
    const std::optional<mx::array>& weights,
    const mlxffi::CrossEntropyOptions& options,
    Reduction reduction,
    mx::Stream s) {
  auto losses = mlxffi::cross_entropy(logits, targets, options, s);
  if (weights) {
    losses = weighted(losses, *weights, s);
  }
  if (reduction != Reduction::mean || (!weights && !options.ignored)) {
    return reduced(losses, reduction, s);
  }
  auto count = mx::sum(shares(losses, targets, weights, options.ignored, s), s);
  return mx::divide(mx::sum(losses, s), count, s);
}

int divergence(
    const char* function,
    mlxffi::DivergenceKind kind,
    mlx_array* res,
    const mlx_array logits_q,
    const mlx_array logits_p,
    double temperature,
    bool teacher_gradient,
    const mlxffi_reduction& reduction,
    const mlx_stream s) {
  return guarded(function, [&] {
    require(res);
    auto stream = kernel_stream(s);
    auto& q = checked_logits(get(logits_q, "logits_q"), "logits_q");
    auto& p = get(logits_p, "logits_p");
    if (p.shape() != q.shape() || p.dtype() != q.dtype()) {
      throw BadArgument("logits_p", "expected the shape and dtype of logits_q, " + described(q) + ", got " + described(p));
    }
    mlxffi::DivergenceOptions options{kind, checked_temperature(temperature), teacher_gradient};
    auto how = reduction_of(reduction);
    put(res, reduced(mlxffi::divergence(q, p, options, stream), how, stream));
  });
}

} // namespace

} // namespace mlxc

using namespace mlxc;

extern "C" int mlxffi_cross_entropy(
    mlx_array* res,
    const mlx_array logits,
    const mlx_array targets,
    const mlx_array weights,
    mlx_optional_int ignore_index,
    double label_smoothing,
    mlxffi_reduction reduction,
    const mlx_stream s) {
  return guarded(__func__, [&] {
    require(res);
    auto stream = kernel_stream(s);
    auto& x = checked_logits(get(logits, "logits"), "logits");
    auto& goal = checked_targets(get(targets, "targets"), x);
    auto factors = maybe(weights);
    if (factors) {
      check_weights(*factors, goal);
    }
    mlxffi::CrossEntropyOptions options{between(label_smoothing, 0, 1, "label_smoothing"), optional_of(ignore_index)};
    auto how = reduction_of(reduction);
    put(res, cross_entropy(x, goal, factors, options, how, stream));
  });
}

extern "C" int mlxffi_kl_div_loss(
    mlx_array* res,
    const mlx_array logits_q,
    const mlx_array logits_p,
    double temperature,
    bool teacher_gradient,
    mlxffi_reduction reduction,
    const mlx_stream s) {
  return divergence(__func__, mlxffi::DivergenceKind::kl, res, logits_q, logits_p, temperature, teacher_gradient, reduction, s);
}

extern "C" int mlxffi_js_div_loss(
    mlx_array* res,
    const mlx_array logits_q,
    const mlx_array logits_p,
    double temperature,
    bool teacher_gradient,
    mlxffi_reduction reduction,
    const mlx_stream s) {
  return divergence(__func__, mlxffi::DivergenceKind::js, res, logits_q, logits_p, temperature, teacher_gradient, reduction, s);
}
