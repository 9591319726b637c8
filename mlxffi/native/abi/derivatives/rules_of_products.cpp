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

// MLX folds mapped weights into groups, of which it has one kind at a time, and none in three dimensions.
Mapped map_convolution(const Node& node, const Arrays& inputs, const std::vector<int>& axes) {
  bool grouped = std::get<5>(node.state<mx::Convolution>()) > 1 || node.output.ndim() > 4;
  return grouped && axes[1] >= 0 ? mapped_one_by_one(node, inputs, axes) : node.output.primitive().vmap(inputs, axes);
}

// Rows that are mapped are more rows.
Mapped map_quantized(const Node& node, const Arrays& inputs, const std::vector<int>& axes) {
  bool rows_alone = std::all_of(axes.begin() + 1, axes.end(), [](int axis) { return axis < 0; });
  if (!rows_alone || node.inputs[1].ndim() > 2) {
    return mapped_one_by_one(node, inputs, axes);
  }
  auto all = inputs;
  all[0] = batched(inputs[0], axes[0], batch_size(inputs, axes), node.stream());
  auto shape = node.output.shape();
  shape.insert(shape.begin(), all[0].shape(0));
  return {{mx::array(shape, node.output.dtype(), node.output.primitive_ptr(), all)}, {0}};
}

// The product of each segment as that of the whole, with the columns outside it at 0.
Arrays segmented(const Node& node, const Arrays& inputs) {
  auto s = node.stream();
  auto bounds = mx::split(mx::expand_dims(node.inputs[2], -2, s), 2, -1, s);
  auto columns = mx::arange(inputs[0].shape(-1), mx::int32, s);
  auto inside = mx::logical_and(mx::greater_equal(columns, bounds[0], s), mx::less(columns, bounds[1], s), s);
  auto parts = mx::where(inside, inputs[0], mx::array(0, inputs[0].dtype()), s);
  return {mx::astype(mx::matmul(parts, inputs[1], s), node.output.dtype(), s)};
}

// --- masked blocks ---

// A mask of blocks, for each element of a matrix.
mx::array spread(const mx::array& mask, const mx::array& matrix, int block, mx::Stream s) {
  auto wide = mx::repeat(mx::repeat(mask, block, -1, s), block, -2, s);
  mx::Shape start(wide.ndim(), 0), stop = wide.shape();
  stop.end()[-2] = matrix.shape(-2);
  stop.end()[-1] = matrix.shape(-1);
  return mx::astype(mx::slice(wide, start, stop, s), matrix.dtype(), s);
}

// a, b, and after them the mask of the product, or those of both, or all three.
Arrays masked(const Node& node, const Arrays& inputs) {
  auto s = node.stream();
  int block = node.state<mx::BlockMaskedMM>();
  auto a = inputs[0], b = inputs[1];
  bool of_product = inputs.size() == 3 || inputs.size() == 5;
  if (inputs.size() > 3) {
    a = mx::multiply(a, spread(inputs[inputs.size() - 2], a, block, s), s);
    b = mx::multiply(b, spread(inputs.back(), b, block, s), s);
  }
  auto product = mx::matmul(a, b, s);
  return {of_product ? mx::multiply(product, spread(inputs[2], product, block, s), s) : product};
}

// Tangents of rows alone: what is packed has none in MLX, which says so.
Arrays forward_quantized(const Node& node, const Arrays& tangents, const std::vector<int>& argnums) {
  bool rows_alone = argnums.size() == 1 && argnums[0] == 0;
  return rows_alone ? forward_linear_in_each(node, tangents, argnums) : node.output.primitive().jvp(node.inputs, tangents, argnums);
}

} // namespace

RuleList rules_of_products() {
  return {
      {"AddMM", nullptr, forward_addmm, map_addmm},
      {"Convolution", nullptr, forward_linear_in_each, map_convolution},
      {"GatherMM", nullptr, forward_linear_in_each, mapped_one_by_one},
      {"SegmentedMM", reverse_by<segmented>, forward_linear_in_each, mapped_one_by_one},
      {"QuantizedMatmul", nullptr, forward_quantized, map_quantized},
      {"GatherQMM", nullptr, forward_quantized, nullptr},
      {"BlockMaskedMM", reverse_by<masked>, forward_linear_in_each, mapped_one_by_one},
  };
}

} // namespace mlxc
