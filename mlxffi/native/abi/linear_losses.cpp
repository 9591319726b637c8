// The C functions of mlxffi/losses.h over hidden states and the output layer's weight.
#include "linear_losses.h"

#include "derivatives/tracing.h"
#include "loss_arguments.h"

namespace mlxc {

namespace {

void check_weight(const mlxffi::Head& head, const mx::array& hidden, const char* argument) {
  auto& weight = head.weight;
  if (weight.ndim() != 2 || weight.shape(0) == 0) {
    throw BadArgument(argument, "expected a weight with a row for each class, got " + described(weight));
  }
  if (head.scales) {
    return check_packed(weight, *head.scales, hidden.shape(-1), head.group_size, head.bits, true, argument);
  }
  if (!mx::issubdtype(weight.dtype(), mx::floating) || weight.shape(1) != hidden.shape(-1)) {
    auto wanted = "floating point (classes, " + std::to_string(hidden.shape(-1)) + ")";
    throw BadArgument(argument, "expected a weight of " + wanted + " for the features of hidden, got " + described(weight));
  }
}

mlxffi::Head head_of(const mlxffi_head* head, const mx::array& hidden, const char* argument) {
  if (!head) {
    throw BadArgument(argument, "expected an output layer, got NULL");
  }
  mlxffi::Head result{
      get(head->weight, argument), maybe(head->scales, "scales"), maybe(head->biases, "biases"), head->group_size, head->bits,
      head->mode ? head->mode : "affine", maybe(head->bias, "bias"), head->soft_cap};
  check_weight(result, hidden, argument);
  if (result.bias && result.bias->shape() != mx::Shape{result.weight.shape(0)}) {
    throw BadArgument(argument, "expected a bias for each row of the weight, " + described(result.weight) + ", got " + described(*result.bias));
  }
  if (!(result.soft_cap >= 0) || std::isinf(result.soft_cap)) {
    throw BadArgument(argument, "expected a finite soft_cap of 0, for none, or more, got " + printed(result.soft_cap));
  }
  return result;
}

int linear_divergence(
    const char* function, mlxffi::DivergenceKind kind, mlx_array* res, const mlx_array hidden_q, const mlxffi_head* head_q,
    const mlx_array hidden_p, const mlxffi_head* head_p, double temperature, bool teacher_gradient, const mlxffi_reduction& reduction,
    const mlx_stream s) {
  return guarded(function, [&] {
    require(res);
    auto stream = kernel_stream(s);
    auto q = floating(get(hidden_q, "hidden_q"), "hidden_q"), p = floating(get(hidden_p, "hidden_p"), "hidden_p");
    auto student = head_of(head_q, q, "head_q"), teacher = head_of(head_p, p, "head_p");
    if (mlxffi::batch_of(p) != mlxffi::batch_of(q)) {
      throw BadArgument("hidden_p", "expected the shape of hidden_q but for the last axis, " + printed(q.shape()) + ", got " + printed(p.shape()));
    }
    if (teacher.weight.shape(0) != student.weight.shape(0)) {
      throw BadArgument("head_p", "expected as many classes as head_q has, " + described(student.weight) + ", got " + described(teacher.weight));
    }
    mlxffi::DivergenceOptions options{kind, checked_temperature(temperature), teacher_gradient};
    auto how = reduction_of(reduction);
    put(res, reduced(mlxffi::linear_divergence(q, student, p, teacher, options, differentiating > 0, stream), how, stream));
  });
}

} // namespace

} // namespace mlxc

using namespace mlxc;

extern "C" int mlxffi_linear_cross_entropy(
    mlx_array* res, const mlx_array hidden, const mlxffi_head* head, const mlx_array targets, const mlx_array weights,
    mlx_optional_int ignore_index, double label_smoothing, double z_loss, mlxffi_reduction reduction, const mlx_stream s) {
  return guarded(__func__, [&] {
    require(res);
    auto stream = kernel_stream(s);
    auto x = floating(get(hidden, "hidden"), "hidden");
    auto layer = head_of(head, x, "head");
    auto goal = checked_targets(get(targets, "targets"), x, "hidden");
    auto factors = maybe(weights, "weights");
    if (factors) {
      check_weights(*factors, goal);
    }
    if (!(z_loss >= 0) || std::isinf(z_loss)) {
      throw BadArgument("z_loss", "expected a finite number of 0 or more, got " + printed(z_loss));
    }
    mlxffi::CrossEntropyOptions options{between(label_smoothing, 0, 1, "label_smoothing"), optional_of(ignore_index)};
    auto how = reduction_of(reduction);
    auto losses = mlxffi::linear_cross_entropy(x, layer, goal, {options, z_loss}, differentiating > 0, stream);
    put(res, combined(losses, goal, factors, options.ignored, how, stream));
  });
}

extern "C" int mlxffi_linear_kl_div_loss(
    mlx_array* res, const mlx_array hidden_q, const mlxffi_head* head_q, const mlx_array hidden_p, const mlxffi_head* head_p,
    double temperature, bool teacher_gradient, mlxffi_reduction reduction, const mlx_stream s) {
  return linear_divergence(
      __func__, mlxffi::DivergenceKind::kl, res, hidden_q, head_q, hidden_p, head_p, temperature, teacher_gradient, reduction, s);
}

extern "C" int mlxffi_linear_js_div_loss(
    mlx_array* res, const mlx_array hidden_q, const mlxffi_head* head_q, const mlx_array hidden_p, const mlxffi_head* head_p,
    double temperature, bool teacher_gradient, mlxffi_reduction reduction, const mlx_stream s) {
  return linear_divergence(
      __func__, mlxffi::DivergenceKind::js, res, hidden_q, head_q, hidden_p, head_p, temperature, teacher_gradient, reduction, s);
}
