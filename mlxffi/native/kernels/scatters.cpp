#include "scatters.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <type_traits>

#include <mlx/dtype_utils.h>

#include "indices.h"
#include "row_access.h"
#include "rows.h"
#include "words.h"

namespace mlxffi {

namespace {

// Slices that are worth calls of kernels, columns that are written at a time, and bytes that one thread copies.
constexpr int64_t least_columns = 16, columns_at_once = 256, copied_at_once = int64_t(1) << 20;

// An array's bytes, to where others are written among them.
void copy_before(const char* before, char* to, int64_t bytes) {
  if (before != to) {
    parallel_for(bytes, copied_at_once, [=](int64_t begin, int64_t end) { std::memcpy(to + begin, before + begin, end - begin); });
  }
}

struct Writing {
  // None where slices are put.
  NumbersKernel add;
  // Slices of so many numbers, and places for them.
  int64_t slices, width, places, item;
  const char *before, *from;
  char* to;

  template <class Index>
  void run(const Index* indices) const {
    copy_before(before, to, places * width * item);
    int64_t pieces = (width + columns_at_once - 1) / columns_at_once, columns = (width + pieces - 1) / pieces;
    parallel_for(pieces, std::max<int64_t>(1, worth_a_thread / (slices * columns)), [=, this](int64_t begin, int64_t end) {
      for (int64_t piece = begin; piece < end; piece++) {
        int64_t first = piece * columns;
        write(indices, first, std::min(columns, width - first));
      }
    });
  }

 private:
  // Whatever a slice's columns, all go to the same place: threads that share columns out never write to the same number.
  template <class Index>
  void write(const Index* indices, int64_t first, int64_t columns) const {
    for (int64_t slice = 0; slice < slices; slice++) {
      char* target = to + (from_front(indices[slice], places) * width + first) * item;
      const char* numbers = from + (slice * width + first) * item;
      const void* in[] = {target, numbers};
      add ? add(in, target, columns) : void(std::memcpy(target, numbers, columns * item));
    }
  }
};

// What becomes of the number at a place.
enum class Write { put, add, larger, smaller };

template <Write how, class T>
void write_number(T& target, T number) {
  if constexpr (how == Write::put) {
    target = number;
  } else if constexpr (how == Write::add) {
    target = static_cast<T>(target + number);
  } else {
    target = (how == Write::larger) == (target < number) ? number : target;
  }
}

// Numbers for [count, inner] places in each of `outer` matrices [length, inner], each in its own column.
template <class Index>
struct WritingAlong {
  const Index* indices;
  int64_t outer, length, count, inner;

  // Each column is one thread's: its places get their numbers in order.
  template <Write how, class T>
  void run(const T* from, T* to) const {
    int64_t width = std::min(inner, columns_at_once), pieces = (inner + width - 1) / width;
    parallel_for(outer * pieces, std::max<int64_t>(1, worth_a_thread / (count * width)), [=, this](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        int64_t matrix = i / pieces, column = i % pieces * width, start = matrix * count * inner;
        auto target = to + matrix * length * inner;
        if (inner == 1) {
          write<how>(from + start, indices + start, count, target, 1, 0);
          continue;
        }
        for (int64_t first = start + column; first < start + count * inner; first += inner) {
          write<how>(from + first, indices + first, std::min(width, inner - column), target + column, inner, 1);
        }
      }
    });
  }

 private:
  template <Write how, class T>
  void write(const T* from, const Index* at, int64_t size, T* to, int64_t apart, int64_t step) const {
    int64_t length = this->length;
    for (int64_t i = 0; i < size; i++) {
      write_number<how>(to[from_front(at[i], length) * apart + i * step], from[i]);
    }
  }
};

// Slices of `width` numbers for points, one after the other.
struct WritingAtPoints {
  PlacesOfPoints places_of;
  int64_t points, width;

