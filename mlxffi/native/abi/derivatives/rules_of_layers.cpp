// Layers that MLX has as one kernel on GPUs.
#include <mlx/fast_primitives.h>

#include "derivatives/rules.h"
#include "rms_norm.h"

namespace mlxc {

namespace {

// MLX's kernel computes the weight's gradient, a sum over all rows, whether or not it is asked for. It leaves that out where
// there is no weight, as in a norm whose cotangent is multiplied by the weight already. Where it is asked for, one of ours
// adds it up in far fewer parts than there are rows.
Arrays reverse_rms_norm(const Node& node, const Arrays& cotangents, const std::vector<int>& argnums) {
  auto &x = node.inputs[0], &weight = node.inputs[1];
  auto s = node.stream();
  float eps = node.state<mx::fast::RMSNorm>().second;
  bool of_x_alone = argnums.size() == 1 && argnums[0] == 0;
  if (!of_x_alone || weight.ndim() == 0) {
    auto found = weight.ndim() == 0 ? std::nullopt : mlxffi::rms_norm_gradients(x, weight, cotangents[0], eps, s);
    return found ? chosen(*found, argnums) : node.output.primitive().vjp(node.inputs, cotangents, argnums, {node.output});
  }
  auto plain = mx::fast::rms_norm(x, std::nullopt, eps, s);
  return plain.primitive().vjp(plain.inputs(), {mx::multiply(cotangents[0], weight, s)}, argnums, {plain});
}

} // namespace

RuleList rules_of_layers() {
  return {{"RMSNorm", reverse_rms_norm}};
}

} // namespace mlxc
