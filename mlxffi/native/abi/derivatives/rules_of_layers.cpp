// Layers that MLX has as one kernel on GPUs.
#include <mlx/fast_primitives.h>

#include "derivatives/rules.h"
#include "rms_norm.h"

namespace mlxc {

namespace {

// By our kernel, which adds up the weight's gradient in far fewer parts than there are rows, and only where it is asked for.
std::optional<Arrays> by_kernel(
    const Node& node, const Arrays& cotangents, const std::vector<int>& argnums, const std::optional<mx::array>& sum) {
  auto &x = node.inputs[0], &weight = node.inputs[1];
  bool of_x_alone = argnums.size() == 1 && argnums[0] == 0;
  float eps = node.state<mx::fast::RMSNorm>().second;
  auto found = mlxffi::rms_norm_gradients(x, weight, cotangents[0], sum, !of_x_alone, eps, node.stream());
  return found ? std::optional(chosen(*found, argnums)) : std::nullopt;
}

std::optional<Arrays> rms_norm_onto(const Node& node, const Arrays& cotangents, const std::vector<int>& argnums, const mx::array& sum) {
  return by_kernel(node, cotangents, argnums, sum);
}

// MLX's kernel computes the weight's gradient, a sum over all rows, whether or not it is asked for. It leaves that out where
// there is no weight, as in a norm whose cotangent is multiplied by the weight already.
Arrays reverse_rms_norm(const Node& node, const Arrays& cotangents, const std::vector<int>& argnums) {
  if (auto found = by_kernel(node, cotangents, argnums, {})) {
    return *found;
  }
  auto &x = node.inputs[0], &weight = node.inputs[1];
  auto s = node.stream();
  bool of_x_alone = argnums.size() == 1 && argnums[0] == 0;
  if (!of_x_alone || weight.ndim() == 0) {
    return node.output.primitive().vjp(node.inputs, cotangents, argnums, {node.output});
  }
  auto plain = mx::fast::rms_norm(x, std::nullopt, node.state<mx::fast::RMSNorm>().second, s);
  return plain.primitive().vjp(plain.inputs(), {mx::multiply(cotangents[0], weight, s)}, argnums, {plain});
}

} // namespace

RuleList rules_of_layers() {
  return {{"RMSNorm", reverse_rms_norm, nullptr, nullptr, nullptr, rms_norm_onto}};
}

} // namespace mlxc
