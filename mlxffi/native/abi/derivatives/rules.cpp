#include "derivatives/rules.h"

#include <string_view>

#include "derivatives/transforms.h"

namespace mlxc {

namespace {

using Table = std::unordered_map<std::string_view, Rule>;

Table table() {
  Table rules;
  for (auto* family : {rules_of_products, rules_of_numbers, rules_of_writes, rules_of_shapes, rules_of_scans, rules_of_matrices, rules_of_layers}) {
    for (auto& rule : family()) {
      rules.emplace(rule.name, rule);
    }
  }
  return rules;
}

const Rule& rule_of(const Node& node) {
  static const Table rules = table();
  static const Rule none{};
  auto found = rules.find(node.output.primitive().name());
  return found == rules.end() ? none : found->second;
}

// The function of the inputs at those places alone.
Function of_places(const Same& same, const Arrays& inputs, const std::vector<int>& places) {
  return [&same, &inputs, &places](const Arrays& given) {
    Arrays all = inputs;
    for (size_t i = 0; i < places.size(); i++) {
      all[places[i]] = given[i];
    }
    return same(all);
  };
}

} // namespace

Arrays reverse_of(const Node& node, const Arrays& cotangents, const std::vector<int>& argnums) {
  auto* reverse = rule_of(node).reverse;
  return reverse ? reverse(node, cotangents, argnums)
                 : node.output.primitive().vjp(node.inputs, cotangents, argnums, node.output.outputs());
}

Accumulate* accumulate_of(const Node& node) {
  return rule_of(node).accumulate;
}

Onto* onto_of(const Node& node) {
  return rule_of(node).onto;
}

Arrays forward_of(const Node& node, const Arrays& tangents, const std::vector<int>& argnums) {
  auto* forward = rule_of(node).forward;
  return forward ? forward(node, tangents, argnums) : node.output.primitive().jvp(node.inputs, tangents, argnums);
}

Mapped map_of(const Node& node, const Arrays& inputs, const std::vector<int>& axes) {
  auto* map = rule_of(node).map;
  return map ? map(node, inputs, axes) : node.output.primitive().vmap(inputs, axes);
}

int batch_size(const Arrays& inputs, const std::vector<int>& axes) {
  for (size_t i = 0; i < inputs.size(); i++) {
    if (axes[i] >= 0) {
      return inputs[i].shape(axes[i]);
    }
  }
  return 1;
}

mx::array batched(const mx::array& input, int axis, int size, mx::Stream s) {
  if (axis >= 0) {
    return axis ? mx::moveaxis(input, axis, 0, s) : input;
  }
  auto shape = input.shape();
  shape.insert(shape.begin(), size);
  return mx::broadcast_to(mx::expand_dims(input, 0, s), shape, s);
}

Arrays batched(const Arrays& inputs, const std::vector<int>& axes, mx::Stream s) {
  Arrays result;
  int size = batch_size(inputs, axes);
  for (size_t i = 0; i < inputs.size(); i++) {
    result.push_back(batched(inputs[i], axes[i], size, s));
  }
  return result;
}

Arrays again(const Node& node, const Arrays& inputs) {
  std::vector<mx::Shape> shapes;
  std::vector<mx::Dtype> dtypes;
  for (auto& output : node.output.outputs()) {
    shapes.push_back(output.shape());
    dtypes.push_back(output.dtype());
  }
  return mx::array::make_arrays(shapes, dtypes, node.output.primitive_ptr(), inputs);
}

Mapped mapped_one_by_one(const Node& node, const Arrays& inputs, const std::vector<int>& axes) {
  auto s = node.stream();
  auto outputs = node.output.outputs();
  std::vector<Arrays> rows(outputs.size());
  int size = batch_size(inputs, axes);
  for (int i = 0; i < size; i++) {
    Arrays slices;
    for (size_t j = 0; j < inputs.size(); j++) {
      slices.push_back(axes[j] < 0 ? inputs[j] : mx::take(inputs[j], i, axes[j], s));
    }
    auto made = again(node, slices);
    for (size_t j = 0; j < rows.size(); j++) {
      rows[j].push_back(made[j]);
    }
  }
  Arrays results;
  for (size_t j = 0; j < rows.size(); j++) {
    auto empty = outputs[j].shape();
    empty.insert(empty.begin(), 0);
    results.push_back(size ? mx::stack(rows[j], 0, s) : mx::zeros(empty, outputs[j].dtype(), s));
  }
  return {results, std::vector<int>(results.size(), 0)};
}

Arrays every_tangent(const Node& node, const Arrays& tangents, const std::vector<int>& argnums) {
  Arrays all;
  for (auto& input : node.inputs) {
    all.push_back(mx::zeros_like(input, node.stream()));
  }
  for (size_t i = 0; i < argnums.size(); i++) {
    all[argnums[i]] = tangents[i];
  }
  return all;
}

Arrays forward_linear(const Node& node, const Arrays& tangents, const std::vector<int>& argnums) {
  auto all = every_tangent(node, tangents, argnums);
  for (size_t i = 0; i < all.size(); i++) {
    if (!mx::issubdtype(node.inputs[i].dtype(), mx::inexact)) {
      all[i] = node.inputs[i];
    }
  }
  return again(node, all);
}

Arrays forward_linear_in_each(const Node& node, const Arrays& tangents, const std::vector<int>& argnums) {
  std::optional<mx::array> sum;
  for (size_t i = 0; i < argnums.size(); i++) {
    Arrays inputs = node.inputs;
    inputs[argnums[i]] = tangents[i];
    auto part = again(node, inputs)[0];
    sum = sum ? mx::add(*sum, part, node.stream()) : part;
  }
  return {*sum};
}

namespace {

class NoDerivative : public mx::Primitive {
 public:
  NoDerivative(mx::Stream s, const char* message) : Primitive(s), message_(message) {}

  const char* name() const override {
    return "NoDerivative";
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    outputs[0].copy_shared_buffer(inputs[0]);
  }
  void eval_gpu(const Arrays& inputs, Arrays& outputs) override {
    eval_cpu(inputs, outputs);
  }
  Arrays vjp(const Arrays&, const Arrays&, const std::vector<int>&, const Arrays&) override {
    throw std::runtime_error(message_);
  }
  Arrays jvp(const Arrays&, const Arrays&, const std::vector<int>&) override {
    throw std::runtime_error(message_);
  }
  std::pair<Arrays, std::vector<int>> vmap(const Arrays& inputs, const std::vector<int>& axes) override {
    return {{without_derivative(inputs[0], message_, stream())}, axes};
  }

 private:
  const char* message_;
};

} // namespace

mx::array without_derivative(const mx::array& array, const char* message, mx::Stream s) {
  return mx::array(array.shape(), array.dtype(), std::make_shared<NoDerivative>(s, message), {array});
}

bool is_complex(const mx::array& array) {
  return mx::issubdtype(array.dtype(), mx::complexfloating);
}

mx::array conjugated(const mx::array& array, mx::Stream s) {
  return is_complex(array) ? mx::conjugate(array, s) : array;
}

Arrays reverse_through(const Same& same, const Node& node, const Arrays& cotangents, const std::vector<int>& argnums) {
  return mlxc::vjp(of_places(same, node.inputs, argnums), chosen(node.inputs, argnums), cotangents).second;
}

Arrays forward_through(const Same& same, const Node& node, const Arrays& tangents, const std::vector<int>& argnums) {
  return mlxc::jvp(of_places(same, node.inputs, argnums), chosen(node.inputs, argnums), tangents).second;
}

} // namespace mlxc
