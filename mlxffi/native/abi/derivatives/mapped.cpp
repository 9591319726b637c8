// Maps: a function of slices, traced once, as a function of whole inputs.
// transforms_impl.h names arrays and vectors without the headers of either.
#include <mlx/array.h>
#include <mlx/transforms_impl.h>

#include <unordered_map>
#include <vector>

#include "derivatives/draws.h"
#include "derivatives/tape.h"
#include "derivatives/tracing.h"
#include "derivatives/transforms.h"

namespace mlxc {

namespace {

// What an array of the trace is for whole inputs, and its mapped axis: -1 where it is the same for every slice.
struct Whole {
  mx::array array;
  int axis;
};
using Wholes = std::unordered_map<std::uintptr_t, Whole>;

void replace_node(const mx::array& node, Wholes& known) {
  Arrays inputs;
  std::vector<int> axes;
  for (auto& input : node.inputs()) {
    auto found = known.find(input.id());
    inputs.push_back(found == known.end() ? input : found->second.array);
    axes.push_back(found == known.end() ? -1 : found->second.axis);
  }
  auto [results, out_axes] = map_of(Node(node), inputs, axes);
  auto made = node.outputs();
  for (size_t i = 0; i < made.size(); i++) {
    known.emplace(made[i].id(), Whole{results[i], out_axes[i]});
  }
}

// The output with its mapped axis where it is wanted; one that is the same for every slice may have it counted from
// the end.
mx::array placed(const Whole& whole, int to, int size) {
  auto& [array, from] = whole;
  int ndim = static_cast<int>(array.ndim()) + (from < 0);
  if (from < 0 && to < 0) {
    to += ndim;
  }
  if (to < 0 || to >= ndim) {
    throw std::invalid_argument("[vmap] Axis " + std::to_string(to) + " invalid for output with " + std::to_string(ndim) + " dimensions.");
  }
  auto s = stream_of_array(array);
  if (from >= 0) {
    return from == to ? array : mx::moveaxis(array, from, to, s);
  }
  auto shape = array.shape();
  shape.insert(shape.begin() + to, size);
  return mx::broadcast_to(mx::expand_dims(array, to, s), shape, s);
}

} // namespace

Arrays replaced_slices(const Arrays& inputs, const Arrays& slices, const Arrays& outputs, const std::vector<int>& in_axes, const std::vector<int>& out_axes) {
  if (out_axes.size() != outputs.size()) {
    throw std::invalid_argument(
        "[vmap] The number of out axes (" + std::to_string(out_axes.size()) + ") must match the number of outputs (" + std::to_string(outputs.size()) + ").");
  }
  if (std::none_of(in_axes.begin(), in_axes.end(), [](int axis) { return axis >= 0; })) {
    throw std::invalid_argument("[vmap] in_axes: at least one input must have a mapped axis.");
  }
  Wholes known;
  Arrays sources;
  int size = batch_size(inputs, in_axes);
  for (size_t i = 0; i < inputs.size(); i++) {
    if (in_axes[i] >= 0) {
      known.emplace(slices[i].id(), Whole{inputs[i], in_axes[i]});
      sources.push_back(slices[i]);
    }
  }
  for (auto* node : map_tape(outputs, sources).nodes) {
    replace_node(*node, known);
  }
  Arrays results;
  for (size_t i = 0; i < outputs.size(); i++) {
    auto found = known.find(outputs[i].id());
    results.push_back(placed(found == known.end() ? Whole{outputs[i], -1} : found->second, out_axes[i], size));
  }
  return results;
}

std::pair<Arrays, Arrays> traced_slices(const Function& fun, const Arrays& inputs, const std::vector<int>& in_axes) {
  auto first = std::find_if(in_axes.begin(), in_axes.end(), [](int axis) { return axis >= 0; }) - in_axes.begin();
  int size = batch_size(inputs, in_axes);
  auto drawing = [&](const Arrays& slices) {
    if (first >= static_cast<std::ptrdiff_t>(slices.size())) {
      return fun(slices);
    }
    SpreadDraws spread(slices[first], size);
    return fun(slices);
  };
  return mx::detail::vmap_trace(drawing, inputs, in_axes);
}

Function mapped(Function fun, std::vector<int> in_axes) {
  return [fun = std::move(fun), in_axes = std::move(in_axes)](const Arrays& inputs) {
    auto [slices, outputs] = traced_slices(fun, inputs, in_axes);
    return replaced_slices(inputs, slices, outputs, in_axes, std::vector<int>(outputs.size(), 0));
  };
}

} // namespace mlxc
