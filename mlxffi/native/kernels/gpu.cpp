#include "gpu.h"

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
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
#include "gpu_norm.h"
#include "gpu_optimizer.h"
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
  const std::string shared = std::string(common_source) + cross_entropy_source + divergence_source + gate_source + heads_source +
      norm_source + optimizer_source;
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
  std::vector<std::pair<int, int>> more(input.ndim(), {0, 0});
  more[0].second = 8;
  return mx::pad(input, more, mx::array(0, input.dtype()), "constant", s);
}

// All axes but the last as one.
int rows_of(const mx::array& x) {
  int rows = 1;
  for (size_t axis = 0; axis + 1 < x.ndim(); axis++) {
    rows *= x.shape(axis);
  }
  return rows;
}

// What a kernel makes: so many arrays of [n] in float32, then so many like the logits, then some with these axes in place of
// the logits' last, and sums in float32, of these shapes. option is for the kernel's body. Where there are `blocks`, so many
// share all rows.
struct Call {
  int row_outputs;
  int outputs;
  bool option;
  std::vector<mx::Shape> tails{};
  bool has_settings = true;
  std::vector<mx::Shape> sums{};
  int blocks = 0;
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

  // Inputs: one or two times logits [n, V], arrays of [n], and the settings where the call has them. Kernels that ask for
  // the number of axes take [..., V] for [n, V].
  Arrays operator()(Arrays inputs, Call call, mx::Stream s) const;

  // How many warps a block has for logits x.
  int warps(const mx::array& x) const {
    return std::get<0>(threads({rows_of(x), x.shape(-1)}, x.itemsize()).second) / 32;
  }

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
  auto [grid, block] = threads({call.blocks ? call.blocks : shape[0], shape[1]}, inputs[0].itemsize());
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
  return kernel({pairs}, {0, 0, gelu, {mx::Shape{pairs.shape(1) / 2}}, false}, s)[0];
}

mx::array gate_backward(const mx::array& pairs, const mx::array& cotangents, bool gelu, mx::Stream s) {
  static const Kernel kernel("gate_backward", {"pairs", "cotangents"}, {"gradient"}, gate_backward_body, {128, 1, 4});
  return kernel({pairs, cotangents}, {0, 1, gelu, {}, false}, s)[0];
}

namespace {

// How many blocks share rows of which sums are taken.
int blocks_of(int rows) {
  return std::min(rows, 512);
}

// The inputs, others in the place of norms and of cotangents that there are none of, and the settings.
Arrays of_heads(const Arrays& inputs, HeadCounts counts, bool has_norms, float eps, mx::Stream s) {
  auto &x = inputs[0], &cosines = inputs[1];
  int features = x.shape(-1) / counts.all(), positions = cosines.shape(0);
  Arrays given{x, mx::astype(cosines, mx::float32, s), mx::astype(inputs[2], mx::float32, s)};
  for (int i = 0; i < 2; i++) {
    auto& norm = inputs[has_norms ? 3 + std::min(i, counts.kinds() - 1) : 0];
    auto weight = mx::astype(norm, x.dtype(), s);
    given.push_back(has_norms && features < 8 ? mx::reshape(weight, {1, features}, s) : weight); // for in_device_memory
  }
  size_t first = 3 + (has_norms ? counts.kinds() : 0);
  given.insert(given.end(), inputs.begin() + first, inputs.end());
  given.resize(inputs.size() > first ? 8 : 5, given.back());
  given.push_back(mx::array(
      {eps, float(counts.heads), float(counts.key_heads), float(features), float(positions), float(blocks_of(rows_of(x)))}));
  return given;
}

constexpr Tuning heads_tuning{256, 1, 4};
const Names heads_forward_inputs{"x", "cosines", "sines", "query_norm", "key_norm", "settings"};
const Names heads_backward_inputs{
    "x", "cosines", "sines", "query_norm", "key_norm", "of_queries", "of_keys", "of_values", "settings"};

} // namespace

Arrays heads_forward(const Arrays& inputs, HeadCounts counts, bool has_norms, float eps, mx::Stream s) {
  static const std::string body = std::string(heads_head) + heads_row + heads_forward_body;
  static const Kernel both("heads_forward", heads_forward_inputs, {"queries", "keys"}, body, heads_tuning);
  static const Kernel alone("heads_forward_alone", heads_forward_inputs, {"queries"}, no_keys_head + body, heads_tuning);
  int features = inputs[0].shape(-1) / counts.all();
  std::vector<mx::Shape> tails{{counts.heads, features}, {counts.key_heads, features}};
  tails.resize(counts.kinds());
  return (counts.key_heads ? both : alone)(of_heads(inputs, counts, has_norms, eps, s), {0, 0, has_norms, tails}, s);
}

mx::array heads_backward(const Arrays& inputs, HeadCounts counts, bool has_norms, float eps, mx::Stream s) {
  static const std::string body = std::string(heads_head) + heads_row + heads_backward_body;
  static const Kernel kernel("heads_backward", heads_backward_inputs, {"gradient"}, body, heads_tuning);
  return kernel(of_heads(inputs, counts, has_norms, eps, s), {0, 1, has_norms}, s)[0];
}

bool has_heads_norms(int features) {
  return features >= 8 && features <= normed_features;
}

