// Rows and numbers of arrays of any strides, by their place in the batch.
#pragma once

#include <mlx/array.h>
#include <mlx/primitives.h>

#include <functional>

#include "pool.h"
#include "rows.h"

namespace mlxffi {

namespace mx = mlx::core;

// Numbers from which on another thread is worth waking, where an operation or two are done with each.
constexpr int64_t worth_a_thread = int64_t(1) << 18;

Element element_of(mx::Dtype dtype);

bool is_half(mx::Dtype dtype);
// What numbers are computed in: halves in float32.
mx::Dtype computed_in(mx::Dtype dtype);

// A shape as [outer, length, inner]: neighbouring axes as one, all before them and all after them.
struct AroundAxes {
  int64_t outer = 1, length = 1, inner = 1;

  AroundAxes(const mx::Shape& shape, int first, int last);
  AroundAxes(const mx::Shape& shape, int axis) : AroundAxes(shape, axis, axis) {}
};

// Where the elements of a batch stand: offsets, in elements, of `size` places.
class Places {
 public:
  // The batch is all axes of an array but the last `inner`.
  Places(const mx::array& array, int inner);
  // All axes but one.
  static Places across(const mx::array& array, int axis);
  int64_t operator[](int64_t index) const;
  int64_t size() const {
    return size_;
  }

 private:
  Places() = default;
  void add(int64_t size, int64_t stride);

  std::vector<int64_t> shape_, strides_;
  int64_t size_ = 1;
};

// The rows along an array's last axis.
class RowsOf {
 public:
  explicit RowsOf(const mx::array& array);
  int64_t count() const {
    return places_.size();
  }
  int64_t length() const {
    return length_;
  }
  // Whether a row's elements lie side by side.
  bool dense() const {
    return stride_ == 1 || length_ == 1;
  }
  // The row itself where it is dense, else a copy of it in `scratch`.
  const void* row(int64_t index, std::vector<char>& scratch) const;
  // The row after one, to be fetched into the cache while that is worked on; NULL where it would not help.
  const void* following(int64_t index, int64_t end) const;

 private:
  Places places_;
  const char* data_;
  int64_t length_, stride_, item_;
};

// One number for each place of the batch, or one of those of a last axis of `inner` numbers.
class NumbersOf {
 public:
  explicit NumbersOf(const mx::array& array, int inner = 0);
  double number(int64_t index, int64_t column = 0) const;
  // For arrays of integers.
  int64_t integer(int64_t index) const;

 private:
  Places places_;
  const void* data_;
  mx::Dtype dtype_;
  int64_t stride_;
};

// Writes numbers, given as double, to a new row-contiguous array of float32 or float64.
class NumbersTo {
 public:
  explicit NumbersTo(mx::array& array);
  void put(int64_t index, double value) const;

 private:
  void* data_;
  bool wide_;
};

// Of an operation's results each holds its inputs, while one of them is made: lets go of these but for once, so that a result
// can take the memory of an input. To be called before that, by what has several.
void release_siblings(const std::vector<mx::array>& inputs, std::vector<mx::array>& outputs);

// Allocates a result of an input's shape and dtype: in the input's own memory where nobody needs that any more.
void allocate_like(const mx::array& input, mx::array& result);

// Rows `row(0)`, `row(1)` ... as float32, side by side, over threads.
void widen_rows(const RowsOf& rows, Element element, const std::function<int64_t(int64_t)>& row, int64_t count, float* out);

// Runs a task on the stream of a primitive.
void on_stream(mx::Stream stream, std::function<void()> task);

// Runs body(begin, end) over rows, spread over threads.
void parallel_rows(int64_t count, int64_t length, const std::function<void(int64_t, int64_t)>& body);

// The same on the stream of a primitive.
void over_rows(mx::Stream stream, int64_t count, int64_t length, std::function<void(int64_t, int64_t)> body);

} // namespace mlxffi
