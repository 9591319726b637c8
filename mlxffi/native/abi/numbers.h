// Numbers where MLX's are rounded to a narrower type than the result's, overflow in the type of the elements, or stick.
#pragma once

#include "convert.h"

namespace mlxc::numbers {

// Functions of float64, computed in float64 on a CPU; of other types, MLX's.
mx::array exp(const mx::array& a, mx::StreamOrDevice s);
mx::array sin(const mx::array& a, mx::StreamOrDevice s);
mx::array cos(const mx::array& a, mx::StreamOrDevice s);
mx::array erf(const mx::array& a, mx::StreamOrDevice s);
mx::array erfinv(const mx::array& a, mx::StreamOrDevice s);
mx::array sigmoid(const mx::array& a, mx::StreamOrDevice s);

mx::array power(const mx::array& a, const mx::array& b, mx::StreamOrDevice s);
mx::array logaddexp(const mx::array& a, const mx::array& b, mx::StreamOrDevice s);
mx::array nan_to_num(const mx::array& a, float nan, std::optional<float> posinf, std::optional<float> neginf, mx::StreamOrDevice s);
mx::array isfinite(const mx::array& a, mx::StreamOrDevice s);
mx::array isinf(const mx::array& a, mx::StreamOrDevice s);

// log(e^a + e^b ...), up to each place of the last axis.
mx::array scanned_logaddexp(const mx::array& a, mx::StreamOrDevice s);

// Rows, with sums in float32 or wider.
mx::array softmax(const mx::array& a, std::vector<int> axes, bool precise, mx::StreamOrDevice s);
mx::array logsumexp(const mx::array& a, std::vector<int> axes, bool keepdims, mx::StreamOrDevice s);
mx::array cumsum(const mx::array& a, int axis, bool reverse, bool inclusive, mx::StreamOrDevice s);
mx::array cumsum(const mx::array& a, int axis, bool reverse, bool inclusive, std::optional<mx::Dtype> dtype, mx::StreamOrDevice s);
mx::array cumprod(const mx::array& a, int axis, bool reverse, bool inclusive, mx::StreamOrDevice s);
mx::array cumprod(const mx::array& a, int axis, bool reverse, bool inclusive, std::optional<mx::Dtype> dtype, mx::StreamOrDevice s);
mx::array cummax(const mx::array& a, int axis, bool reverse, bool inclusive, mx::StreamOrDevice s);
mx::array cummin(const mx::array& a, int axis, bool reverse, bool inclusive, mx::StreamOrDevice s);
mx::array logcumsumexp(const mx::array& a, int axis, bool reverse, bool inclusive, mx::StreamOrDevice s);
mx::array sum(const mx::array& a, std::vector<int> axes, bool keepdims, mx::StreamOrDevice s);
mx::array mean(const mx::array& a, std::vector<int> axes, bool keepdims, mx::StreamOrDevice s);
mx::array var(const mx::array& a, std::vector<int> axes, bool keepdims, int ddof, mx::StreamOrDevice s);
mx::array stddev(const mx::array& a, std::vector<int> axes, bool keepdims, int ddof, mx::StreamOrDevice s);

mx::array vecdot(const mx::array& a, const mx::array& b, int axis, mx::StreamOrDevice s);

// Norms, of halves in float32 and of integers as means are.
mx::array l2_norm(const mx::array& a, const std::optional<std::vector<int>>& axes, bool keepdims, mx::StreamOrDevice s);
mx::array norm(const mx::array& a, double ord, const std::optional<std::vector<int>>& axes, bool keepdims, mx::StreamOrDevice s);
mx::array norm(const mx::array& a, const std::string& ord, const std::optional<std::vector<int>>& axes, bool keepdims, mx::StreamOrDevice s);

// Attention by our kernels where there are some; of float64, in float64.
mx::array attention(const mx::array& queries, const mx::array& keys, const mx::array& values, float scale, const std::string& mask_mode, const std::optional<mx::array>& mask, const std::optional<mx::array>& sinks, bool force_fused, mx::StreamOrDevice s);

// Integers as float32, so that they do not wrap.
mx::array widened(const mx::array& a, mx::StreamOrDevice s);

// All axes of an array; one of them.
std::vector<int> every_axis(const mx::array& a);
inline std::vector<int> one_axis(int axis) {
  return {axis};
}

// float16 and bfloat16 as float32 while updates are added up.
mx::array scatter_add(const mx::array& a, const Arrays& indices, const mx::array& updates, const std::vector<int>& axes, mx::StreamOrDevice s);
mx::array scatter_add_axis(const mx::array& a, const mx::array& indices, const mx::array& values, int axis, mx::StreamOrDevice s);

// Whether the result of two arrays is float64.
inline bool is_wide(const mx::array& a, const mx::array& b) {
  return mx::promote_types(a.dtype(), b.dtype()) == mx::float64;
}

mx::array convolution(const mx::array& input, const mx::array& weight, std::vector<int> stride, std::vector<int> padding_lo, std::vector<int> padding_hi, std::vector<int> kernel_dilation, std::vector<int> input_dilation, int groups, bool flip, mx::StreamOrDevice s);

// The same, of float64 alone, by the parameters of a transposed convolution.
mx::array convolution_transpose(const mx::array& input, const mx::array& weight, std::vector<int> stride, std::vector<int> padding, std::vector<int> dilation, std::vector<int> output_padding, int groups, mx::StreamOrDevice s);

mx::array layer_norm(const mx::array& x, const std::optional<mx::array>& weight, const std::optional<mx::array>& bias, float eps, mx::StreamOrDevice s);

// --- random numbers ---

mx::array uniform(const mx::array& low, const mx::array& high, const mx::Shape& shape, mx::Dtype dtype, const mx::array& key, mx::StreamOrDevice s);
// Ranges past 2^24 from 64 random bits.
mx::array randint(const mx::array& low, const mx::array& high, const mx::Shape& shape, mx::Dtype dtype, const mx::array& key, mx::StreamOrDevice s);

// `axis` is checked.
mx::array permutation(const mx::array& x, int axis, const mx::array& key, mx::StreamOrDevice s);

mx::array truncated_normal(const mx::array& lower, const mx::array& upper, const mx::Shape& shape, mx::Dtype dtype, const mx::array& key, mx::StreamOrDevice s);

} // namespace mlxc::numbers