mx::array heads_norms(const Arrays& inputs, HeadCounts counts, float eps, mx::Stream s) {
  static const std::string body = std::string(heads_head) + heads_norms_body;
  static const Kernel kernel("heads_norms", heads_backward_inputs, {"sums"}, body, {256, 1});
  auto& x = inputs[0];
  int features = x.shape(-1) / counts.all(), blocks = blocks_of(rows_of(x));
  Call call{0, 0, true, {}, true, {mx::Shape{blocks * kernel.warps(x), counts.kinds(), features}}, blocks};
  return mx::sum(kernel(of_heads(inputs, counts, true, eps, s), call, s)[0], 0, false, s);
}

bool has_norm_backward(int features) {
  return features % 8 == 0 && features <= 2048;
}

Arrays norm_backward(const mx::array& x, const mx::array& weight, const mx::array& cotangent, float eps, mx::Stream s) {
  static const Kernel kernel("norm_backward", {"x", "weight", "cotangents", "settings"}, {"gradient", "sums"}, norm_backward_body, {1024, 1});
  int blocks = blocks_of(rows_of(x));
  mx::array settings({eps, float(blocks)});
  Call call{0, 1, false, {}, true, {mx::Shape{blocks, x.shape(-1)}}, blocks};
  auto found = kernel({x, weight, cotangent, settings}, call, s);
  return {found[0], mx::sum(found[1], 0, false, s)};
}

namespace {

// A kernel for each number of arrays. In its text, # stands for the number of one of them.
class ManyKernels {
 public:
  ManyKernels(std::string name, Names inputs, Names outputs, std::string head, std::string choice, std::string body)
      : name_(std::move(name)),
        inputs_(std::move(inputs)),
        outputs_(std::move(outputs)),
        head_(std::move(head)),
        choice_(std::move(choice)),
        body_(std::move(body)) {}

  const mx::fast::CustomKernelFunction& of(int count) {
    std::lock_guard<std::mutex> lock(mutex_);
    auto& kernel = made_[count];
    if (!kernel) {
      auto text = numbered(head_, 0);
      for (int i = 0; i < count; i++) {
        text += numbered(choice_, i);
      }
      kernel = compiled(name_ + "_" + std::to_string(count), numbered(inputs_, count), numbered(outputs_, count), text + body_);
    }
    return kernel;
  }

 private:
  static std::string numbered(std::string text, int number) {
    for (size_t at; (at = text.find('#')) != std::string::npos;) {
      text.replace(at, 1, std::to_string(number));
    }
    return text;
  }
  // Those of a name together; a name without # is there once.
  static Names numbered(const Names& names, int count) {
    Names found;
    for (auto& name : names) {
      for (int i = 0; i < (name.find('#') == std::string::npos ? 1 : count); i++) {
        found.push_back(numbered(name, i));
      }
    }
    return found;
  }

  std::string name_;
  Names inputs_, outputs_;
  std::string head_, choice_, body_;
  std::mutex mutex_;
  std::map<int, mx::fast::CustomKernelFunction> made_;
};

// CUDA hands kernels 4 KB of arguments, Metal 31 buffers.
int arrays_for(int buffers) {
  return language() == Language::cuda ? 16 : 29 / buffers;
}

// How many blocks share the largest of arrays, where each has so much to do.
int parts_of(const Arrays& arrays, int count, size_t each, size_t most) {
  size_t largest = 0;
  for (int i = 0; i < count; i++) {
    largest = std::max(largest, arrays[i].size());
  }
  return int(std::clamp<size_t>(largest / each, 1, most));
}

} // namespace

int arrays_of_adam() {
  return arrays_for(9);
}

int arrays_of_squares() {
  return arrays_for(3);
}

bool is_one_of_many(const mx::array& x) {
  bool has_type = x.dtype() == mx::float32 || x.dtype() == mx::float16 || x.dtype() == mx::bfloat16;
  return has_type && x.size() >= 8 && x.size() < size_t(1) << 31; // MLX hands Metal smaller ones in another address space
}

Arrays adam(const Arrays& inputs, mx::Stream s) {
  static ManyKernels kernels(
      "adam", {"w#", "g#", "m#", "v#", "settings"}, {"new_w#", "new_m#", "new_v#"}, adam_head, adam_choice, adam_body);
  int count = int(inputs.size() - 1) / 4;
  std::vector<mx::Shape> shapes;
  std::vector<mx::Dtype> dtypes;
  for (int list : {0, 2, 3}) {
    for (int i = 0; i < count; i++) {
      shapes.push_back(inputs[list * count + i].shape());
      dtypes.push_back(inputs[list * count + i].dtype());
    }
  }
  const int width = 128, parts = parts_of(inputs, count, 8 * width, 1024);
  const std::vector<std::pair<std::string, mx::fast::TemplateArg>> options{
      {"T", dtypes[0]}, {"G", inputs[count].dtype()}, {"M", dtypes[count]}};
  return kernels.of(count)(inputs, shapes, dtypes, {parts * width, count, 1}, {width, 1, 1}, options, std::nullopt, false, s);
}

mx::array sum_of_squares(const Arrays& arrays, mx::Stream s) {
  static ManyKernels kernels("squares", {"x#"}, {"sums"}, squares_head, squares_choice, squares_body);
  int count = int(arrays.size());
  const int width = 256, parts = parts_of(arrays, count, 32 * width, 256);
  auto sums = kernels.of(count)(
      arrays, {{count, parts}}, {mx::float32}, {parts * width, count, 1}, {width, 1, 1}, {{"T", arrays[0].dtype()}}, std::nullopt, false, s);
  return mx::sum(sums[0], s);
}

} // namespace mlxffi::gpu
