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

class Extremes {
 public:
  Extremes(bool largest, mx::Dtype dtype)
      : stored_(dtype.size()),
        wide_(computed_in(dtype).size()),
        of_row_(row_kernels().folds.place(largest, dtype.val())),
        of_wide_row_(row_kernels().folds.place(largest, computed_in(dtype).val())),
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
        uint64_t extreme;
        out[row] = place(of_row_, data + row * length * stored_, length, &extreme);
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
  // The first place where the numbers change meanwhile.
  static int64_t place(PlaceOfRow kernel, const char* row, int64_t length, void* extreme) {
    return std::max<int64_t>(0, kernel(row, length, extreme));
  }

  uint32_t place_in_parts(const char* row, int64_t length) const {
    int64_t parts = (length + part_size - 1) / part_size;
    std::vector<char> extremes(parts * wide_);
    std::vector<int64_t> places(parts);
    parallel_for(parts, worth_a_thread / part_size, [&](int64_t begin, int64_t end) {
      for (int64_t part = begin; part < end; part++) {
        int64_t start = part * part_size, size = std::min(part_size, length - start);
        places[part] = start + place(of_row_, row + start * stored_, size, extremes.data() + part * wide_);
      }
    });
    uint64_t extreme;
    return places[place(of_wide_row_, extremes.data(), parts, &extreme)];
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
  PlaceOfRow of_row_, of_wide_row_;
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
