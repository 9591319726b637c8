// Sums, means and distributions along axes.
#include "numbers.h"

#include "derivatives/rules.h"
#include "fused.h"
#include "row_sums.h"
#include "wide.h"

namespace mlxc::numbers {

namespace {

bool is_half(const mx::array& a) {
  return a.dtype() == mx::float16 || a.dtype() == mx::bfloat16;
}

// In float32 where the type is narrower, and back.
template <class Call>
mx::array in_float32(const mx::array& a, mx::StreamOrDevice s, Call&& call) {
  return is_half(a) ? mx::astype(call(mx::astype(a, mx::float32, s)), a.dtype(), s) : call(a);
}

// Integers in float64 where there is one, else in float32; the result is float32, as in MLX.
template <class Call>
mx::array in_floats(const mx::array& a, mx::StreamOrDevice s, Call&& call) {
  if (mx::issubdtype(a.dtype(), mx::inexact)) {
    return in_float32(a, s, call);
  }
  bool on_cpu = mx::to_stream(s).device == mx::Device::cpu;
  return mx::astype(call(mx::astype(a, on_cpu ? mx::float64 : mx::float32, s)), mx::float32, s);
}

// The axes, counted from the front, in order.
std::vector<int> counted(const mx::array& a, std::vector<int> axes) {
  for (auto& axis : axes) {
    axis = axis < 0 ? axis + static_cast<int>(a.ndim()) : axis;
  }
  std::sort(axes.begin(), axes.end());
  return axes;
}

// Whether these are axes of the array, each once and at least one.
bool are_axes(const mx::array& a, const std::vector<int>& axes) {
  auto known = counted(a, axes);
  bool distinct = std::adjacent_find(known.begin(), known.end()) == known.end();
  return distinct && !known.empty() && known.front() >= 0 && known.back() < static_cast<int>(a.ndim());
}

// The axes last, as one.
mx::array as_rows(const mx::array& a, const std::vector<int>& axes, mx::StreamOrDevice s) {
  int ndim = static_cast<int>(a.ndim()), rows = ndim - static_cast<int>(axes.size());
  bool last = axes.front() == rows;
  std::vector<int> order;
  for (int axis = 0; axis < ndim; axis++) {
    if (std::find(axes.begin(), axes.end(), axis) == axes.end()) {
      order.push_back(axis);
    }
  }
  order.insert(order.end(), axes.begin(), axes.end());
  auto turned = last ? a : mx::transpose(a, order, s);
  return axes.size() == 1 ? turned : mx::flatten(turned, rows, -1, s);
}

// How many numbers MLX may add up one after the other.
constexpr int64_t most_in_a_row = 16384;

// Whether the axes are the last ones, and have so many elements that a float32 is too narrow for their sum.
bool are_long_rows(const mx::array& a, const std::vector<int>& axes, mx::Stream s) {
  bool narrow = a.dtype() == mx::float32 || is_half(a);
  if (!narrow || !a.size() || !are_axes(a, axes) || !mlxffi::has_kernels(s)) {
    return false;
  }
  int64_t count = 1;
  for (int axis : axes) {
    count *= a.shape(axis);
  }
  return count > most_in_a_row && counted(a, axes).front() == static_cast<int>(a.ndim() - axes.size());
}

} // namespace

mx::array softmax(const mx::array& a, std::vector<int> axes, bool precise, mx::StreamOrDevice s) {
  auto stream = mx::to_stream(s);
  bool plain = !mx::issubdtype(a.dtype(), mx::floating) || !a.size() || !are_axes(a, axes) || !mlxffi::has_kernels(stream);
  if (plain || (a.dtype() != mx::float64 && axes.size() > 1)) {
    return mx::softmax(a, axes, precise || is_half(a), s);
  }
  if (a.dtype() != mx::float64) {
    bool last = axes[0] == -1 || axes[0] == static_cast<int>(a.ndim()) - 1;
    return last ? mlxffi::softmax_rows(a, stream)
                : mx::moveaxis(mlxffi::softmax_rows(mx::moveaxis(a, axes[0], -1, s), stream), -1, axes[0], s);
  }
  auto greatest = mx::stop_gradient(mx::max(a, axes, true, s), s);
  auto parts = numbers::exp(mx::subtract(a, greatest, s), s);
  return mx::divide(parts, mx::sum(parts, axes, true, s), s);
}

mx::array logsumexp(const mx::array& a, std::vector<int> axes, bool keepdims, mx::StreamOrDevice s) {
  auto stream = mx::to_stream(s);
  if (!mx::issubdtype(a.dtype(), mx::floating) || !a.size() || !are_axes(a, axes) || !mlxffi::has_kernels(stream)) {
    return mx::logsumexp(a, axes, keepdims, s);
  }
  auto over = counted(a, axes);
  auto sums = mx::astype(mlxffi::log_sum_exp(as_rows(a, over, s), stream), a.dtype(), s);
  return keepdims ? mx::expand_dims(sums, over, s) : sums;
}

mx::array cumsum(const mx::array& a, int axis, bool reverse, bool inclusive, mx::StreamOrDevice s) {
  return in_float32(a, s, [&](const mx::array& x) { return mx::cumsum(x, axis, reverse, inclusive, std::nullopt, s); });
}

mx::array cumsum(const mx::array& a, int axis, bool reverse, bool inclusive, std::optional<mx::Dtype> dtype, mx::StreamOrDevice s) {
  return dtype ? numbers::cumsum(mx::astype(a, *dtype, s), axis, reverse, inclusive, s) : numbers::cumsum(a, axis, reverse, inclusive, s);
}

mx::array logcumsumexp(const mx::array& a, int axis, bool reverse, bool inclusive, mx::StreamOrDevice s) {
  if (a.dtype() != mx::float64 || !a.size()) {
    return in_float32(a, s, [&](const mx::array& x) { return mx::logcumsumexp(x, axis, reverse, inclusive, s); });
  }
  auto turned = [&](const mx::array& x) {
    auto order = mx::arange(x.shape(-1) - 1, -1, -1, mx::int32, s);
    return reverse ? mx::take(x, order, -1, s) : x;
  };
  auto sums = numbers::scanned_logaddexp(turned(mx::moveaxis(a, axis, -1, s)), s);
  if (!inclusive) {
    auto before = mx::full(mx::max(sums, -1, true, s).shape(), -INFINITY, mx::float64, s);
    mx::Shape start(sums.ndim(), 0), stop = sums.shape();
    stop.back()--;
    sums = mx::concatenate({before, mx::slice(sums, start, stop, s)}, -1, s);
  }
  return mx::moveaxis(turned(sums), -1, axis, s);
}

mx::array sum(const mx::array& a, std::vector<int> axes, bool keepdims, mx::StreamOrDevice s) {
  auto stream = mx::to_stream(s);
  if (!are_long_rows(a, axes, stream)) {
    return mx::sum(a, axes, keepdims, s);
  }
  auto over = counted(a, axes);
  auto sums = mlxffi::sum_rows(as_rows(a, over, s), stream);
  return keepdims ? mx::expand_dims(sums, over, s) : sums;
}

mx::array mean(const mx::array& a, std::vector<int> axes, bool keepdims, mx::StreamOrDevice s) {
  if (are_long_rows(a, axes, mx::to_stream(s))) {
    auto wide = mx::astype(a, mx::float32, s);
    auto count = mx::number_of_elements(wide, axes, true, mx::float32, s);
    return mx::astype(mx::multiply(numbers::sum(wide, axes, keepdims, s), count, s), a.dtype(), s);
  }
  return in_floats(a, s, [&](const mx::array& x) { return mx::mean(x, axes, keepdims, s); });
}

mx::array var(const mx::array& a, std::vector<int> axes, bool keepdims, int ddof, mx::StreamOrDevice s) {
  return in_floats(a, s, [&](const mx::array& x) { return mx::var(x, axes, keepdims, ddof, s); });
}

mx::array stddev(const mx::array& a, std::vector<int> axes, bool keepdims, int ddof, mx::StreamOrDevice s) {
  return in_floats(a, s, [&](const mx::array& x) { return mx::std(x, axes, keepdims, ddof, s); });
}

mx::array scatter_add(const mx::array& a, const Arrays& indices, const mx::array& updates, const std::vector<int>& axes, mx::StreamOrDevice s) {
  return in_float32(a, s, [&](const mx::array& x) { return mx::scatter_add(x, indices, updates, axes, s); });
}

mx::array scatter_add_axis(const mx::array& a, const mx::array& indices, const mx::array& values, int axis, mx::StreamOrDevice s) {
  return in_float32(a, s, [&](const mx::array& x) { return mx::scatter_add_axis(x, indices, values, axis, s); });
}

// --- normalisation ---

mx::array rms_norm(const mx::array& x, const std::optional<mx::array>& weight, float eps, mx::StreamOrDevice s) {
  auto plain = mx::fast::rms_norm(x, weight, eps, s);
  return plain.dtype() == mx::float64 ? mlxffi::wide_rms_norm(x, weight, eps, mx::to_stream(s)) : plain;
}

mx::array layer_norm(const mx::array& x, const std::optional<mx::array>& weight, const std::optional<mx::array>& bias, float eps, mx::StreamOrDevice s) {
  auto plain = mx::fast::layer_norm(x, weight, bias, eps, s);
  if (plain.dtype() != mx::float64) {
    return plain;
  }
  auto wide = mx::astype(x, mx::float64, s);
  auto centred = mx::subtract(wide, mx::mean(wide, -1, true, s), s);
  auto scaled = numbers::rms_norm(centred, weight, eps, s);
  return bias ? mx::add(scaled, *bias, s) : scaled;
}

} // namespace mlxc::numbers
