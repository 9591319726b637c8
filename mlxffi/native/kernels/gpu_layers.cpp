// Gated units, heads and gradients of norms.
#include <algorithm>

#include <mlx/ops.h>

#include "gpu.h"
#include "gpu_common.h"
#include "gpu_gate.h"
#include "gpu_heads.h"
#include "gpu_kernel.h"
#include "gpu_norm.h"

namespace mlxffi::gpu {

namespace {

constexpr Tuning gate_tuning{128, 1, 4};

} // namespace

mx::array gate_forward(const mx::array& gates, const mx::array& ups, bool gelu, mx::Stream s) {
  static const Kernel kernel("gate_forward", {"gates", "ups"}, {"units"}, gate_forward_body, gate_tuning);
  return kernel({gates, ups}, {0, 1, gelu, {}, false}, s)[0];
}

Arrays gate_backward(const mx::array& gates, const mx::array& ups, const mx::array& cotangents, bool gelu, mx::Stream s) {
  static const Kernel kernel("gate_backward", {"gates", "ups", "cotangents"}, {"of_gates", "of_ups"}, gate_backward_body, gate_tuning);
  return kernel({gates, ups, cotangents}, {0, 2, gelu, {}, false}, s);
}

mx::array pairs_forward(const mx::array& pairs, bool gelu, mx::Stream s) {
  static const Kernel kernel("pairs_forward", {"pairs"}, {"units"}, pairs_forward_body, gate_tuning);
  return kernel({pairs}, {0, 0, gelu, {mx::Shape{pairs.shape(1) / 2}}, false}, s)[0];
}

mx::array pairs_backward(const mx::array& pairs, const mx::array& cotangents, bool gelu, mx::Stream s) {
  static const Kernel kernel("pairs_backward", {"pairs", "cotangents"}, {"gradient"}, pairs_backward_body, gate_tuning);
  return kernel({pairs, cotangents}, {0, 1, gelu, {}, false}, s)[0];
}

namespace {

constexpr Tuning heads_tuning{256, 1};
// How many threads share rows of which sums are taken: so many blocks that the largest GPUs have enough on the way.
constexpr int sharing = 1 << 17;

// How many threads a row of so many heads has work for, eight pairs each.
int threads_of(int heads, int features) {
  int lanes = 1;
  while (16 * lanes < features) {
    lanes *= 2;
  }
  return heads * lanes;
}

// The inputs, others in the place of norms and of cotangents that there are none of, and the settings.
Arrays of_heads(const Arrays& inputs, HeadCounts counts, bool has_norms, float eps, int blocks, mx::Stream s) {
  auto &x = inputs[0], &cosines = inputs[1];
  int features = x.shape(-1) / counts.all(), positions = cosines.shape(0);
  Arrays given{x, mx::astype(cosines, mx::float32, s), mx::astype(inputs[2], mx::float32, s)};
  for (int i = 0; i < 2; i++) {
    given.push_back(mx::astype(inputs[has_norms ? 3 + std::min(i, counts.kinds() - 1) : 0], x.dtype(), s));
  }
  size_t first = 3 + (has_norms ? counts.kinds() : 0);
  given.insert(given.end(), inputs.begin() + first, inputs.end());
  given.resize(inputs.size() > first ? 8 : 5, given.back());
  given.push_back(
      mx::array({eps, float(counts.heads), float(counts.key_heads), float(features), float(positions), float(blocks)}));
  return given;
}

const Names heads_forward_inputs{"x", "cosines", "sines", "query_norm", "key_norm", "settings"};
const Names heads_backward_inputs{
    "x", "cosines", "sines", "query_norm", "key_norm", "of_queries", "of_keys", "of_values", "settings"};

} // namespace

bool has_heads(int features) {
  return features >= 8 && features <= most_features;
}

Arrays heads_forward(const Arrays& inputs, HeadCounts counts, bool has_norms, float eps, mx::Stream s) {
  static const std::string body = std::string(heads_head) + heads_forward_body;
  static const Kernel both("heads_forward", heads_forward_inputs, {"queries", "keys"}, body, heads_tuning);
  static const Kernel alone("heads_forward_alone", heads_forward_inputs, {"queries"}, no_keys_head + body, heads_tuning);
  int features = inputs[0].shape(-1) / counts.all();
  Call call{0, 0, has_norms, {{counts.heads, features}, {counts.key_heads, features}}};
  call.tails.resize(counts.kinds());
  call.threads = threads_of(counts.heads + counts.key_heads, features);
  return (counts.key_heads ? both : alone)(of_heads(inputs, counts, has_norms, eps, 0, s), call, s);
}

int heads_parts(const mx::array& x, HeadCounts counts) {
  int threads = threads_of(counts.all(), x.shape(-1) / counts.all());
  return std::min(rows_of(x), sharing / std::clamp(threads, 32, heads_tuning.width));
}

Arrays heads_backward(const Arrays& inputs, HeadCounts counts, bool has_norms, float eps, mx::Stream s) {
  static const std::string body = std::string(heads_head) + heads_backward_body;
  static const Kernel normed("heads_backward", heads_backward_inputs, {"gradient", "sums"}, body, heads_tuning);
  static const Kernel plain("heads_backward_plain", heads_backward_inputs, {"gradient"}, no_sums_head + body, heads_tuning);
  auto& x = inputs[0];
  int features = x.shape(-1) / counts.all();
  Call call{0, 1, has_norms};
  call.threads = threads_of(counts.all(), features);
  if (has_norms) {
    call.blocks = heads_parts(x, counts);
    call.sums = {{call.blocks, counts.kinds(), features}};
  }
  return (has_norms ? normed : plain)(of_heads(inputs, counts, has_norms, eps, call.blocks, s), call, s);
}

mx::array column_sums(const mx::array& parts, mx::Dtype dtype, mx::Stream s) {
  static const auto kernel = compiled("column_sums", {"parts"}, {"totals"}, column_sums_body);
  const int columns = parts.shape(1), width = language() == Language::metal ? 256 : 1024;
  return kernel(
      {parts}, {{columns}}, {dtype}, {width, (columns + 31) / 32, 1}, {width, 1, 1}, {{"T", dtype}}, std::nullopt, false, s)[0];
}

bool has_norm_backward(int features) {
  return features % 8 == 0 && features <= 2048;
}

Arrays norm_backward(
    const mx::array& x,
    const mx::array& weight,
    const mx::array& cotangent,
    const std::optional<mx::array>& sum,
    bool of_weight,
    float eps,
    mx::Stream s) {
  static const Names inputs{"x", "weight", "cotangents", "others", "settings"};
  static const std::string alone = std::string(no_sums_head) + norm_backward_body;
  static const Kernel both("norm_backward", inputs, {"gradient", "sums"}, norm_backward_body, {1024, 1});
  static const Kernel plain("norm_backward_plain", inputs, {"gradient"}, alone, {1024, 1});
  Call call{0, 1, of_weight};
  call.threads = x.shape(-1) / 8;
  if (of_weight) {
    call.blocks = std::min(rows_of(x), 512);
    call.sums = {{call.blocks, x.shape(-1)}};
  }
  mx::array settings({eps, float(call.blocks), float(sum.has_value())});
  auto found = (of_weight ? both : plain)({x, weight, cotangent, sum.value_or(x), settings}, call, s);
  if (of_weight) {
    found[1] = column_sums(found[1], weight.dtype(), s);
  }
  return found;
}

} // namespace mlxffi::gpu
