#include "row_dots.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "recycled.h"
#include "row_access.h"
#include "rows.h"

namespace mlxffi {

namespace {

// Numbers for which a row is worth a call, and those of a part of a long one.
constexpr int64_t least_length = 16, part_of_row = 1 << 16;

struct RowDots {
  const float *rows, *columns;
  float* out;
  Places row_places, column_places;
  int64_t length, rows_of_column;

  void run() const {
    int64_t parts = (length + part_of_row - 1) / part_of_row, count = row_places.size() * parts;
    std::vector<double> sums(parts > 1 ? count : 0);
    parallel_for(count, std::max<int64_t>(1, worth_a_thread / std::min(length, part_of_row)), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        float sum = dot(i / parts, i % parts * part_of_row);
        parts > 1 ? sums[i] = sum : out[i] = sum;
      }
    });
    for (int64_t row = 0; row < row_places.size() && parts > 1; row++) {
      out[row] = static_cast<float>(std::accumulate(sums.begin() + row * parts, sums.begin() + (row + 1) * parts, 0.0));
    }
  }

 private:
  float dot(int64_t row, int64_t begin) const {
    auto left = rows + row_places[row] + begin, right = columns + column_places[row / rows_of_column] + begin;
    return row_kernels().layers.dot(left, right, std::min(part_of_row, length - begin));
  }
};

} // namespace

bool row_dots(const mx::array& a, const mx::array& b, mx::array& out, mx::Stream s) {
  int64_t length = a.shape(-1);
  bool fits = out.dtype() == mx::float32 && b.shape(-1) == 1 && length >= least_length;
  if (!fits || a.strides().back() != 1 || b.strides()[b.ndim() - 2] != 1) {
    return false;
  }
  allocate(out);
  on_stream(s, [task = RowDots{a.data<float>(), b.data<float>(), out.data<float>(), Places(a, 1), Places(b, 2), length, a.shape(-2)}] { task.run(); });
  return true;
}

} // namespace mlxffi
