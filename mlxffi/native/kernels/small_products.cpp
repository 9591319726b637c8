#include "small_products.h"

#include <optional>

#include "products.h"
#include "recycled.h"
#include "row_access.h"
#include "strided_copy.h"

namespace mlxffi {

namespace {

constexpr int64_t most_multiplications = int64_t(1) << 20;

// How matrices lie: by rows or by columns, one after the other in the matrix.
std::optional<Side> side_of(const mx::array& matrices) {
  int64_t rows = matrices.shape(-2), columns = matrices.shape(-1), row_step = matrices.strides()[matrices.ndim() - 2], step = matrices.strides().back();
  auto lies = [=](int64_t as_row_step, int64_t as_step) { return (rows == 1 || row_step == as_row_step) && (columns == 1 || step == as_step); };
  return lies(columns, 1) ? std::optional(Side::as_is) : lies(1, rows) ? std::optional(Side::transposed) : std::nullopt;
}

} // namespace

bool small_product(const mx::array& a, const mx::array& b, const Added& added, mx::array& out, mx::Stream s) {
  int64_t m = a.shape(-2), k = a.shape(-1), n = b.shape(-1);
  if (out.dtype() != mx::float32 || !has_products() || static_cast<int64_t>(out.size()) > most_multiplications / k) {
    return false;
  }
  auto a_side = side_of(a), b_side = side_of(b);
  if (!a_side || !b_side) {
    return false;
  }
  allocate(out);
  Places a_places(a, 2), b_places(b, 2);
  std::optional<StridedCopy> copy;
  if (added.c) {
    copy.emplace(out.shape(), added.c->strides(), added.c->data<char>(), out.strides(), out.data<char>(), out.itemsize());
  }
  auto [c, beta, alpha] = added;
  on_stream(s, [=, alpha = alpha, beta = beta, a_side = *a_side, b_side = *b_side, from = a.data<float>(), with = b.data<float>(), to = out.data<float>()] {
    if (copy) {
      copy->run();
    }
    for (int64_t i = 0; i < a_places.size(); i++) {
      Matrix left{from + a_places[i], a_side == Side::as_is ? k : m}, right{with + b_places[i], b_side == Side::as_is ? n : k};
      product(m, n, k, alpha, left, a_side, right, b_side, beta, to + i * m * n, n);
    }
  });
  return true;
}

} // namespace mlxffi
