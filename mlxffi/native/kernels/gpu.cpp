#include "gpu.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include <mlx/backend/cuda/cuda.h>
#include <mlx/backend/metal/metal.h>
#include <mlx/fast.h>
#include <mlx/ops.h>
#include <mlx/primitives.h>

#include "cuda_prelude.h"
#include "gpu_common.h"
#include "gpu_cross_entropy.h"
#include "gpu_divergence.h"
#include "gpu_gate.h"
#include "gpu_heads.h"
#include "metal_prelude.h"

namespace mlxffi::gpu {

namespace {

using Names = std::vector<std::string>;

enum class Language { cuda, metal };

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

// How many threads a block has and blocks a row has, at most, and how many 16-byte chunks a thread loads before it uses
// the first. Measured on an H100 (docs/gpu.md). A forward pass sums over its row, which only one block can do: clusters
// of blocks, joined by __cluster_dims__, break MLX's cached CUDA graphs.
struct Tuning {
  int width;
  int unroll;
  int parts = 1;
};

mx::fast::CustomKernelFunction
compiled(const std::string& name, const Names& inputs, const Names& outputs, const std::string& body) {
  const std::string shared = std::string(common_source) + cross_entropy_source + divergence_source + gate_source + heads_source;
  const std::string named = "mlxffi_" + name;
  if (language() == Language::cuda) {
    return mx::fast::cuda_kernel(named, inputs, outputs, cuda_prologue + body, cuda_prelude + shared);
  }
  return mx::fast::metal_kernel(named, inputs, outputs, metal_prologue + body, metal_prelude + shared);
}

// MLX hands Metal kernels arrays of fewer than 8 elements in another address space; rows past the last, which no block
// is started for, keep the logits in device memory.
mx::array in_device_memory(const mx::array& input, mx::Stream s) {
  if (language() == Language::cuda || input.ndim() < 2 || input.size() >= 8) {
    return input;
  }
  return mx::pad(input, {{0, 8}, {0, 0}}, mx::array(0, input.dtype()), "constant", s);
}

// What a kernel makes: so many arrays of [n] in float32, then so many like the logits, then some of other widths. option is
// for the kernel's body.
struct Call {
  int row_outputs;
  int outputs;
  bool option;
  std::vector<int> widths{};
  bool has_settings = true;
};

// One kernel: compiled by MLX for each dtype at its first use, then kept for the life of the process.
class Kernel {
 public:
  Kernel(const std::string& name, const Names& inputs, const Names& outputs, const std::string& body, Tuning tuning)
      : function_(compiled(name, inputs, outputs, body)), tuning_(tuning) {
    if (language() == Language::metal) {
      tuning_.width = std::min(tuning_.width, 256); // what every Apple GPU grants whatever the registers needed
    }
  }

  // Inputs: one or two times logits [n, V], arrays of [n], and the settings where the call has them.
  Arrays operator()(Arrays inputs, Call call, mx::Stream s) const;

 private:
  using Size = std::tuple<int, int, int>;

  // The grid, in threads, and its blocks for logits of a shape.
  std::pair<Size, Size> threads(const mx::Shape& shape, size_t itemsize) const;

