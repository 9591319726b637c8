#include "extremes.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "recycled.h"
#include "row_access.h"
#include "rows.h"

namespace mlxffi {

namespace {

// Numbers of a row that one thread looks at, and columns.
constexpr int64_t part_size = 65536, columns_at_once = 512;

// The kernels for numbers as they are stored or, of halves, computed with.
struct Kernels {
  RowFold extreme;
  Find find;

  // Bools are bytes of 0 and 1.
  Kernels(bool largest, mx::Dtype dtype)
      : extreme(row_kernels().folds.row(largest ? Operation::Maximum : Operation::Minimum, (dtype == mx::bool_ ? mx::uint8 : dtype).val())),
        find(row_kernels().folds.find(dtype.val())) {}

  // The place of the first of a row's extremes; 0 where the numbers change meanwhile.
  uint32_t place(const char* row, int64_t length) const {
    uint64_t value;
    extreme(row, length, &value);
    return std::max<int64_t>(0, find(row, length, &value));
  }
};

class Extremes {
 public:
  Extremes(bool largest, mx::Dtype dtype)
      : stored_(dtype.size()),
        wide_(computed_in(dtype).size()),
        kernels_(largest, dtype),
        wide_kernels_(largest, computed_in(dtype)),
        widen_(is_half(dtype) ? row_kernels().numbers.conversion(dtype.val(), mx::float32.val()) : nullptr),
        of_columns_(row_kernels().folds.places(largest, dtype.val())) {}

  bool has_kernels() const {
    return of_columns_;
  }

  void of_rows(const char* data, int64_t rows, int64_t length, uint32_t* out) const {
    if (length >= 2 * part_size && rows < 2 * thread_count()) {
      for (int64_t row = 0; row < rows; row++) {
        out[row] = place_in_parts(data + row * length * stored_, length);
      }
      return;
    }
    parallel_for(rows, std::max({int64_t(1), worth_a_thread / length, rows / (16 * thread_count())}), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++) {
        out[row] = kernels_.place(data + row * length * stored_, length);
      }
    });
  }

  // Of each column of matrices [rows, columns].
  void of_columns(const char* data, int64_t matrices, int64_t rows, int64_t columns, uint32_t* out) const {
    int64_t pieces = (columns + columns_at_once - 1) / columns_at_once;
    parallel_rows(matrices * pieces, rows * std::min(columns, columns_at_once), [&](int64_t begin, int64_t end) {
      std::vector<char> best(columns_at_once * wide_);
      for (int64_t i = begin; i < end; i++) {
        int64_t first = i % pieces * columns_at_once, count = std::min(columns_at_once, columns - first);
        auto from = data + (i / pieces * rows * columns + first) * stored_;
        auto places = out + i / pieces * columns + first;
        std::fill_n(places, count, 0);
        widen(from, count, best.data());
        for (int64_t row = 1; row < rows; row++) {
          of_columns_(from + row * columns * stored_, count, row, best.data(), places);
        }
      }
    });
  }

 private:
  uint32_t place_in_parts(const char* row, int64_t length) const {
    int64_t parts = (length + part_size - 1) / part_size;
    std::vector<char> extremes(parts * wide_);
    auto start = [=, this](int64_t part) { return row + part * part_size * stored_; };
    auto size = [=](int64_t part) { return std::min(part_size, length - part * part_size); };
    parallel_for(parts, worth_a_thread / part_size, [&](int64_t begin, int64_t end) {
      for (int64_t part = begin; part < end; part++) {
        kernels_.extreme(start(part), size(part), extremes.data() + part * wide_);
      }
    });
    int64_t best = wide_kernels_.place(extremes.data(), parts);
    int64_t found = kernels_.find(start(best), size(best), extremes.data() + best * wide_);
    return best * part_size + std::max<int64_t>(0, found);
  }

  void widen(const char* numbers, int64_t count, char* out) const {
    if (widen_) {
      const void* in[] = {numbers};
      widen_(in, out, count);
    } else {
      std::memcpy(out, numbers, count * wide_);
    }
  }

  int64_t stored_, wide_;
  Kernels kernels_, wide_kernels_;
  NumbersKernel widen_;
  PlacesOfColumns of_columns_;
};

} // namespace

bool place_extremes(bool largest, int axis, const mx::array& a, mx::array& out, mx::Stream s) {
  Extremes extremes(largest, a.dtype());
  if (!a.flags().row_contiguous || !extremes.has_kernels()) {
    return false;
  }
  auto [outer, length, columns] = AroundAxes(a.shape(), axis);
  allocate(out);
  on_stream(s, [=, data = a.data<char>(), to = out.data<uint32_t>()] {
    columns == 1 ? extremes.of_rows(data, outer, length, to) : extremes.of_columns(data, outer, length, columns, to);
  });
  return true;
}

} // namespace mlxffi
