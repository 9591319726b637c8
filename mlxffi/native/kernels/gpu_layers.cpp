#include "gpu_layers.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "composing.h"
#include "cuda_prelude.h"
#include "gpu_chunks.h"
#include "gpu_common.h"
#include "gpu_gate.h"
#include "gpu_low_rank.h"
#include "gpu_norm.h"
#include "gpu_text.h"
#include "metal_prelude.h"

namespace mlxffi::gpu {

namespace {

using Options = std::vector<std::pair<std::string, mx::fast::TemplateArg>>;

constexpr int warp = 32, usual_threads = 256;

struct Output {
  mx::Shape shape;
  mx::Dtype dtype;
};

struct Grid {
  int64_t blocks;
  int parts = 1;
  int threads = usual_threads;
};

class Kernel {
 public:
  Kernel(const std::string& name, const Names& inputs, const Names& outputs, const char* source, const std::string& body)
      : function_(compiled(
            name, inputs, outputs, std::string(common_source) + chunks_source + source,
            {cuda_layer_prologue, metal_layer_prologue}, body)) {}

  Node operator()(const Arrays& inputs, const std::vector<Output>& outputs, Grid grid, Options options, mx::Stream s) const {
    std::vector<mx::Shape> shapes;
    std::vector<mx::Dtype> dtypes;
    for (auto& output : outputs) {
      shapes.push_back(output.shape);
      dtypes.push_back(output.dtype);
    }
    options.emplace_back("T", inputs[0].dtype());
    std::tuple<int, int, int> all{grid.blocks * grid.threads, grid.parts, 1}, block{grid.threads, 1, 1};
    return function_(inputs, shapes, dtypes, all, block, options, std::nullopt, false, s)[0].primitive_ptr();
  }

