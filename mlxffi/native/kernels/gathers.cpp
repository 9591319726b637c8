#include "gathers.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <numeric>

#include <mlx/dtype_utils.h>

#include "indices.h"
#include "recycled.h"
#include "row_access.h"
#include "simd/unrolled.h"

namespace mlxffi {

namespace {

// A number is moved as an integer of its size. `work`: what a move takes, in operations.
template <class T>
struct Number {
  static constexpr int64_t item = sizeof(T), work = 4;

  void copy(const char* from, char* to) const {
    std::memcpy(to, from, sizeof(T));
  }
};

struct Slice {
  int64_t item, work = std::max<int64_t>(4, item / 4);

  void copy(const char* from, char* to) const {
    std::memcpy(to, from, item);
  }
};

// Calls `move` for numbers of so many bytes; false where there are none.
template <class Move>
bool of_numbers(int64_t bytes, Move move) {
  switch (bytes) {
    case 1:
      return move(Number<uint8_t>()), true;
    case 2:
      return move(Number<uint16_t>()), true;
    case 4:
      return move(Number<uint32_t>()), true;
    case 8:
      return move(Number<uint64_t>()), true;
    default:
      return false;
  }
}

// Calls body(row, first, last) over threads for parts of rows of `length` items, each of which takes `work`.
template <class Body>
void over_parts(int64_t rows, int64_t length, int64_t work, Body body) {
  int64_t count = rows * length, grain = std::max({int64_t(1), worth_a_thread / work, count / (16 * thread_count())});
  parallel_for(count, grain, [=](int64_t begin, int64_t end) {
    while (begin < end) {
      int64_t row = begin / length, first = begin % length, last = std::min(length, first + end - begin);
      body(row, first, last);
      begin += last - first;
    }
  });
}

// Of `outer` arrays of `length` items each, those at `count` indices.
struct Lookup {
  const char* from;
  char* to;
  int64_t outer, length, count, item;

  template <class Index>
  void run(const Index* indices) const {
    if (!of_numbers(item, [=, this](auto number) { move(indices, number); })) {
      move(indices, Slice{item});
    }
  }

 private:
  template <class Index, class Item>
  void move(const Index* indices, Item item) const {
    over_parts(outer, count, item.work, [=, *this](int64_t array, int64_t first, int64_t last) {
      int64_t length = this->length;
      auto start = from + array * length * item.item;
      auto target = to + array * count * item.item;
      for (int64_t i = first; i < last; i++) {
        item.copy(start + from_front(indices[i], length) * item.item, target + i * item.item);
      }
    });
  }
};

// Of `outer` matrices [length, inner] the numbers at [count, inner] indices, each of a number in its own column.
struct LookupAlong {
  const char* from;
  char* to;
  int64_t outer, length, count, inner, item;

  template <class Index>
  void run(const Index* indices) const {
    of_numbers(item, [=, this](auto number) { move(indices, number); });
  }

