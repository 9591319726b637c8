// Matrix products and convolutions.
#include "derivatives/rules.h"

namespace mlxc {

namespace {

// alpha a b + beta c.
Arrays forward_addmm(const Node& node, const Arrays& tangents, const std::vector<int>& argnums) {
  auto s = node.stream();
  auto [alpha, beta] = node.state<mx::AddMM>();
  std::optional<mx::array> sum;
  for (size_t i = 0; i < argnums.size(); i++) {
    bool left = argnums[i] == 0;
    auto scale = mx::array(argnums[i] == 2 ? beta : alpha, node.output.dtype());
    auto part = argnums[i] == 2 ? mx::broadcast_to(tangents[i], node.output.shape(), s)
                                : mx::matmul(left ? tangents[i] : node.inputs[0], left ? node.inputs[1] : tangents[i], s);
    part = mx::multiply(part, scale, s);
    sum = sum ? mx::add(*sum, part, s) : part;
  }
  return {*sum};
}

// An array with its batch axis in front, and then so many axes that it broadcasts against others with `ndim` axes.
mx::array aligned(const mx::array& input, size_t ndim, mx::Stream s) {
  auto shape = input.shape();
  shape.insert(shape.begin() + 1, ndim - shape.size(), 1);
  return mx::reshape(input, shape, s);
}

Mapped map_addmm(const Node& node, const Arrays& inputs, const std::vector<int>& axes) {
  auto s = node.stream();
  auto [alpha, beta] = node.state<mx::AddMM>();
  size_t ndim = node.output.ndim() + 1;
  auto all = batched(inputs, axes, s);
  for (auto& input : all) {
    input = aligned(input, ndim, s);
  }
  return {{mx::addmm(all[2], all[0], all[1], alpha, beta, s)}, {0}};
}

// Weights that are mapped beside groups are taken one after the other; so is what MLX has no map for.
Mapped map_convolution(const Node& node, const Arrays& inputs, const std::vector<int>& axes) {
  int groups = std::get<5>(node.state<mx::Convolution>());
  bool grouped = groups > 1 && axes[1] >= 0;
  return grouped ? mapped_one_by_one(node, inputs, axes) : node.output.primitive().vmap(inputs, axes);
}

} // namespace

RuleList rules_of_products() {
  return {
      {"AddMM", nullptr, forward_addmm, map_addmm},
      {"Convolution", nullptr, forward_linear_in_each, map_convolution},
      {"GatherMM", nullptr, forward_linear_in_each, mapped_one_by_one},
      {"SegmentedMM", nullptr, forward_linear_in_each, mapped_one_by_one},
      {"BlockMaskedMM", nullptr, forward_linear_in_each, mapped_one_by_one},
  };
}

} // namespace mlxc