  template <Write how, class T>
  void run(const T* from, T* to) const {
    each_part_of_points(places_of, 0, points, [=, width = width](int64_t first, int64_t some, const int32_t* places) {
      for (int64_t i = 0; i < some; i++) {
        for (int64_t k = 0; k < width; k++) {
          write_number<how>(to[places[i] * width + k], from[(first + i) * width + k]);
        }
      }
    });
  }
};

using Arrays = std::vector<mx::array>;

bool lie_side_by_side(const mx::array& a, const mx::array& indices, const mx::array& updates) {
  auto dense = [](const mx::array& array) { return array.flags().row_contiguous; };
  return dense(a) && dense(indices) && dense(updates) && indices.dtype() != mx::bool_;
}

// Whether slices are whole but for the first axes, and everything lies side by side. `inputs` are an array, indices along each
// of these axes, and the slices.
bool is_plain(const Arrays& inputs, const std::vector<int>& axes) {
  auto &a = inputs[0], &first = inputs[1], &updates = inputs.back();
  size_t places = 1;
  bool plain = true;
  for (size_t i = 0; i < axes.size() && plain; i++) {
    plain = axes[i] == static_cast<int>(i) && updates.shape(first.ndim() + i) == 1 && lie_side_by_side(a, inputs[i + 1], updates);
    places *= a.shape(i);
  }
  return plain && updates.size() * places == first.size() * a.size();
}

bool can_write(Write how, mx::Dtype dtype) {
  bool is_integer = mx::issubdtype(dtype, mx::integer);
  return how == Write::put || is_integer || (how == Write::add && (dtype == mx::float32 || dtype == mx::float64));
}

// Runs a task on numbers of the array's type, as words where they are put, on the stream.
template <Write how, class T, class Task>
void write(const Arrays& inputs, mx::array& out, mx::Stream s, const Task& task) {
  auto& a = inputs[0];
  on_stream(s, [=, before = a.data<char>(), to = out.data<T>(), from = inputs.back().data<T>(), bytes = a.nbytes()] {
    copy_before(before, reinterpret_cast<char*>(to), bytes);
    task.template run<how>(from, to);
  });
}

template <class Task>
bool write(Write how, const Arrays& inputs, mx::array& out, mx::Stream s, const Task& task) {
  allocate_like(inputs[0], out);
  if (how == Write::put) {
    with_word(out.itemsize(), [&](auto zero) { write<Write::put, decltype(zero)>(inputs, out, s, task); });
  } else if (how == Write::add) {
    mx::dispatch_int_float_types(out.dtype(), "scatter", [&](auto type) { write<Write::add, MLX_GET_TYPE(type)>(inputs, out, s, task); });
  } else {
    mx::dispatch_int_types(out.dtype(), "scatter", [&](auto type) {
      using T = MLX_GET_TYPE(type);
      how == Write::larger ? write<Write::larger, T>(inputs, out, s, task) : write<Write::smaller, T>(inputs, out, s, task);
    });
  }
  return true;
}

bool scatter_at_points(Write how, size_t axes, const Arrays& inputs, mx::array& out, mx::Stream s) {
  auto& a = inputs[0];
  int64_t points = inputs[1].size(), width = inputs.back().size() / points, places = a.size() / width;
  if (!can_write(how, a.dtype()) || places > most_places) {
    return false;
  }
  auto places_of = places_of_points({inputs.begin() + 1, inputs.end() - 1}, {a.shape().begin(), a.shape().begin() + axes});
  return write(how, inputs, out, s, WritingAtPoints{std::move(places_of), points, width});
}

std::optional<Write> kind_of(mx::Scatter::ReduceType kind) {
  switch (kind) {
    case mx::Scatter::None:
      return Write::put;
    case mx::Scatter::Sum:
      return Write::add;
    case mx::Scatter::Max:
      return Write::larger;
    case mx::Scatter::Min:
      return Write::smaller;
    default:
      return std::nullopt;
  }
}

} // namespace

bool scatter(const mx::Scatter& scatter, const Arrays& inputs, mx::array& out, mx::Stream s) {
  auto [kind, axes] = scatter.state();
  auto how = kind_of(kind);
  if (!how || axes.empty() || !is_plain(inputs, axes)) {
    return false;
  }
  auto& a = inputs[0];
  bool adds = how == Write::add;
  auto add = adds ? row_kernels().numbers.of(Operation::Add, a.dtype().val()) : nullptr;
  int64_t width = a.size() / a.shape(0), item = a.itemsize();
  if (axes.size() > 1 || width < least_columns || (how != Write::put && !adds)) {
    return scatter_at_points(*how, axes.size(), inputs, out, s);
  }
  if (adds && !add) {
    return false;
  }
  allocate_like(a, out);
  Writing task{add, static_cast<int64_t>(inputs[1].size()), width, a.shape(0), item, a.data<char>(), inputs[2].data<char>(), out.data<char>()};
  mx::dispatch_int_types(inputs[1].dtype(), "scatter", [&](auto type) {
    on_stream(s, [=, indices = inputs[1].data<MLX_GET_TYPE(type)>()] { task.run(indices); });
  });
  return true;
}

bool scatter_along(bool adds, int axis, const Arrays& inputs, mx::array& out, mx::Stream s) {
  auto &a = inputs[0], &indices = inputs[1];
  auto how = adds ? Write::add : Write::put;
  if (!lie_side_by_side(a, indices, inputs[2]) || !can_write(how, a.dtype())) {
    return false;
  }
  auto [outer, length, inner] = AroundAxes(a.shape(), axis);
  auto write_at = [&, outer = outer, length = length, inner = inner](auto* at) {
    return write(how, inputs, out, s, WritingAlong<std::remove_cvref_t<decltype(*at)>>{at, outer, length, indices.shape(axis), inner});
  };
  switch (indices.dtype().val()) {
    case mx::Dtype::Val::int32:
      return write_at(indices.data<int32_t>());
    case mx::Dtype::Val::uint32:
      return write_at(indices.data<uint32_t>());
    case mx::Dtype::Val::int64:
      return write_at(indices.data<int64_t>());
    default:
      return false;
  }
}

} // namespace mlxffi