 private:
  template <class Index, class T>
  void move(const Index* indices, Number<T> number) const {
    // A single column is looked up as a row.
    int64_t width = inner == 1 ? count : inner, rows = inner == 1 ? 1 : count;
    over_parts(outer * rows, width, number.work, [=, *this](int64_t row, int64_t first, int64_t last) {
      auto matrix = reinterpret_cast<const T*>(from) + row / rows * length * inner;
      int64_t start = row * width;
      auto target = reinterpret_cast<T*>(to) + start;
      inner == 1 ? of_row(matrix, length, indices + start, first, last, target)
                 : of_columns(matrix, length, inner, indices + start, first, last, target);
    });
  }
  // Unrolled: to count takes as long as to move one number.
  template <class Index, class T>
  static void of_row(const T* numbers, int64_t length, const Index* indices, int64_t first, int64_t last, T* target) {
    MLXFFI_UNROLLED
    for (int64_t i = first; i < last; i++) {
      target[i] = numbers[from_front(indices[i], length)];
    }
  }
  template <class Index, class T>
  static void of_columns(const T* matrix, int64_t length, int64_t inner, const Index* indices, int64_t first, int64_t last, T* target) {
    MLXFFI_UNROLLED
    for (int64_t i = first; i < last; i++) {
      target[i] = matrix[from_front(indices[i], length) * inner + i];
    }
  }
};

// Runs a lookup on the stream.
template <class Task>
void look_up(const Task& task, const mx::array& indices, mx::Stream s) {
  mx::dispatch_int_types(indices.dtype(), "gather", [&](auto type) {
    using Index = MLX_GET_TYPE(type);
    on_stream(s, [=, at = indices.data<Index>()] { task.run(at); });
  });
}

// Lays `out` [indices, slice] out so that the indices stand in the place of the axis: MLX moves them there afterwards.
void allocate_in_place_of(int axis, int index_axes, mx::array& out) {
  allocate(out);
  auto strides = out.strides();
  int ndim = out.ndim();
  int64_t stride = 1;
  auto lay = [&](int begin, int end) {
    for (int i = end; i-- > begin;) {
      strides[i] = stride;
      stride *= out.shape(i);
    }
  };
  lay(index_axes + axis, ndim);
  lay(0, index_axes);
  lay(index_axes, index_axes + axis);
  auto flags = out.flags();
  flags.row_contiguous = flags.col_contiguous = false;
  out.copy_shared_buffer(out, strides, flags, out.size());
}

} // namespace

bool gather(int axis, const mx::Shape& slice, const mx::array& a, const mx::array& indices, mx::array& out, mx::Stream s) {
  auto whole = a.shape();
  whole[axis] = 1;
  if (slice != whole || !a.flags().row_contiguous || !indices.flags().row_contiguous || indices.dtype() == mx::bool_) {
    return false;
  }
  auto [outer, length, inner] = AroundAxes(a.shape(), axis);
  outer > 1 ? allocate_in_place_of(axis, indices.ndim(), out) : allocate(out);
  int64_t count = indices.size(), item = inner * a.itemsize();
  look_up(Lookup{a.data<char>(), out.data<char>(), outer, length, count, item}, indices, s);
  return true;
}

bool gather_at_points(const std::vector<int>& axes, const mx::Shape& slice, const std::vector<mx::array>& inputs, mx::array& out, mx::Stream s) {
  auto& a = inputs[0];
  auto whole = a.shape();
  bool are_first = true;
  for (size_t i = 0; i < axes.size(); i++) {
    whole[i] = 1;
    are_first = are_first && axes[i] == static_cast<int>(i);
  }
  bool dense = std::all_of(inputs.begin(), inputs.end(), [](auto& input) { return input.flags().row_contiguous; });
  auto type = inputs[1].dtype();
  if (!are_first || slice != whole || !dense || type == mx::bool_) {
    return false;
  }
  std::vector<int64_t> lengths(a.shape().begin(), a.shape().begin() + axes.size());
  int64_t all = std::accumulate(lengths.begin(), lengths.end(), int64_t(1), std::multiplies<>());
  if (all > most_places) {
    return false;
  }
  allocate(out);
  int64_t count = inputs[1].size(), item = out.nbytes() / count, grain = std::max(points_at_once, worth_a_thread / std::max<int64_t>(4, item / 4));
  on_stream(s, [=, places_of = places_of_points({inputs.begin() + 1, inputs.end()}, lengths), from = a.data<char>(), to = out.data<char>()] {
    parallel_for(count, grain, [&](int64_t begin, int64_t end) {
      each_part_of_points(places_of, begin, end, [&](int64_t first, int64_t some, const int32_t* places) {
        Lookup{from, to + first * item, 1, all, some, item}.run(places);
      });
    });
  });
  return true;
}

bool gather_along(int axis, const mx::array& a, const mx::array& indices, mx::array& out, mx::Stream s) {
  if (!a.flags().row_contiguous || !indices.flags().row_contiguous || indices.dtype() == mx::bool_) {
    return false;
  }
  auto [outer, length, inner] = AroundAxes(a.shape(), axis);
  int64_t item = a.itemsize();
  allocate(out);
  look_up(LookupAlong{a.data<char>(), out.data<char>(), outer, length, indices.shape(axis), inner, item}, indices, s);
  return true;
}

} // namespace mlxffi
