#include "gpu_layers.h"

#include "composing.h"
#include "gpu_gate.h"
#include "gpu_kernel.h"
#include "gpu_norm.h"

namespace mlxffi::gpu {

namespace {

// A warp for each row.
Grid by_rows(const mx::array& x) {
  return {parts_of(rows_of(x), usual_threads / warp)};
}

// A thread for each chunk.
Grid by_chunks(const mx::array& x) {
  return {parts_of(x.size(), usual_threads * chunk(x))};
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

} // namespace mlxffi::gpu
