// Operations that move, repeat or order elements.
#include "derivatives/rules.h"
#include "numbers.h"
#include "numbers.h"

namespace mlxc {

namespace {

Mapped map_expand_dims(const Node& node, const Arrays& inputs, const std::vector<int>& axes) {
  auto places = node.state<mx::ExpandDims>();
  for (auto& place : places) {
    place++;
  }
  return {{mx::expand_dims(batched(inputs, axes, node.stream())[0], places, node.stream())}, {0}};
}

// The array gets what lies inside, the value that fills the margin the sum of that.
Arrays reverse_pad(const Node& node, const Arrays& cotangents, const std::vector<int>& argnums) {
  auto s = node.stream();
  auto [axes, low, high] = node.state<mx::Pad>();
  mx::Shape start(node.output.ndim(), 0), stop = node.output.shape();
  for (size_t i = 0; i < axes.size(); i++) {
    start[axes[i]] = low[i];
    stop[axes[i]] -= high[i];
  }
  Arrays results;
  for (int argnum : argnums) {
    if (argnum == 0) {
      results.push_back(mx::slice(cotangents[0], start, stop, s));
    } else {
      auto margin = mx::slice_update(cotangents[0], mx::zeros(node.inputs[0].shape(), cotangents[0].dtype(), s), start, stop, s);
      results.push_back(mx::reshape(mx::sum(margin, s), node.inputs[1].shape(), s));
    }
  }
  return results;
}

Mapped map_pad(const Node& node, const Arrays& inputs, const std::vector<int>& axes) {
  return axes[1] >= 0 ? mapped_one_by_one(node, inputs, axes) : node.output.primitive().vmap(inputs, axes);
}

// The slices lie side by side, each in row-major order.
Mapped map_as_strided(const Node& node, const Arrays& inputs, const std::vector<int>& axes) {
  auto s = node.stream();
  auto [shape, strides, offset] = node.state<mx::AsStrided>();
  auto all = mx::contiguous(batched(inputs, axes, s)[0], false, s);
  shape.insert(shape.begin(), all.shape(0));
  strides.insert(strides.begin(), node.inputs[0].size());
  return {{mx::as_strided(all, shape, strides, offset, s)}, {0}};
}

// --- constants ---

// A copy of its input, which has been spread to the shape.
Arrays reverse_full(const Node&, const Arrays& cotangents, const std::vector<int>&) {
  return {cotangents[0]};
}

// --- lookups ---

// Gradients of halves are added up in float32: a row that is seen a thousand times gets them all.
mx::array accumulate_gather(const Node& node, const mx::array& cotangent, const mx::array& sum) {
  Arrays indices(node.inputs.begin() + 1, node.inputs.end());
  return numbers::scatter_add(sum, indices, cotangent, node.state<mx::Gather>().first, node.stream());
}

mx::array accumulate_gather_axis(const Node& node, const mx::array& cotangent, const mx::array& sum) {
  return numbers::scatter_add_axis(sum, node.inputs[1], cotangent, node.state<mx::GatherAxis>(), node.stream());
}

// --- order ---

Arrays forward_sort(const Node& node, const Arrays& tangents, const std::vector<int>&) {
  int axis = node.state<mx::Sort>();
  auto order = mx::argsort(node.inputs[0], axis, node.stream());
  return {mx::take_along_axis(tangents[0], order, axis, node.stream())};
}

// --- Fourier transforms ---

// An inverse real transform of an odd length, which MLX takes for one less when it differentiates.
Arrays reverse_fft(const Node& node, const Arrays& cotangents, const std::vector<int>& argnums) {
  // The state of the release before has three parts, without the one that says whether the length is odd.
  auto state = node.state<mx::FFT>();
  auto& axes = std::get<0>(state);
  int last = axes.back();
  bool inverse_real = std::get<1>(state) && std::get<2>(state);
  if (!inverse_real || node.output.shape(last) % 2 == 0) {
    return node.output.primitive().vjp(node.inputs, cotangents, argnums, {node.output});
  }
  auto s = node.stream();
  int half = node.inputs[0].shape(last);
  std::vector<int> over(axes.begin(), axes.end());
  auto spectrum = mx::fft::rfftn(cotangents[0], over, mx::fft::FFTNorm::Forward, s);
  mx::Shape shape(spectrum.ndim(), 1);
  shape[last] = half;
  auto places = mx::reshape(mx::arange(half, mx::int32, s), shape, s);
  // All places but the first stand for two of the whole spectrum.
  auto twice = mx::where(mx::equal(places, mx::array(0), s), mx::array(1.0f), mx::array(2.0f), s);
  return {mx::multiply(spectrum, twice, s)};
}

// --- dependence ---

// The first inputs, as soon as the others are there.
Arrays reverse_depends(const Node& node, const Arrays& cotangents, const std::vector<int>& argnums) {
  Arrays results;
  for (size_t argnum : argnums) {
    results.push_back(argnum < cotangents.size() ? cotangents[argnum] : mx::zeros_like(node.inputs[argnum], node.stream()));
  }
  return results;
}

Arrays forward_depends(const Node& node, const Arrays& tangents, const std::vector<int>& argnums) {
  auto all = every_tangent(node, tangents, argnums);
  all.erase(all.begin() + node.output.outputs().size(), all.end());
  return all;
}

Mapped map_depends(const Node& node, const Arrays& inputs, const std::vector<int>& axes) {
  size_t count = node.output.outputs().size();
  Arrays values(inputs.begin(), inputs.begin() + count), others(inputs.begin() + count, inputs.end());
  return {mx::depends(values, others), {axes.begin(), axes.begin() + count}};
}

// MLX's, but that of a number that stands for many, whose gradients are added up as sum() does.
Arrays reverse_broadcast(const Node& node, const Arrays& cotangents, const std::vector<int>& argnums) {
  auto& input = node.inputs[0];
  auto& cotangent = cotangents[0];
  std::vector<int> axes;
  int added = static_cast<int>(cotangent.ndim()) - static_cast<int>(input.ndim());
  for (int axis = 0; axis < static_cast<int>(cotangent.ndim()); axis++) {
    if (axis < added || input.shape(axis - added) != cotangent.shape(axis)) {
      axes.push_back(axis);
    }
  }
  if (axes.empty() || argnums != std::vector<int>{0}) {
    return node.output.primitive().vjp(node.inputs, cotangents, argnums, node.output.outputs());
  }
  return {mx::reshape(numbers::sum(cotangent, axes, true, node.stream()), input.shape(), node.stream())};
}

} // namespace

RuleList rules_of_shapes() {
  return {
      {"ExpandDims", nullptr, nullptr, map_expand_dims},
      {"AsStrided", nullptr, nullptr, map_as_strided},
      {"Broadcast", reverse_broadcast},
      {"Full", reverse_full, forward_linear},
      {"Gather", nullptr, nullptr, nullptr, accumulate_gather},
      {"GatherAxis", nullptr, nullptr, nullptr, accumulate_gather_axis},
      {"FFT", reverse_fft, forward_linear, nullptr},
      {"Pad", reverse_pad, forward_linear, map_pad},
      {"Sort", nullptr, forward_sort, nullptr},
      {"Depends", reverse_depends, forward_depends, map_depends},
  };
}

} // namespace mlxc
