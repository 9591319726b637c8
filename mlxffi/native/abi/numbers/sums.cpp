// Sums, products and means along axes: in a wider type where that of the elements overflows or sticks.
#include "axis_sums.h"
#include "fused.h"
#include "numbers/axes.h"
#include "scans.h"

namespace mlxc::numbers {

namespace {

using mlxffi::most_in_a_row;

// Integers in float64 where there is one, else in float32; the result is float32, as in MLX.
template <class Call>
mx::array in_floats(const mx::array& a, mx::StreamOrDevice s, Call&& call) {
  if (mx::issubdtype(a.dtype(), mx::inexact)) {
    return in_float32(a, s, call);
  }
  bool on_cpu = mx::to_stream(s).device == mx::Device::cpu;
  return mx::astype(call(mx::astype(a, on_cpu ? mx::float64 : mx::float32, s)), mx::float32, s);
}

int64_t count_along(const mx::array& a, const std::vector<int>& axes) {
  int64_t count = 1;
  for (int axis : axes) {
    count *= a.shape(axis);
  }
  return count;
}

// Whether our kernels sum an array that is not small.
bool is_large(const mx::array& a, const std::vector<int>& axes, mx::StreamOrDevice s) {
  return a.size() > most_in_a_row && are_axes(a, axes) && mlxffi::has_kernels(mx::to_stream(s));
}

// Whether so many elements are added up that a float32 is too narrow for their sum.
bool is_long(const mx::array& a, const std::vector<int>& axes, mx::StreamOrDevice s) {
  bool narrow = a.dtype() == mx::float32 || is_half(a);
  return narrow && is_large(a, axes, s) && count_along(a, axes) > most_in_a_row;
}

// The same along all axes, where none are given.
bool is_long(const mx::array& a, const std::optional<std::vector<int>>& axes, mx::StreamOrDevice s) {
  return a.size() > most_in_a_row && is_long(a, axes ? *axes : every_axis(a), s);
}

// The axes that are neighbours, as ranges from the last to the first.
std::vector<std::pair<int, int>> runs_of(const std::vector<int>& axes) {
  std::vector<std::pair<int, int>> runs;
  for (auto axis = axes.rbegin(); axis != axes.rend(); ++axis) {
    if (!runs.empty() && runs.back().first == *axis + 1) {
      runs.back().first = *axis;
    } else {
      runs.emplace_back(*axis, *axis);
    }
  }
  return runs;
}

// The sum of a large array, in float32.
mx::array wide_sum(const mx::array& a, const std::vector<int>& axes, bool keepdims, mx::Stream s) {
  auto over = counted(a, axes);
  auto sums = a;
  for (auto [first, last] : runs_of(over)) {
    sums = mlxffi::sum_axis(first == last ? sums : mx::flatten(sums, first, last, s), first, s);
  }
  return keepdims ? mx::expand_dims(sums, over, s) : sums;
}

mx::array long_l2_norm(const mx::array& a, const std::optional<std::vector<int>>& axes, bool keepdims, mx::StreamOrDevice s) {
  if (!axes && !keepdims) {
    auto row = mx::reshape(a, {-1}, s);
    return mx::sqrt(numbers::vecdot(row, row, 0, s), s);
  }
  return mx::sqrt(numbers::sum(mx::square(a, s), axes ? *axes : every_axis(a), keepdims, s), s);
}

// The variance of a long array, in float32.
mx::array long_var(const mx::array& a, const std::vector<int>& axes, bool keepdims, int ddof, mx::StreamOrDevice s) {
  auto x = mx::astype(a, mx::float32, s);
  auto squares = mx::square(mx::subtract(x, numbers::mean(x, axes, true, s), s), s);
  auto count = std::max<int64_t>(count_along(a, counted(a, axes)) - ddof, 0);
  return mx::divide(numbers::sum(squares, axes, keepdims, s), mx::array(static_cast<float>(count)), s);
}

} // namespace

mx::array sum(const mx::array& a, std::vector<int> axes, bool keepdims, mx::StreamOrDevice s) {
  return is_long(a, axes, s) ? mx::astype(wide_sum(a, axes, keepdims, mx::to_stream(s)), a.dtype(), s) : mx::sum(a, axes, keepdims, s);
}

mx::array mean(const mx::array& a, std::vector<int> axes, bool keepdims, mx::StreamOrDevice s) {
  if (is_long(a, axes, s) || (is_half(a) && is_large(a, axes, s))) {
    auto count = mx::number_of_elements(a, axes, true, mx::float32, s);
    return mx::astype(mx::multiply(wide_sum(a, axes, keepdims, mx::to_stream(s)), count, s), a.dtype(), s);
  }
  return in_floats(a, s, [&](const mx::array& x) { return mx::mean(x, axes, keepdims, s); });
}

// What takes several steps of MLX looks for the default stream once, not at each.

mx::array var(const mx::array& a, std::vector<int> axes, bool keepdims, int ddof, mx::StreamOrDevice s) {
  s = mx::to_stream(s);
  if (is_long(a, axes, s)) {
    return mx::astype(long_var(a, axes, keepdims, ddof, s), a.dtype(), s);
  }
  return in_floats(a, s, [&](const mx::array& x) { return mx::var(x, axes, keepdims, ddof, s); });
}

mx::array stddev(const mx::array& a, std::vector<int> axes, bool keepdims, int ddof, mx::StreamOrDevice s) {
  s = mx::to_stream(s);
  if (is_long(a, axes, s)) {
    return mx::astype(mx::sqrt(long_var(a, axes, keepdims, ddof, s), s), a.dtype(), s);
  }
  return in_floats(a, s, [&](const mx::array& x) { return mx::std(x, axes, keepdims, ddof, s); });
}

mx::array l2_norm(const mx::array& a, const std::optional<std::vector<int>>& axes, bool keepdims, mx::StreamOrDevice s) {
  s = mx::to_stream(s);
  return in_floats(a, s, [&](const mx::array& x) {
    return is_long(x, axes, s) ? long_l2_norm(x, axes, keepdims, s) : mx::linalg::norm(x, axes, keepdims, s);
  });
}

// Rows of float32 as products of each by a vector, for which there is a kernel.
mx::array vecdot(const mx::array& a, const mx::array& b, int axis, mx::StreamOrDevice s) {
  constexpr int least_length = 16;
  bool alike = a.dtype() == mx::float32 && b.dtype() == mx::float32 && a.shape() == b.shape() && are_axes(a, {axis});
  if (!alike || counted(a, {axis})[0] + 1 != static_cast<int>(a.ndim()) || a.shape(-1) < least_length || !mlxffi::has_kernels(mx::to_stream(s))) {
    return mx::vecdot(a, b, axis, s);
  }
  auto product = mx::matmul(mx::expand_dims(a, -2, s), mx::expand_dims(b, -1, s), s);
  return mx::squeeze(product, std::vector<int>{-2, -1}, s);
}

mx::array norm(const mx::array& a, double ord, const std::optional<std::vector<int>>& axes, bool keepdims, mx::StreamOrDevice s) {
  s = mx::to_stream(s);
  return in_floats(a, s, [&](const mx::array& x) {
    bool of_vectors = (axes ? axes->size() : x.ndim()) == 1;
    if (!of_vectors || (ord != 1 && ord != 2) || !is_long(x, axes, s)) {
      return mx::linalg::norm(x, ord, axes, keepdims, s);
    }
    return ord == 1 ? numbers::sum(mx::abs(x, s), axes.value_or(one_axis(0)), keepdims, s) : long_l2_norm(x, axes, keepdims, s);
  });
}

mx::array norm(const mx::array& a, const std::string& ord, const std::optional<std::vector<int>>& axes, bool keepdims, mx::StreamOrDevice s) {
  s = mx::to_stream(s);
  return in_floats(a, s, [&](const mx::array& x) {
    bool of_matrices = (axes ? axes->size() : x.ndim()) == 2;
    bool is_l2 = of_matrices && ord == "fro" && is_long(x, axes, s);
    return is_l2 ? long_l2_norm(x, axes, keepdims, s) : mx::linalg::norm(x, ord, axes, keepdims, s);
  });
}

// --- running sums, products and extremes ---

namespace {

// Whether so many float32 numbers are added up that rounding would grow.
bool is_long_row(const mx::array& a, int axis, mx::StreamOrDevice s) {
  return a.dtype() == mx::float32 && a.shape(axis) > most_in_a_row && a.size() && mlxffi::has_kernels(mx::to_stream(s));
}

template <class Scan>
mx::array scanned(const mx::array& a, int axis, mx::StreamOrDevice s, Scan&& scan) {
  int place = axis < 0 ? axis + static_cast<int>(a.ndim()) : axis;
  bool there = place >= 0 && place < static_cast<int>(a.ndim());
  if (there && is_long_row(a, place, s)) {
    return mx::astype(scan(mx::astype(a, mx::float64, s)), mx::float32, s);
  }
  return in_float32(a, s, scan);
}

} // namespace

mx::array cumsum(const mx::array& a, int axis, bool reverse, bool inclusive, mx::StreamOrDevice s) {
  int place = axis < 0 ? axis + static_cast<int>(a.ndim()) : axis;
  bool there = place >= 0 && place < static_cast<int>(a.ndim()), is_last = there && place + 1 == static_cast<int>(a.ndim());
  bool of_halves = there && is_half(a) && !is_last && is_large(a, {place}, s);
  if (inclusive && (of_halves || (is_last && is_long_row(a, place, s)))) {
    return mlxffi::wide_cumsum(a, place, reverse, mx::to_stream(s));
  }
  return scanned(a, axis, s, [&](const mx::array& x) { return mx::cumsum(x, axis, reverse, inclusive, std::nullopt, s); });
}

mx::array cumprod(const mx::array& a, int axis, bool reverse, bool inclusive, mx::StreamOrDevice s) {
  return scanned(a, axis, s, [&](const mx::array& x) { return mx::cumprod(x, axis, reverse, inclusive, std::nullopt, s); });
}

mx::array cumsum(const mx::array& a, int axis, bool reverse, bool inclusive, std::optional<mx::Dtype> dtype, mx::StreamOrDevice s) {
  return numbers::cumsum(dtype ? mx::astype(a, *dtype, s) : a, axis, reverse, inclusive, s);
}

mx::array cumprod(const mx::array& a, int axis, bool reverse, bool inclusive, std::optional<mx::Dtype> dtype, mx::StreamOrDevice s) {
  return numbers::cumprod(dtype ? mx::astype(a, *dtype, s) : a, axis, reverse, inclusive, s);
}

// Of halves in float32, where MLX keeps a NaN.
mx::array cummax(const mx::array& a, int axis, bool reverse, bool inclusive, mx::StreamOrDevice s) {
  return in_float32(a, s, [&](const mx::array& x) { return mx::cummax(x, axis, reverse, inclusive, s); });
}

mx::array cummin(const mx::array& a, int axis, bool reverse, bool inclusive, mx::StreamOrDevice s) {
  return in_float32(a, s, [&](const mx::array& x) { return mx::cummin(x, axis, reverse, inclusive, s); });
}

} // namespace mlxc::numbers
