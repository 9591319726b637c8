#include "derivatives/rules.h"

#include <string_view>

#include "derivatives/transforms.h"

namespace mlxc {

namespace {

using Table = std::unordered_map<std::string_view, Rule>;

Table table() {
  Table rules;
  for (auto* family : {rules_of_products, rules_of_numbers, rules_of_writes, rules_of_shapes, rules_of_scans, rules_of_matrices}) {
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

Arrays chosen(const Arrays& arrays, const std::vector<int>& places) {
  Arrays result;
  for (int place : places) {
    result.push_back(arrays[place]);
  }
  return result;
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

Mapped mapped_one_by_one(const Node& node, const Arrays& inputs, const std::vector<int>& axes) {
  auto s = node.stream();
  auto templates = node.output.outputs();
  std::vector<mx::Shape> shapes;
  std::vector<mx::Dtype> dtypes;
  for (auto& output : templates) {
    shapes.push_back(output.shape());
    dtypes.push_back(output.dtype());
  }
  std::vector<Arrays> rows(templates.size());
  int size = batch_size(inputs, axes);
  for (int i = 0; i < size; i++) {
    Arrays slices;
    for (size_t j = 0; j < inputs.size(); j++) {
      slices.push_back(axes[j] < 0 ? inputs[j] : mx::take(inputs[j], i, axes[j], s));
    }
    auto outputs = mx::array::make_arrays(shapes, dtypes, node.output.primitive_ptr(), slices);
    for (size_t j = 0; j < rows.size(); j++) {
      rows[j].push_back(outputs[j]);
    }
  }
  Arrays results;
  for (size_t j = 0; j < rows.size(); j++) {
    if (size) {
      results.push_back(mx::stack(rows[j], 0, s));
    } else {
      shapes[j].insert(shapes[j].begin(), 0);
      results.push_back(mx::zeros(shapes[j], dtypes[j], s));
    }
  }
  return {results, std::vector<int>(results.size(), 0)};
}

Arrays reverse_through(const Same& same, const Node& node, const Arrays& cotangents, const std::vector<int>& argnums) {
  return mlxc::vjp(of_places(same, node.inputs, argnums), chosen(node.inputs, argnums), cotangents).second;
}

Arrays forward_through(const Same& same, const Node& node, const Arrays& tangents, const std::vector<int>& argnums) {
  return mlxc::jvp(of_places(same, node.inputs, argnums), chosen(node.inputs, argnums), tangents).second;
}

} // namespace mlxc
