#include "loss_arguments.h"

#include "fused.h"

namespace mlxc {

namespace {

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

} // namespace

Reduction reduction_of(const mlxffi_reduction& value) {
  return enum_of<Reduction>(value, 3, "mlxffi_reduction", "reduction");
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

const mx::array& checked_targets(const mx::array& targets, const mx::array& of, const char* name) {
  if (!mx::issubdtype(targets.dtype(), mx::integer)) {
    throw BadArgument("targets", "expected integers, got " + described(targets));
  }
  if (targets.shape() != mlxffi::batch_of(of)) {
    auto wanted = printed(mlxffi::batch_of(of));
    throw BadArgument("targets", std::string("expected the shape of ") + name + " without its last axis, " + wanted + ", got " + printed(targets.shape()));
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

mx::array combined(
    mx::array losses, const mx::array& targets, const std::optional<mx::array>& weights, std::optional<int> ignored, Reduction reduction,
    mx::Stream s) {
  if (weights) {
    losses = weighted(losses, *weights, s);
  }
  if (reduction != Reduction::mean || (!weights && !ignored)) {
    return reduced(losses, reduction, s);
  }
  auto count = mx::sum(shares(losses, targets, weights, ignored, s), s);
  return mx::divide(mx::sum(losses, s), count, s);
}

} // namespace mlxc
