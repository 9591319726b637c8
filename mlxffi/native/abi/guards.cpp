#include "guards.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <set>
#include <sstream>

#include "mlx/scheduler.h"

namespace mlxc {

namespace {

bool is_power_of_two(int value) {
  return value > 0 && (value & (value - 1)) == 0;
}

// The size of an axis counted from the end; 1 where there is none.
int size_from_end(const mx::array& a, int place) {
  int ndim = static_cast<int>(a.ndim());
  return place < ndim ? a.shape(ndim - 1 - place) : 1;
}

int64_t longest(const mx::array& a) {
  return a.ndim() ? std::max(*std::max_element(a.shape().begin(), a.shape().end()), 1) : 1;
}

// The largest magnitude in a list.
int64_t largest(const std::vector<int>& values, int64_t least) {
  for (int64_t value : values) {
    least = std::max(least, std::abs(value));
  }
  return least;
}

// Sums of four such products fit an int.
void check_product(const char* argument, int64_t value, int64_t factor, const char* what) {
  constexpr int64_t most = std::numeric_limits<int>::max() / 4;
  if (value > most / factor) {
    throw BadArgument(argument, "expected a value that times " + std::string(what) + " is at most " + std::to_string(most) + ", got " + std::to_string(value) + " times " + std::to_string(factor));
  }
}

// What a list says of an axis: its value for that axis, its only value, or the default.
int64_t of_axis(const std::vector<int>& values, size_t axis, int64_t otherwise) {
  return values.size() == 1 ? values[0] : axis < values.size() ? values[axis] : otherwise;
}

// With a stride of 2 or more MLX takes a kernel that does not fit for one that fits once, and reads past the input.
void check_kernel_fits(int64_t size, int64_t kernel, const Window& window, size_t axis) {
  int64_t padding = of_axis(window.padding_lo, axis, 0) + of_axis(window.padding_hi, axis, 0);
  int64_t padded = (size - 1) * of_axis(window.input_dilation, axis, 1) + 1 + padding;
  int64_t dilated = (kernel - 1) * of_axis(window.kernel_dilation, axis, 1) + 1;
  if (of_axis(window.stride, axis, 1) > 1 && padded < dilated) {
    throw BadArgument("weight", "expected a kernel that fits into the padded input of size " + std::to_string(padded) + ", got a dilated kernel of size " + std::to_string(dilated));
  }
}

bool is_label(unsigned char character) {
  return std::isalpha(character);
}

void check_letters(const char* what, size_t count) {
  if (count > 52) {
    throw BadArgument("subscripts", "expected at most 52 " + std::string(what) + ", got " + std::to_string(count));
  }
}

} // namespace

int positive(int value, const char* argument) {
  return value > 0 ? value : throw BadArgument(argument, "expected 1 or more, got " + std::to_string(value));
}

std::optional<int> positive(std::optional<int> value, const char* argument) {
  if (value) {
    positive(*value, argument);
  }
  return value;
}

int not_negative(int value, const char* argument) {
  return value >= 0 ? value : throw BadArgument(argument, "expected 0 or more, got " + std::to_string(value));
}

std::optional<int> not_negative(std::optional<int> value, const char* argument) {
  if (value) {
    not_negative(*value, argument);
  }
  return value;
}

size_t length(size_t size, const char* argument) {
  constexpr size_t most = size_t(1) << 24;
  return size <= most ? size : throw BadArgument(argument, "expected a length from 0 to " + std::to_string(most) + ", got " + std::to_string(size));
}

mx::Shape extents(mx::Shape shape, const char* argument) {
  // Bytes and strides are counted in 64 bits; this leaves room for the widest dtype.
  constexpr int64_t most = int64_t(1) << 59;
  int64_t count = 1;
  for (int size : shape) {
    if (size < 0 || __builtin_mul_overflow(count, std::max(size, 1), &count) || count > most) {
      throw BadArgument(argument, "expected sizes of 0 or more with fewer than 2^59 elements, got " + printed(shape));
    }
  }
  return shape;
}

mx::Shape deducible(mx::Shape shape) {
  auto known = shape;
  std::replace(known.begin(), known.end(), -1, 1);
  extents(known, "shape");
  bool open = std::count(shape.begin(), shape.end(), -1) && std::count(shape.begin(), shape.end(), 0);
  return open ? throw BadArgument("shape", "expected sizes other than 0 beside a -1, got " + printed(shape)) : shape;
}

std::vector<int> axes_of(const mx::array& a, std::vector<int> axes, const char* argument) {
  int ndim = static_cast<int>(a.ndim());
  for (int axis : axes) {
    if (axis < -ndim || axis >= ndim) {
      throw BadArgument(argument, "expected axes of an array with " + std::to_string(ndim) + " axes, got " + std::to_string(axis));
    }
  }
  return axes;
}

std::string few_labels(std::string subscripts, const std::vector<mx::array>& operands) {
  std::set<char> different(subscripts.begin(), subscripts.end());
  check_letters("different characters", different.size());
  std::istringstream terms(subscripts.substr(0, subscripts.find("->")));
  std::string term;
  size_t most = 0;
  for (auto& operand : operands) {
    std::getline(terms, term, ',');
    size_t axes = operand.ndim(), labels = std::count_if(term.begin(), term.end(), is_label);
    most = std::max(most, term.find('.') != term.npos && axes > labels ? axes - labels : 0);
  }
  check_letters("labels and axes of \"...\"", std::count_if(different.begin(), different.end(), is_label) + most);
  return subscripts;
}

const mx::array& weights(const mx::array& weight, const mx::array& input, const Window& window) {
  with_elements(weight, "weight");
  int64_t kernel = longest(weight), size = longest(input);
  check_product("stride", largest(window.stride, 1), largest(window.input_dilation, 1), "the input dilation");
  check_product("kernel_dilation", largest(window.kernel_dilation, 1), kernel, "the kernel size");
  check_product("input_dilation", largest(window.input_dilation, 1), size, "the input size");
  check_product("padding", std::max(largest(window.padding_lo, 0), largest(window.padding_hi, 0)), 1, "1");
  for (int i = 0; i + 2 < static_cast<int>(std::min(input.ndim(), weight.ndim())); i++) {
    check_kernel_fits(input.shape(i + 1), weight.shape(i + 1), window, i);
  }
  return weight;
}

mx::Shape steps(const mx::array& a, mx::Shape strides) {
  for (size_t i = 0; i < strides.size() && i < a.ndim(); i++) {
    int most = std::max(a.shape(i), 1);
    if (!strides[i]) {
      throw BadArgument("strides", "expected steps other than 0, got 0 for axis " + std::to_string(i));
    }
    strides[i] = std::clamp(strides[i], -most, most);
  }
  return strides;
}

const mx::array& fitting(const mx::array& update, const mx::array& src) {
  for (size_t i = 0; i < update.ndim(); i++) {
    if (update.ndim() > src.ndim() || size_from_end(update, i) > size_from_end(src, i)) {
      throw BadArgument("update", "expected a block that fits into an array of shape " + printed(src.shape()) + ", got shape " + printed(update.shape()));
    }
  }
  return update;
}

const mx::array& blocks(const mx::array& updates, const mx::array& a) {
  for (size_t i = 0; i < a.ndim(); i++) {
    if (!size_from_end(updates, i)) {
      throw BadArgument("updates", "expected blocks of at least one element, got shape " + printed(updates.shape()));
    }
  }
  return updates;
}

const mx::array& values_for(const mx::array& mask, const mx::array& src) {
  if (mask.size() && !src.size()) {
    throw BadArgument("src", "expected at least one value for a mask of shape " + printed(mask.shape()) + ", got shape " + printed(src.shape()));
  }
  return src;
}

const mx::array& indices_into(const mx::array& a, const mx::array& indices, int axis) {
  int ndim = static_cast<int>(a.ndim());
  if (axis >= -ndim && axis < ndim && !a.shape(axis) && indices.size()) {
    throw BadArgument("indices", "expected no indices into axis " + std::to_string(axis) + " of size 0, got shape " + printed(indices.shape()));
  }
  return indices;
}

const Arrays& not_empty(const Arrays& arrays, const char* argument) {
  return arrays.empty() ? throw BadArgument(argument, "expected at least 1 array, got 0") : arrays;
}

const mx::array& with_elements(const mx::array& a, const char* argument) {
  return a.size() ? a : throw BadArgument(argument, "expected an array with elements, got shape " + printed(a.shape()));
}

const mx::array& rescalable(const mx::array& a, const char* argument, int from, int to) {
  int64_t size = size_from_end(a, 0), most = std::numeric_limits<int>::max();
  if (size * from / to > most) {
    throw BadArgument(argument, "expected a last axis of at most " + std::to_string(most * to / from) + " elements, got " + std::to_string(size));
  }
  return a;
}

const mx::array& packable(const mx::array& w, const char* argument) {
  constexpr int most_bits = 8;
  return rescalable(with_elements(w, argument), argument, w.dtype() == mx::uint32 ? 32 : most_bits, 1);
}

const mx::array& matrices(const mx::array& a, const char* argument) {
  if (!size_from_end(a, 0) || !size_from_end(a, 1)) {
    throw BadArgument(argument, "expected matrices of at least one row and column, got shape " + printed(a.shape()));
  }
  return a;
}

const mx::array& right_matrix(const mx::array& b, const mx::array& a) {
  if (a.ndim() == 2 && b.ndim() == 2 && a.shape(1) != b.shape(0)) {
    throw BadArgument("b", "expected " + std::to_string(a.shape(1)) + " rows, as many as `a` has columns, got shape " + printed(b.shape()));
  }
  return matrices(b, "b");
}

const mx::array& one_element(const mx::array& a, const char* argument) {
  return a.size() == 1 ? a : throw BadArgument(argument, "expected an array of one element, got shape " + printed(a.shape()));
}

mx::array dense(const mx::array& a, mx::StreamOrDevice s) {
  return a.size() ? a : mx::contiguous(a, false, s);
}

const std::optional<mx::array>& scales_of(const mx::array& w, const std::optional<mx::array>& scales, const Packing& packing, const char* argument) {
  if (w.dtype() != mx::uint32 || !w.ndim()) {
    return scales;
  }
  int group_size = positive(packing.group_size.value_or(packing.mode == "nvfp4" ? 16 : 32), "group_size");
  int bits = positive(packing.bits.value_or(packing.mode == "mxfp8" ? 8 : 4), "bits");
  auto wanted = w.shape();
  wanted.back() = static_cast<int64_t>(wanted.back()) * 32 / bits / group_size;
  if (!scales || scales->shape() != wanted) {
    throw BadArgument(argument, "expected scales of shape " + printed(wanted) + " for the packed matrix `w`, got " + (scales ? printed(scales->shape()) : "an empty handle (ctx is NULL)"));
  }
  return scales;
}

const mx::array& hadamard_rows(const mx::array& a) {
  int size = size_from_end(a, 0);
  for (int m : {1, 12, 20, 28}) {
    if (size % m == 0 && is_power_of_two(size / m)) {
      return a;
    }
  }
  throw BadArgument("a", "expected a last axis of m * 2^k elements with m 1, 12, 20 or 28, got " + std::to_string(size));
}

// MLX takes the differences one after the other, also when nothing is left to take them of.
mx::array diff(const mx::array& a, int n, int axis, mx::StreamOrDevice s) {
  int ndim = static_cast<int>(a.ndim());
  bool there = axis >= -ndim && axis < ndim;
  return mx::diff(a, there ? std::min(n, a.shape(axis)) : n, axis, s);
}

// MLX sums an empty diagonal over strides that lead nowhere.
mx::array trace(const mx::array& a, int offset, int axis1, int axis2, mx::Dtype dtype, mx::StreamOrDevice s) {
  auto diagonal = mx::diagonal(a, offset, axis1, axis2, s);
  if (diagonal.size()) {
    return mx::trace(a, offset, axis1, axis2, dtype, s);
  }
  auto shape = diagonal.shape();
  shape.pop_back();
  return mx::zeros(shape, dtype, s);
}

void forget_lost_tasks() {
  // Two threads that count down at once would go below zero.
  static std::mutex turn;
  std::lock_guard<std::mutex> lock(turn);
  auto& scheduler = mx::scheduler::scheduler();
  while (scheduler.n_active_tasks() > 0) {
    scheduler.notify_task_completion(mx::Stream(0, mx::Device::cpu));
  }
}

mx::Device existing(mx::Device device, const char* argument) {
  int count = mx::device_count(device.type);
  if (device.index >= 0 && device.index < count) {
    return device;
  }
  std::string text = "expected a device that this process has, got " + printed(device) + " of " + std::to_string(count);
  if (!count) {
    throw BadArgument(argument, text);
  }
  // The kind of error that MLX has for an index.
  throw BadIndex(argument, text);
}

mx::ThreadLocalStream existing(mx::ThreadLocalStream stream, const char* argument) {
  existing(stream.device, argument);
  return stream;
}

} // namespace mlxc
