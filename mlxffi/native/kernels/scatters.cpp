#include "scatters.h"

#include <algorithm>
#include <cstring>

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

// Numbers for [count, inner] places in each of `outer` matrices [length, inner], each in its own column.
struct WritingAlong {
  int64_t outer, length, count, inner;

  // Each column is one thread's: its places get their numbers in order.
  template <bool adds, class T, class Index>
  void run(const T* from, const Index* indices, T* to) const {
    int64_t width = std::min(inner, columns_at_once), pieces = (inner + width - 1) / width;
    parallel_for(outer * pieces, std::max<int64_t>(1, worth_a_thread / (count * width)), [=, *this](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        int64_t matrix = i / pieces, first = i % pieces * width, start = matrix * count * inner;
        auto target = to + matrix * length * inner;
        if (inner == 1) {
          write<adds>(from + start, indices + start, count, [=, length = length](Index index, int64_t) { return target + from_front(index, length); });
          continue;
        }
        for (int64_t at = start + first; at < start + count * inner; at += inner) {
          write<adds>(from + at, indices + at, std::min(width, inner - first), [=, length = length, inner = inner](Index index, int64_t column) {
            return target + from_front(index, length) * inner + first + column;
          });
        }
      }
    });
  }

 private:
  template <bool adds, class T, class Index, class Place>
  static void write(const T* from, const Index* indices, int64_t size, Place place) {
    for (int64_t i = 0; i < size; i++) {
      T* target = place(indices[i], i);
      *target = adds ? static_cast<T>(*target + from[i]) : from[i];
    }
  }
};

bool lie_side_by_side(const mx::array& a, const mx::array& indices, const mx::array& updates) {
  auto dense = [](const mx::array& array) { return array.flags().row_contiguous; };
  return dense(a) && dense(indices) && dense(updates) && indices.dtype() != mx::bool_;
}

// Whether slices are whole but for the first axis, and everything lies side by side.
bool is_plain(const mx::array& a, const mx::array& indices, const mx::array& updates) {
  bool whole = updates.shape(indices.ndim()) == 1 && updates.size() * a.shape(0) == indices.size() * a.size();
  return whole && lie_side_by_side(a, indices, updates);
}

// Calls work(zero, index), zeros of the types of numbers, as words where these are put, and indices.
template <class Work>
void with_types(const mx::array& a, const mx::array& indices, bool adds, Work work) {
  mx::dispatch_int_types(indices.dtype(), "scatter", [&](auto index) {
    auto work_on = [&](auto zero) { work(zero, MLX_GET_TYPE(index)()); };
    if (!adds) {
      return with_word(a.itemsize(), work_on);
    }
    mx::dispatch_int_float_types(a.dtype(), "scatter", [&](auto type) { work_on(MLX_GET_TYPE(type)()); });
  });
}

} // namespace

bool scatter(const mx::Scatter& scatter, const std::vector<mx::array>& inputs, mx::array& out, mx::Stream s) {
  auto [kind, axes] = scatter.state();
  if (inputs.size() != 3 || axes[0] != 0 || !is_plain(inputs[0], inputs[1], inputs[2])) {
    return false;
  }
  auto& a = inputs[0];
  auto add = kind == mx::Scatter::Sum ? row_kernels().numbers.of(Operation::Add, a.dtype().val()) : nullptr;
  int64_t width = a.size() / a.shape(0), item = a.itemsize();
  if (width < least_columns || (!add && kind != mx::Scatter::None)) {
    return false;
  }
  allocate_like(a, out);
  Writing task{add, static_cast<int64_t>(inputs[1].size()), width, a.shape(0), item, a.data<char>(), inputs[2].data<char>(), out.data<char>()};
  mx::dispatch_int_types(inputs[1].dtype(), "scatter", [&](auto type) {
    on_stream(s, [=, indices = inputs[1].data<MLX_GET_TYPE(type)>()] { task.run(indices); });
  });
  return true;
}

bool scatter_along(bool adds, int axis, const std::vector<mx::array>& inputs, mx::array& out, mx::Stream s) {
  auto &a = inputs[0], &indices = inputs[1], &updates = inputs[2];
  bool is_sum = adds && a.dtype() != mx::bool_ && a.dtype() != mx::complex64 && !is_half(a.dtype());
  if (!lie_side_by_side(a, indices, updates) || (adds && !is_sum)) {
    return false;
  }
  auto [outer, length, inner] = AroundAxes(a.shape(), axis);
  allocate_like(a, out);
  with_types(a, indices, adds, [&, task = WritingAlong{outer, length, indices.shape(axis), inner}](auto zero, auto index) {
    using T = decltype(zero);
    auto before = a.data<char>();
    auto to = out.data<T>();
    on_stream(s, [=, from = updates.data<T>(), at = indices.data<decltype(index)>(), bytes = a.nbytes()] {
      copy_before(before, reinterpret_cast<char*>(to), bytes);
      adds ? task.template run<std::is_arithmetic_v<T>>(from, at, to) : task.template run<false>(from, at, to);
    });
  });
  return true;
}

} // namespace mlxffi
