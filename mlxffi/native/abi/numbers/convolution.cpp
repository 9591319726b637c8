// Convolutions of float64, which MLX computes in float32 or refuses: one matrix product for each place of the kernel.
#include "numbers.h"

namespace mlxc::numbers {

namespace {

// What a list says of an axis: its value for that axis, or its only one.
int of_axis(const std::vector<int>& values, size_t axis, int otherwise) {
  return values.empty() ? otherwise : values.size() == 1 ? values[0] : values[axis];
}

// The input with zeros between its elements and around them; where padding is negative, without its ends.
mx::array spread(mx::array a, int axis, int dilation, int low, int high, mx::StreamOrDevice s) {
  if (dilation > 1) {
    auto shape = a.shape();
    shape[axis] = (shape[axis] - 1) * dilation + 1;
    mx::Shape start(a.ndim(), 0), strides(a.ndim(), 1);
    strides[axis] = dilation;
    a = mx::slice_update(mx::zeros(shape, a.dtype(), s), a, start, shape, strides, s);
  }
  mx::Shape start(a.ndim(), 0), stop = a.shape();
  start[axis] = std::max(-low, 0);
  stop[axis] -= std::max(-high, 0);
  a = mx::slice(a, start, stop, s);
  return mx::pad(a, std::vector<int>{axis}, mx::Shape{std::max(low, 0)}, mx::Shape{std::max(high, 0)}, mx::array(0, a.dtype()), "constant", s);
}

// One place of the kernel, counted along all of its axes.
struct Tap {
  mx::Shape place;

  bool next(const mx::array& weight) {
    for (int axis = place.size() - 1; axis >= 0; axis--) {
      if (++place[axis] < weight.shape(axis + 1)) {
        return true;
      }
      place[axis] = 0;
    }
    return false;
  }
};

// (..., groups * c) times the weights (groups * o, c) of each group: (..., groups * o).
mx::array grouped_product(const mx::array& input, const mx::array& weight, int groups, mx::StreamOrDevice s) {
  if (groups == 1) {
    return mx::matmul(input, mx::transpose(weight, s), s);
  }
  auto split = mx::expand_dims(mx::unflatten(input, -1, {groups, -1}, s), -2, s);
  auto each = mx::swapaxes(mx::unflatten(weight, 0, {groups, -1}, s), -1, -2, s);
  return mx::flatten(mx::squeeze(mx::matmul(split, each, s), -2, s), -2, -1, s);
}

} // namespace

mx::array convolution(const mx::array& input, const mx::array& weight, std::vector<int> stride, std::vector<int> padding_lo, std::vector<int> padding_hi, std::vector<int> kernel_dilation, std::vector<int> input_dilation, int groups, bool flip, mx::StreamOrDevice s) {
  if (!is_wide(input, weight)) {
    return mx::conv_general(input, weight, std::move(stride), std::move(padding_lo), std::move(padding_hi), std::move(kernel_dilation), std::move(input_dilation), groups, flip, s);
  }
  // Whose checks and shape hold for what follows, too.
  auto plain = mx::conv_general(input, weight, stride, padding_lo, padding_hi, kernel_dilation, input_dilation, groups, flip, s);
  if (!plain.size()) {
    return plain;
  }
  auto padded = mx::astype(input, mx::float64, s), weights = mx::astype(weight, mx::float64, s);
  int spatial = static_cast<int>(input.ndim()) - 2;
  for (int axis = 0; axis < spatial; axis++) {
    int low = of_axis(padding_lo, axis, 0), high = padding_hi.empty() ? low : of_axis(padding_hi, axis, 0);
    padded = spread(padded, axis + 1, of_axis(input_dilation, axis, 1), low, high, s);
  }
  Tap tap{mx::Shape(spatial, 0)};
  std::optional<mx::array> sum;
  do {
    mx::Shape start(input.ndim(), 0), stop = padded.shape(), strides(input.ndim(), 1);
    mx::Shape at(weight.ndim(), 0), end = weight.shape();
    for (int axis = 0; axis < spatial; axis++) {
      int place = tap.place[axis];
      start[axis + 1] = place * of_axis(kernel_dilation, axis, 1);
      strides[axis + 1] = of_axis(stride, axis, 1);
      stop[axis + 1] = start[axis + 1] + (plain.shape(axis + 1) - 1) * strides[axis + 1] + 1;
      at[axis + 1] = flip ? weight.shape(axis + 1) - 1 - place : place;
      end[axis + 1] = at[axis + 1] + 1;
    }
    auto seen = mx::slice(padded, start, stop, strides, s);
    auto matrix = mx::reshape(mx::slice(weights, at, end, s), {weight.shape(0), weight.shape(-1)}, s);
    auto part = grouped_product(seen, matrix, groups, s);
    sum = sum ? mx::add(*sum, part, s) : part;
  } while (tap.next(weight));
  return *sum;
}

mx::array convolution_transpose(const mx::array& input, const mx::array& weight, std::vector<int> stride, std::vector<int> padding, std::vector<int> dilation, std::vector<int> output_padding, int groups, mx::StreamOrDevice s) {
  std::vector<int> low, high;
  for (size_t axis = 0; axis + 2 < weight.ndim(); axis++) {
    int size = of_axis(dilation, axis, 1) * (weight.shape(axis + 1) - 1) - of_axis(padding, axis, 0);
    low.push_back(size);
    high.push_back(size + of_axis(output_padding, axis, 0));
  }
  return numbers::convolution(input, weight, {1}, low, high, dilation, stride, groups, true, s);
}

} // namespace mlxc::numbers
