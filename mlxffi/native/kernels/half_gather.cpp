#include "half_gather.h"

#include <cstring>

#include "by_matrix.h"
#include "half_matrices.h"
#include "recycled.h"

namespace mlxffi {

namespace {

struct HalfGather {
  RowsOf a;
  HalfMatrices b;
  NumbersOf left, right;
  int64_t count, rows;
  // The rows of a in the order of products.
  mx::array gathered;
  Narrow narrow;
  uint16_t* out;

  void operator()() const {
    auto chosen = matrices();
    auto order = by_matrix(chosen);
    gather(order);
    HalfMatrices all(gathered);
    for (int64_t begin = 0, end; begin < count; begin = end) {
      int64_t matrix = chosen[order[begin]];
      for (end = begin; end < count && chosen[order[end]] == matrix; end++) {
      }
      multiply(all.rows(begin * rows, end * rows), matrix, &order[begin]);
    }
  }

 private:
  std::vector<int64_t> matrices() const {
    std::vector<int64_t> found(count);
    for (int64_t i = 0; i < count; i++) {
      found[i] = right.integer(i);
    }
    return found;
  }
  void gather(const std::vector<int64_t>& order) const {
    int64_t size = a.length() * sizeof(uint16_t);
    auto to = mx::array(gathered).data<char>();
    parallel_rows(count * rows, a.length(), [&](int64_t begin, int64_t end) {
      std::vector<char> scratch;
      for (int64_t i = begin; i < end; i++) {
        std::memcpy(to + i * size, a.row(left.integer(order[i / rows]) * rows + i % rows, scratch), size);
      }
    });
  }
  // Row i of the product is one of those of product places[i / rows].
  void multiply(const HalfMatrices& x, int64_t matrix, const int64_t* places) const {
    half_product(x, 0, b, matrix, [&](Range some, Range columns, const float* sums, int64_t stride) {
      for (int64_t row = some.begin; row < some.end; row++, sums += stride) {
        int64_t place = places[row / rows] * rows + row % rows;
        narrow(sums, out + place * b.columns() + columns.begin, columns.size(), 1);
      }
    });
  }
};

} // namespace

void gather_halves(const Arrays& inputs, mx::array& out, mx::Stream s) {
  allocate(out);
  int rows = inputs[0].shape(-2), count = inputs[2].size();
  mx::array gathered(mx::Shape{count * rows, inputs[0].shape(-1)}, inputs[0].dtype(), nullptr, Arrays{});
  allocate(gathered);
  auto narrow = row_kernels().layers.narrow[static_cast<int>(element_of(out.dtype()))];
  HalfGather task{
      RowsOf(inputs[0]), HalfMatrices(inputs[1]), NumbersOf(inputs[2]), NumbersOf(inputs[3]), count, rows, gathered, narrow, out.data<uint16_t>()};
  on_stream(s, task);
}

} // namespace mlxffi
