#include "gpu_kernel.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <stdexcept>

#include <mlx/backend/cuda/cuda.h>
#include <mlx/backend/metal/metal.h>
#include <mlx/ops.h>
#include <mlx/primitives.h>

#include "cuda_prelude.h"
#include "gpu_common.h"
#include "gpu_cross_entropy.h"
#include "gpu_divergence.h"
#include "gpu_gate.h"
#include "gpu_heads.h"
#include "gpu_norm.h"
#include "gpu_optimizer.h"
#include "metal_prelude.h"

namespace mlxffi::gpu {

Language language() {
  static const Language found = [] {
    if (mx::cu::is_available()) {
      return Language::cuda;
    }
    if (mx::metal::is_available()) {
      return Language::metal;
    }
    throw std::runtime_error("[losses] the stream is a GPU's, but this MLX has neither a CUDA nor a Metal device");
  }();
  return found;
}

mx::fast::CustomKernelFunction
compiled(const std::string& name, const Names& inputs, const Names& outputs, const std::string& body) {
  const std::string shared = std::string(common_source) + cross_entropy_source + divergence_source + gate_source + heads_source +
      norm_source + optimizer_source;
  // A cache of compiled kernels, which may outlive this version, is to tell the versions apart by their names.
  const auto number = std::hash<std::string>{}(shared + body) % 1000000;
  const std::string named = "mlxffi_" + name + "_" + std::to_string(number);
  if (language() == Language::cuda) {
    return mx::fast::cuda_kernel(named, inputs, outputs, cuda_prologue + body, cuda_prelude + shared);
  }
  return mx::fast::metal_kernel(named, inputs, outputs, metal_prologue + body, metal_prelude + shared);
}

// All axes but the last as one.
int rows_of(const mx::array& x) {
  int rows = 1;
  for (size_t axis = 0; axis + 1 < x.ndim(); axis++) {
    rows *= x.shape(axis);
  }
  return rows;
}

namespace {

// MLX hands Metal kernels arrays of fewer than 8 elements in another address space; rows past the last, which no block
// is started for, keep the logits in device memory.
mx::array in_device_memory(const mx::array& input, mx::Stream s) {
  if (language() == Language::cuda || input.ndim() < 2 || input.size() >= 8) {
    return input;
  }
  std::vector<std::pair<int, int>> more(input.ndim(), {0, 0});
  more[0].second = 8;
  return mx::pad(input, more, mx::array(0, input.dtype()), "constant", s);
}

// MLX's node for a kernel, which has no rule for vmap, with the rule of kernels whose rows know nothing of each other.
class RowKernel : public mx::Primitive {
 public:
  RowKernel(std::shared_ptr<mx::Primitive> node, const Kernel& kernel, Call call, int rows)
      : Primitive(node->stream()), node_(std::move(node)), kernel_(kernel), call_(call), rows_(rows) {}

  const char* name() const override {
    return "RowKernel";
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    node_->eval_cpu(inputs, outputs);
  }
  void eval_gpu(const Arrays& inputs, Arrays& outputs) override {
    node_->eval_gpu(inputs, outputs);
  }
  std::pair<Arrays, std::vector<int>> vmap(const Arrays& inputs, const std::vector<int>& axes) override;

 private:
  // The rows of an input for every place along the mapped axis, one after the other.
  mx::array merged(const mx::array& input, int axis, int size) {
    auto shape = input.shape();
    shape.insert(shape.begin(), size);
    auto all = axis >= 0 ? mx::moveaxis(input, axis, 0, stream()) : mx::broadcast_to(input, shape, stream());
    auto end = all.shape();
    end[1] = rows_; // less what in_device_memory added
    return mx::flatten(mx::slice(all, mx::Shape(end.size(), 0), end, stream()), 0, 1, stream());
  }