 private:
  mx::fast::CustomKernelFunction function_;
};

int64_t rows_of(const mx::array& x) {
  return x.size() / x.shape(-1);
}

int64_t parts_of(int64_t whole, int64_t part) {
  return (whole + part - 1) / part;
}

// How many numbers 16 bytes have.
int chunk(const mx::array& x) {
  return 16 / x.itemsize();
}

int bits(float number) {
  int found;
  std::memcpy(&found, &number, sizeof found);
  return found;
}

// A warp for each row.
Grid by_rows(const mx::array& x) {
  return {parts_of(rows_of(x), usual_threads / warp)};
}

// A thread for each chunk.
Grid by_chunks(const mx::array& x) {
  return {parts_of(x.size(), usual_threads * chunk(x))};
}

mx::Shape batch(const mx::array& x) {
  return {x.shape().begin(), x.shape().end() - 1};
}

// As many as there is place for in a thread's registers.
int rows_at_once(int rank) {
  return std::clamp(32 / rank, 1, 4);
}

Options options_of(LowRank factor) {
  return {{"RANK", factor.rank}, {"LAST", factor.last}};
}

const std::string no_weight = "  const DEVICE T* weight = x;\n";

} // namespace

bool takes_rows(const mx::array& x, mx::Stream s) {
  auto dtype = x.dtype();
  bool known = dtype == mx::float32 || dtype == mx::float16 || dtype == mx::bfloat16;
  bool fits = x.ndim() > 0 && x.size() > 0 && x.size() < (1u << 31) && x.shape(-1) >= least && rows_of(x) >= least;
  return s.device == mx::Device::gpu && !Composing::active() && known && fits;
}

Node rms_norm(const Arrays& inputs, float eps, mx::Stream s) {
  static const Names outputs{"y", "scale"};
  static const Kernel weighted("norm", {"x", "weight"}, outputs, norm_source, norm_forward_body);
  static const Kernel plain("norm_plain", {"x"}, outputs, norm_source, no_weight + norm_forward_body);
  auto& x = inputs[0];
  bool has_weight = inputs.size() > 1;
  Options options{{"EPS", bits(eps)}, {"WEIGHTED", has_weight}};
  return (has_weight ? weighted : plain)(inputs, {{x.shape(), x.dtype()}, {batch(x), mx::float32}}, by_rows(x), options, s);
}

Node rms_norm_backward(const Arrays& inputs, mx::Stream s) {
  static const Names outputs{"gradient"};
  static const Kernel weighted("norm_back", {"x", "weight", "cotangent", "scale"}, outputs, norm_source, norm_backward_body);
  static const Kernel plain(
      "norm_back_plain", {"x", "cotangent", "scale"}, outputs, norm_source, no_weight + norm_backward_body);
  auto& x = inputs[0];
  bool has_weight = inputs.size() > 3;
  return (has_weight ? weighted : plain)(inputs, {{x.shape(), x.dtype()}}, by_rows(x), {{"WEIGHTED", has_weight}}, s);
}

Node gate(const Arrays& inputs, bool gelu, mx::Stream s) {
  static const Kernel kernel("gate", {"gate", "up"}, {"out"}, gate_source, gate_forward_body);
  auto& x = inputs[0];
  return kernel(inputs, {{x.shape(), x.dtype()}}, by_chunks(x), {{"GELU", gelu}}, s);
}

Node gate_backward(const Arrays& inputs, bool gelu, mx::Stream s) {
  static const Kernel kernel("gate_back", {"gate", "up", "cotangent"}, {"to_gate", "to_up"}, gate_source, gate_backward_body);
  auto& x = inputs[0];
  Output output{x.shape(), x.dtype()};
  return kernel(inputs, {output, output}, by_chunks(x), {{"GELU", gelu}}, s);
}

Node low_rank_down(const Arrays& inputs, LowRank factor, float scale, mx::Stream s) {
  static const Kernel kernel("low_rank_down", {"x", "factor"}, {"low"}, low_rank_source, low_rank_down_body);
  auto& x = inputs[0];
  auto shape = batch(x);
  shape.push_back(factor.rank);
  auto options = options_of(factor);
  int rows = rows_at_once(factor.rank);
  // MLX tells kernels apart by their template arguments, not by the dtypes of their inputs.
  options.insert(options.end(), {{"F", inputs[1].dtype()}, {"ROWS", rows}, {"SCALE", bits(scale)}});
  Grid grid{parts_of(rows_of(x), rows * usual_threads / warp)};
  return kernel(inputs, {{shape, mx::float32}}, grid, options, s);
}

Node low_rank_up(const Arrays& inputs, LowRank factor, mx::Stream s) {
  static const Kernel kernel("low_rank_up", {"y", "low", "factor"}, {"out"}, low_rank_source, low_rank_up_body);
  auto& y = inputs[0];
  auto options = options_of(factor);
  constexpr int rows = 4, turns = 4;
  options.insert(options.end(), {{"F", inputs[2].dtype()}, {"ROWS", rows}});
  auto parts = parts_of(rows_of(y), rows * turns * usual_threads / warp);
  Grid grid{parts_of(y.shape(-1), warp * chunk(y)), static_cast<int>(std::min<int64_t>(parts, 32768))};
  return kernel(inputs, {{y.shape(), y.dtype()}}, grid, options, s);
}

Node low_rank_outer(const Arrays& inputs, LowRank factor, mx::Stream s) {
  static const Kernel kernel("low_rank_outer", {"x", "low"}, {"gradient"}, low_rank_source, low_rank_outer_body);
  int features = inputs[0].shape(-1);
  auto shape = factor.last ? mx::Shape{features, factor.rank} : mx::Shape{factor.rank, features};
  // As many as there are registers for; Metal grants fewer, whatever the kernel.
  int threads = language() == Language::metal ? usual_threads : factor.rank > 16 ? 512 : 1024;
  Grid grid{parts_of(features, 2 * warp), 1, threads};
  return kernel(inputs, {{shape, mx::float32}}, grid, options_of(factor), s);
}

} // namespace mlxffi::gpu