  mx::fast::CustomKernelFunction function_;
  Tuning tuning_;
};

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

std::pair<Kernel::Size, Kernel::Size> Kernel::threads(const mx::Shape& shape, size_t itemsize) const {
  // No more threads than there are 16-byte chunks for, in whole warps, and no more blocks than these fill.
  const int64_t chunks = (int64_t(shape[1]) * itemsize + 15) / 16;
  const int width = int(std::clamp<int64_t>((chunks + 31) / 32 * 32, 32, tuning_.width));
  const int parts = int(std::clamp<int64_t>(chunks / width, 1, tuning_.parts));
  // y and z are the row: a grid has at most 65,535 blocks in each.
  const int across = std::min(shape[0], 32768);
  const int down = (shape[0] - 1) / across + 1;
  return {{parts * width, across, down}, {width, 1, 1}};
}

Arrays Kernel::operator()(Arrays inputs, Call call, mx::Stream s) const {
  const auto shape = inputs[0].shape();
  const auto dtype = inputs[0].dtype();
  std::vector<mx::Shape> shapes(call.row_outputs, mx::Shape{shape[0]});
  std::vector<mx::Dtype> dtypes(call.row_outputs, mx::float32);
  shapes.resize(call.row_outputs + call.outputs, shape);
  for (int width : call.widths) {
    shapes.push_back({shape[0], width});
  }
  dtypes.resize(shapes.size(), dtype);
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
  auto [grid, block] = threads(shape, inputs[0].itemsize());
  const std::vector<std::pair<std::string, mx::fast::TemplateArg>> options{
      {"T", dtype}, {"UNROLL", tuning_.unroll}, {"OPTION", call.option}};
  auto made = function_(inputs, shapes, dtypes, grid, block, options, std::nullopt, false, s);
  auto node = std::make_shared<RowKernel>(made[0].primitive_ptr(), *this, call, shape[0]);
  return mx::array::make_arrays(shapes, dtypes, node, made[0].inputs());
}

// A number that changes from call to call without a new compilation.
mx::array setting(float value) {
  return mx::array({value}, mx::float32);
}

} // namespace

Arrays cross_entropy_forward(const mx::array& logits, const mx::array& targets, float smoothing, mx::Stream s) {
  static const Kernel kernel(
      "cross_entropy_forward",
      {"logits", "targets", "settings"},
      {"loss", "lse"},
      cross_entropy_forward_body,
      {512, 4});
  return kernel({logits, targets, setting(smoothing)}, {2, 0, smoothing > 0}, s);
}

mx::array cross_entropy_backward(
    const mx::array& logits,
    const mx::array& targets,
    const mx::array& lse,
    const mx::array& cotangent,
    float smoothing,
    mx::Stream s) {
  static const Kernel kernel(
      "cross_entropy_backward",
      {"logits", "targets", "lse", "cotangent", "settings"},
      {"gradient"},
      cross_entropy_backward_body,
      {1024, 2, 4});
  return kernel({logits, targets, lse, cotangent, setting(smoothing)}, {0, 1, false}, s)[0];
}

Arrays divergence_forward(DivergenceKind kind, const mx::array& q, const mx::array& p, float temperature, mx::Stream s) {
  const Arrays inputs{q, p, setting(1.0f / temperature)};
  if (kind == DivergenceKind::kl) {
    static const Names rows{"loss", "lse_q", "lse_p"};
    static const Kernel kernel("kl_forward", {"q", "p", "settings"}, rows, kl_forward_body, {256, 2});
    return kernel(inputs, {3, 0, false}, s);
  }
  static const Names rows{"loss", "lse_q", "lse_p", "kl_q", "kl_p"};
  static const Kernel kernel("js_forward", {"q", "p", "settings"}, rows, js_forward_body, {512, 2});
  return kernel(inputs, {5, 0, false}, s);
}

namespace {

const Kernel& backward_kernel(DivergenceKind kind, bool teacher_gradient) {
  static const Names kl{"q", "p", "loss", "lse_q", "lse_p", "cotangent", "settings"};
  static const Names js{"q", "p", "loss", "lse_q", "lse_p", "kl_q", "kl_p", "cotangent", "settings"};
  static const std::string head = divergence_backward_head, alone = no_teacher_head + head;
  static const Tuning tuning{1024, 1, 8};
  if (kind == DivergenceKind::kl) {
    static const Kernel student("kl_backward", kl, {"dq"}, alone + kl_backward_body, tuning);
    static const Kernel both("kl_backward_both", kl, {"dq", "dp"}, head + kl_backward_body, tuning);
    return teacher_gradient ? both : student;
  }
  static const Kernel student("js_backward", js, {"dq"}, alone + js_backward_body, tuning);
  static const Kernel both("js_backward_both", js, {"dq", "dp"}, head + js_backward_body, tuning);
  return teacher_gradient ? both : student;
}

} // namespace

Arrays divergence_backward(
    DivergenceKind kind,
    const mx::array& q,
    const mx::array& p,
    const Arrays& rows,
    const mx::array& cotangent,
    float temperature,
    bool teacher_gradient,
    mx::Stream s) {
  Arrays inputs{q, p};
  inputs.insert(inputs.end(), rows.begin(), rows.end());
  inputs.push_back(cotangent);
  inputs.push_back(setting(1.0f / temperature));
  return backward_kernel(kind, teacher_gradient)(std::move(inputs), {0, teacher_gradient ? 2 : 1, teacher_gradient}, s);
}

mx::array gate_forward(const mx::array& pairs, bool gelu, mx::Stream s) {
  static const Kernel kernel("gate_forward", {"pairs"}, {"units"}, gate_forward_body, {128, 1, 4});
  return kernel({pairs}, {0, 0, gelu, {pairs.shape(1) / 2}, false}, s)[0];
}

mx::array gate_backward(const mx::array& pairs, const mx::array& cotangents, bool gelu, mx::Stream s) {
  static const Kernel kernel("gate_backward", {"pairs", "cotangents"}, {"gradient"}, gate_backward_body, {128, 1, 4});
  return kernel({pairs, cotangents}, {0, 1, gelu, {}, false}, s)[0];
}

namespace {

// The inputs as matrices of their rows, without norms with others in their place, and the settings.
Arrays of_heads(const Arrays& inputs, HeadCounts counts, bool has_norms, float eps, mx::Stream s) {
  auto &x = inputs[0], &cosines = inputs[1];
  int features = x.shape(1) / counts.all(), positions = cosines.shape(0);
  Arrays given{x, mx::astype(cosines, mx::float32, s), mx::reshape(mx::astype(inputs[2], mx::float32, s), {positions, features}, s)};
  for (int norm : {3, 4}) {
    given.push_back(has_norms ? mx::reshape(mx::astype(inputs[norm], x.dtype(), s), {1, features}, s) : x);
  }
  for (size_t i = has_norms ? 5 : 3; i < inputs.size(); i++) {
    given.push_back(mx::reshape(inputs[i], {x.shape(0), -1}, s));
  }
  given.push_back(mx::array({eps, float(counts.heads), float(counts.key_heads), float(features), float(positions)}));
  return given;
}

constexpr Tuning heads_tuning{256, 1, 4};

} // namespace

Arrays heads_forward(const Arrays& inputs, HeadCounts counts, bool has_norms, float eps, mx::Stream s) {
  static const Kernel kernel(
      "heads_forward",
      {"x", "cosines", "sines", "query_norm", "key_norm", "settings"},
      {"queries", "keys"},
      std::string(heads_head) + heads_forward_body,
      heads_tuning);
  int features = inputs[0].shape(1) / counts.all();
  return kernel(of_heads(inputs, counts, has_norms, eps, s), {0, 0, has_norms, {counts.heads * features, counts.key_heads * features}}, s);
}

mx::array heads_backward(const Arrays& inputs, HeadCounts counts, bool has_norms, float eps, mx::Stream s) {
  static const Kernel kernel(
      "heads_backward",
      {"x", "cosines", "sines", "query_norm", "key_norm", "of_queries", "of_keys", "of_values", "settings"},
      {"gradient"},
      std::string(heads_head) + heads_backward_body,
      heads_tuning);
  return kernel(of_heads(inputs, counts, has_norms, eps, s), {0, 1, has_norms}, s)[0];
}

} // namespace mlxffi::gpu