  std::shared_ptr<mx::Primitive> node_;
  const Kernel& kernel_; // lives as long as the process
  Call call_;
  int rows_;
};

std::pair<Arrays, std::vector<int>> RowKernel::vmap(const Arrays& inputs, const std::vector<int>& axes) {
  int size = 1;
  for (size_t i = 0; i < inputs.size(); i++) {
    size = axes[i] >= 0 ? inputs[i].shape(axes[i]) : size;
  }
  Arrays given;
  for (size_t i = 0; i < inputs.size(); i++) {
    bool is_settings = call_.has_settings && i + 1 == inputs.size();
    given.push_back(is_settings ? inputs[i] : merged(inputs[i], axes[i], size));
  }
  auto outputs = kernel_(given, call_, stream());
  for (auto& output : outputs) {
    output.overwrite_descriptor(mx::unflatten(output, 0, {size, rows_}, stream()));
  }
  return {outputs, std::vector<int>(outputs.size(), 0)};
}

} // namespace

Kernel::Kernel(const std::string& name, const Names& inputs, const Names& outputs, const std::string& body, Tuning tuning)
    : function_(compiled(name, inputs, outputs, body)), tuning_(tuning) {
  if (language() == Language::metal) {
    tuning_.width = std::min(tuning_.width, 256); // what every Apple GPU grants whatever the registers needed
  }
}

std::pair<Kernel::Size, Kernel::Size> Kernel::grid_of(int rows, int64_t threads) const {
  // In whole warps, and no more blocks than the threads fill.
  const int width = int(std::clamp<int64_t>((threads + 31) / 32 * 32, 32, tuning_.width));
  const int parts = int(std::clamp<int64_t>(threads / width, 1, tuning_.parts));
  // y and z are the row: a grid has at most 65,535 blocks in each.
  const int across = std::min(rows, 32768);
  const int down = (rows - 1) / across + 1;
  return {{parts * width, across, down}, {width, 1, 1}};
}

Arrays Kernel::operator()(Arrays inputs, Call call, mx::Stream s) const {
  const auto given = inputs[0].shape();
  const mx::Shape shape{rows_of(inputs[0]), given.back()};
  const auto dtype = inputs[0].dtype();
  std::vector<mx::Shape> shapes(call.row_outputs, mx::Shape{shape[0]});
  std::vector<mx::Dtype> dtypes(call.row_outputs, mx::float32);
  shapes.resize(call.row_outputs + call.outputs, given);
  for (auto& tail : call.tails) {
    shapes.push_back(mx::Shape(given.begin(), given.end() - 1));
    shapes.back().insert(shapes.back().end(), tail.begin(), tail.end());
  }
  dtypes.resize(shapes.size(), dtype);
  shapes.insert(shapes.end(), call.sums.begin(), call.sums.end());
  dtypes.resize(shapes.size(), mx::float32);
  if (shape[0] == 0) { // vmap over nothing
    Arrays nothing;
    for (size_t i = 0; i < shapes.size(); i++) {
      nothing.push_back(mx::zeros(shapes[i], dtypes[i], s));
    }
    return nothing;
  }
  for (auto& input : inputs) {
    input.overwrite_descriptor(in_device_memory(input, s));
  }
  const int64_t chunks = (int64_t(shape[1]) * inputs[0].itemsize() + 15) / 16;
  auto [grid, block] = grid_of(call.blocks ? call.blocks : shape[0], call.threads ? call.threads : chunks);
  const std::vector<std::pair<std::string, mx::fast::TemplateArg>> options{
      {"T", dtype}, {"UNROLL", tuning_.unroll}, {"OPTION", call.option}};
  auto made = function_(inputs, shapes, dtypes, grid, block, options, std::nullopt, false, s);
  auto node = std::make_shared<RowKernel>(made[0].primitive_ptr(), *this, call, shape[0]);
  return mx::array::make_arrays(shapes, dtypes, node, made[0].inputs());
}

} // namespace mlxffi::gpu
