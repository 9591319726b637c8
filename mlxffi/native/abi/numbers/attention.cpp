// Attention by our kernels on a CPU, and of float64, whose softmax MLX takes in float32.
#include "attention.h"
#include "numbers.h"

namespace mlxc::numbers {

namespace {

// Whether query i sees key j: those up to i + the keys that are before the queries.
mx::array causal_mask(int queries, int keys, mx::StreamOrDevice s) {
  auto rows = mx::expand_dims(mx::arange(keys - queries, keys, mx::int32, s), 1, s);
  return mx::greater_equal(rows, mx::arange(keys, mx::int32, s), s);
}

mx::array masked(const mx::array& scores, const mx::array& mask, mx::StreamOrDevice s) {
  return mask.dtype() == mx::bool_ ? mx::where(mask, scores, mx::array(-INFINITY, mx::float64), s) : mx::add(scores, mask, s);
}

// (B, Hk, ...) for each of the query heads that share a head.
mx::array shared_heads(const mx::array& a, int heads, mx::StreamOrDevice s) {
  auto wide = mx::astype(a, mx::float64, s);
  return wide.shape(1) == heads ? wide : mx::repeat(wide, heads / wide.shape(1), 1, s);
}

// None where MLX has to say what is wrong.
std::optional<mlxffi::Masking> masking_of(const std::string& mode, const std::optional<mx::array>& mask) {
  if (mask && (mode.empty() || mode == "array")) {
    return mlxffi::Masking::array;
  }
  bool causal = mode == "causal";
  return !mask && (causal || mode.empty()) ? std::optional(causal ? mlxffi::Masking::causal : mlxffi::Masking::none) : std::nullopt;
}

mx::array wide_attention(const mx::array& queries, const mx::array& keys, const mx::array& values, float scale, const std::string& mask_mode, const std::optional<mx::array>& mask, const std::optional<mx::array>& sinks, mx::StreamOrDevice s) {
  int heads = queries.shape(1);
  auto scaled = mx::multiply(mx::astype(queries, mx::float64, s), mx::array(scale, mx::float64), s);
  auto scores = mx::matmul(scaled, mx::swapaxes(shared_heads(keys, heads, s), -1, -2, s), s);
  if (mask_mode == "causal") {
    scores = masked(scores, causal_mask(queries.shape(2), keys.shape(2), s), s);
  } else if (mask) {
    scores = masked(scores, *mask, s);
  }
  if (sinks) {
    auto extra = mx::reshape(mx::astype(*sinks, mx::float64, s), {1, heads, 1, 1}, s);
    auto shape = scores.shape();
    shape.back() = 1;
    scores = mx::concatenate({mx::broadcast_to(extra, shape, s), scores}, -1, s);
  }
  auto weights = numbers::softmax(scores, {-1}, true, s);
  if (sinks) {
    mx::Shape start(4, 0);
    start.back() = 1;
    weights = mx::slice(weights, start, weights.shape(), s);
  }
  return mx::matmul(weights, shared_heads(values, heads, s), s);
}

} // namespace

mx::array attention(const mx::array& queries, const mx::array& keys, const mx::array& values, float scale, const std::string& mask_mode, const std::optional<mx::array>& mask, const std::optional<mx::array>& sinks, bool force_fused, mx::StreamOrDevice s) {
  bool wide = is_wide(queries, keys) || values.dtype() == mx::float64;
  if (auto masking = masking_of(mask_mode, mask); masking && !sinks && !force_fused && !wide) {
    return mlxffi::attention(queries, keys, values, {scale, *masking}, mask, mx::to_stream(s));
  }
  auto plain = mx::fast::scaled_dot_product_attention(queries, keys, values, scale, mask_mode, mask, sinks, force_fused, s);
  return wide ? wide_attention(queries, keys, values, scale, mask_mode, mask, sinks, s) : plain;
}

} // namespace mlxc::numbers
