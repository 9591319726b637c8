#include "trace.h"

#include <algorithm>
#include <cstring>

#include "mlx/primitives.h"

namespace mlxc {

namespace {

// An array that is the same in every call: one that is computed already, or read from a file once.
bool is_constant(const mx::array& node) {
  return !node.has_primitive() || std::strcmp(node.primitive().name(), "Load") == 0;
}

} // namespace

Ids ids_of(const Arrays& arrays) {
  Ids ids;
  for (auto& array : arrays) {
    ids.insert(array.id());
  }
  return ids;
}

Arrays below(const Arrays& outputs, Ids found) {
  Scheduling lock;
  Arrays order, path(outputs.rbegin(), outputs.rend());
  while (!path.empty()) {
    auto node = path.back();
    size_t open = path.size();
    if (!found.count(node.id()) && !is_constant(node)) {
      std::copy_if(node.inputs().begin(), node.inputs().end(), std::back_inserter(path), [&](auto& input) { return !found.count(input.id()); });
    }
    if (path.size() > open) {
      continue;
    }
    path.pop_back();
    if (!found.count(node.id())) {
      for (auto& made : node.outputs()) {
        found.insert(made.id());
      }
      order.push_back(std::move(node));
    }
  }
  return order;
}

Trace::Trace(const Arrays& inputs, const Arrays& outputs, bool shapeless) : shapeless_(shapeless) {
  Scheduling lock;
  Numbers numbers;
  for (auto& input : inputs) {
    numbers.emplace(input.id(), count_++);
  }
  auto nodes = below(outputs, ids_of(inputs));
  auto first_step = std::stable_partition(nodes.begin(), nodes.end(), is_constant);
  constants_.assign(nodes.begin(), first_step);
  for (auto& constant : constants_) {
    numbers.emplace(constant.id(), count_++);
  }
  std::for_each(first_step, nodes.end(), [&](auto& node) { number(node, numbers); });
  for (auto& output : outputs) {
    outputs_.push_back(numbers.at(output.id()));
  }
}

void Trace::number(const mx::array& made_by_step, Numbers& numbers) {
  auto primitive = mlxffi::vectorized(made_by_step.primitive_ptr());
  if (auto fusion = mlxffi::dividing_fusion(*primitive)) {
    return number_each(*fusion, made_by_step, numbers);
  }
  Step step{std::move(primitive), {}, {}, {}};
  for (auto& input : made_by_step.inputs()) {
    step.inputs.push_back(numbers.at(input.id()));
  }
  for (auto& made : made_by_step.outputs()) {
    step.shapes.push_back(made.shape());
    step.dtypes.push_back(made.dtype());
    numbers.emplace(made.id(), count_++);
  }
  steps_.push_back(std::move(step));
}

// The operations by themselves that MLX fused to one.
void Trace::number_each(const mlxffi::Fusion& fusion, const mx::array& made_by_step, Numbers& numbers) {
  Numbers inside;
  for (size_t i = 0; i < fusion.inputs.size(); i++) {
    inside.emplace(fusion.inputs[i].id(), numbers.at(made_by_step.inputs()[i].id()));
  }
  for (auto& node : fusion.tape) {
    number(node, inside);
  }
  auto outputs = made_by_step.outputs();
  for (size_t i = 0; i < outputs.size(); i++) {
    numbers.emplace(outputs[i].id(), inside.at(fusion.outputs[i].id()));
  }
}

Arrays Trace::operator()(const Arrays& inputs) const {
  Arrays values;
  values.reserve(count_);
  values.insert(values.end(), inputs.begin(), inputs.end());
  values.insert(values.end(), constants_.begin(), constants_.end());
  for (auto& step : steps_) {
    run(step, values);
  }
  Arrays outputs;
  outputs.reserve(outputs_.size());
  for (size_t output : outputs_) {
    outputs.push_back(values[output]);
  }
  return outputs;
}

void Trace::run(const Step& step, Arrays& values) const {
  Arrays inputs;
  inputs.reserve(step.inputs.size());
  for (size_t input : step.inputs) {
    inputs.push_back(values[input]);
  }
  auto shapes = shapeless_ ? step.primitive->output_shapes(inputs) : step.shapes;
  if (shapes.size() == 1) {
    values.emplace_back(std::move(shapes[0]), step.dtypes[0], step.primitive, std::move(inputs));
    return;
  }
  auto made = mx::array::make_arrays(std::move(shapes), step.dtypes, step.primitive, inputs);
  values.insert(values.end(), made.begin(), made.end());
}

} // namespace mlxc
