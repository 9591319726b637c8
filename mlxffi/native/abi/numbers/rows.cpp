// Distributions along axes, scatters and normalisation.
#include "fused.h"
#include "numbers/axes.h"
#include "rms_norm.h"
#include "row_sums.h"

namespace mlxc::numbers {

namespace {

// Columns that are shorter are faster side by side than turned into rows.
constexpr int least_length = 16;

// Whether these are the last axis alone.
bool is_last(const mx::array& a, const std::vector<int>& axes) {
  return axes.size() == 1 && (axes[0] == -1 || axes[0] == static_cast<int>(a.ndim()) - 1);
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
  auto turned = last ? a : mx::contiguous(mx::transpose(a, order, s), false, s);
  return axes.size() == 1 ? turned : mx::flatten(turned, rows, -1, s);
}

} // namespace

mx::array softmax(const mx::array& a, std::vector<int> axes, bool precise, mx::StreamOrDevice s) {
  auto stream = mx::to_stream(s);
  bool plain = !mx::issubdtype(a.dtype(), mx::floating) || !a.size() || !are_axes(a, axes) || !mlxffi::has_kernels(stream);
  if (plain || (a.dtype() != mx::float64 && axes.size() > 1)) {
    return mx::softmax(a, axes, precise || is_half(a), s);
  }
  if (a.dtype() != mx::float64) {
    if (is_last(a, axes)) {
      return mlxffi::softmax_rows(a, stream);
    }
    if (a.shape(axes[0]) < least_length) {
      return mx::softmax(a, axes, precise || is_half(a), s);
    }
    auto rows = mx::contiguous(mx::moveaxis(a, axes[0], -1, s), false, s);
    return mx::moveaxis(mlxffi::softmax_rows(rows, stream), -1, axes[0], s);
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
  if (is_last(a, axes)) {
    return mx::astype(mlxffi::log_sum_exp(a, keepdims, stream), a.dtype(), s);
  }
  auto over = counted(a, axes);
  auto sums = mx::astype(mlxffi::log_sum_exp(as_rows(a, over, s), false, stream), a.dtype(), s);
  return keepdims ? mx::expand_dims(sums, over, s) : sums;
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

mx::array scatter_add(const mx::array& a, const Arrays& indices, const mx::array& updates, const std::vector<int>& axes, mx::StreamOrDevice s) {
  return in_float32(a, s, [&](const mx::array& x) { return mx::scatter_add(x, indices, updates, axes, s); });
}

mx::array scatter_add_axis(const mx::array& a, const mx::array& indices, const mx::array& values, int axis, mx::StreamOrDevice s) {
  return in_float32(a, s, [&](const mx::array& x) { return mx::scatter_add_axis(x, indices, values, axis, s); });
}

// --- normalisation ---

mx::array layer_norm(const mx::array& x, const std::optional<mx::array>& weight, const std::optional<mx::array>& bias, float eps, mx::StreamOrDevice s) {
  auto plain = mx::fast::layer_norm(x, weight, bias, eps, s);
  if (plain.dtype() != mx::float64) {
    return plain;
  }
  auto wide = mx::astype(x, mx::float64, s);
  auto centred = mx::subtract(wide, mx::mean(wide, -1, true, s), s);
  auto scaled = mlxffi::rms_norm(centred, weight, eps, mx::to_stream(s));
  return bias ? mx::add(scaled, *bias, s) : scaled;
}

} // namespace mlxc::numbers
