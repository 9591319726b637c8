// The C functions of mlxffi/losses.h over logits.
#include "cross_entropy.h"
#include "divergence.h"
#include "loss_arguments.h"

namespace mlxc {

namespace {

const mx::array& checked_logits(const mx::array& logits, const char* argument) {
  if (!mx::issubdtype(logits.dtype(), mx::floating) || logits.ndim() == 0 || logits.shape(-1) == 0) {
    throw BadArgument(argument, "expected floating point with a last axis of 1 or more classes, got " + described(logits));
  }
  return logits;
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
    auto q = checked_logits(get(logits_q, "logits_q"), "logits_q");
    auto p = get(logits_p, "logits_p");
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
    auto x = checked_logits(get(logits, "logits"), "logits");
    auto goal = checked_targets(get(targets, "targets"), x, "logits");
    auto factors = maybe(weights, "weights");
    if (factors) {
      check_weights(*factors, goal);
    }
    mlxffi::CrossEntropyOptions options{between(label_smoothing, 0, 1, "label_smoothing"), optional_of(ignore_index)};
    auto how = reduction_of(reduction);
    put(res, combined(mlxffi::cross_entropy(x, goal, options, stream), goal, factors, options.ignored, how, stream));
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
