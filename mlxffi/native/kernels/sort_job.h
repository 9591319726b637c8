// What the sorting and partitioning of rows take.
#pragma once

#include <mlx/array.h>

#include <cstdint>
#include <optional>

#include "pool.h"
#include "row_access.h"
#include "rows.h"
#include "sorting.h"

namespace mlxffi {

// The rows along an axis, in elements.
struct Lines {
  Places starts;
  int64_t stride, length;
  char* data;

  Lines(const mx::array& array, int axis)
      : starts(Places::across(array, axis)), stride(array.strides()[axis]), length(array.shape(axis)), data(const_cast<char*>(array.data<char>())) {}

  template <class T>
  T* line(int64_t index) const {
    return reinterpret_cast<T*>(data) + starts[index];
  }
};

struct Job {
  Lines in, out;
  Sorted what;
  // The place that the rows are partitioned around; none where they are sorted.
  std::optional<int64_t> kth;
  ToKeys to_keys;
  FromKeys from_keys;
  // The bits of an infinity.
  uint64_t infinity;

  // Whether all cores work on each row: there are few, and these are long.
  bool shares_rows() const {
    constexpr int64_t least_shared = 65536;
    return in.length >= least_shared && in.starts.size() < 2 * thread_count();
  }

  // The keys of a row's numbers from `begin` on; whether there are numbers to put back.
  template <class K>
  bool load(int64_t row, int64_t begin, int64_t count, K* keys) const {
    auto from = in.line<const K>(row) + begin * in.stride;
    for (int64_t i = 0; i < count; i++) {
      keys[i] = from[i * in.stride];
    }
    return to_keys(keys, count);
  }
};

} // namespace mlxffi
