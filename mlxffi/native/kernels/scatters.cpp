#include "scatters.h"

#include <algorithm>
#include <cstring>

#include <mlx/dtype_utils.h>

#include "indices.h"
#include "row_access.h"
#include "rows.h"

namespace mlxffi {

namespace {

// Slices that are worth calls of kernels, columns that are written at a time, and bytes that one thread copies.
constexpr int64_t least_columns = 16, columns_at_once = 256, copied_at_once = int64_t(1) << 20;

struct Writing {
  // None where slices are put.
  NumbersKernel add;
  // Slices of so many numbers, and places for them.
  int64_t slices, width, places, item;
  const char *before, *from;
  char* to;

  template <class Index>
  void run(const Index* indices) const {
    copy();
    int64_t pieces = (width + columns_at_once - 1) / columns_at_once, columns = (width + pieces - 1) / pieces;
    parallel_for(pieces, std::max<int64_t>(1, worth_a_thread / (slices * columns)), [=, this](int64_t begin, int64_t end) {
      for (int64_t piece = begin; piece < end; piece++) {
        int64_t first = piece * columns;
        write(indices, first, std::min(columns, width - first));
      }
    });
  }

 private:
  void copy() const {
    if (before != to) {
      parallel_for(places * width * item, copied_at_once, [this](int64_t begin, int64_t end) { std::memcpy(to + begin, before + begin, end - begin); });
    }
  }
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

// Whether slices are whole but for the first axis, and everything lies side by side.
bool is_plain(const mx::array& a, const mx::array& indices, const mx::array& updates) {
  auto dense = [](const mx::array& array) { return array.flags().row_contiguous; };
  bool whole = updates.shape(indices.ndim()) == 1 && updates.size() * a.shape(0) == indices.size() * a.size();
  return whole && dense(a) && dense(indices) && dense(updates) && indices.dtype() != mx::bool_;
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

} // namespace mlxffi
