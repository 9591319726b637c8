#include "half_matrices.h"

namespace mlxffi {

namespace {

// Rows of a result that are worked on at once.
constexpr int64_t row_block = 128;
// Rows and columns of a matrix that are copied at once where it lies the other way.
constexpr int64_t copied_rows = 64, copied_columns = 64;

// `a` is widened block by block where its rows lie side by side.
void widened_product(const HalfMatrices& a, int64_t of_a, const HalfMatrices& b, int64_t of_b, const PutSums& put) {
  int64_t m = a.rows(), k = a.columns(), n = b.columns();
  auto right = b.widened(of_b);
  Matrix right_matrix{right.get(), b.side() == Side::as_is ? n : k};
  bool by_blocks = a.side() == Side::as_is;
  auto whole = by_blocks ? Floats() : a.widened(of_a);
  parallel_for(m, row_block, [&](int64_t begin, int64_t end) {
    int64_t count = end - begin;
    Floats left(by_blocks ? new float[count * k] : nullptr), sums(new float[count * n]);
    if (by_blocks) {
      a.widen(of_a, begin, end, left.get());
    }
    Matrix left_matrix = by_blocks ? Matrix{left.get(), k} : Matrix{whole.get() + begin, m};
    product(count, n, k, 1, left_matrix, a.side(), right_matrix, b.side(), 0, sums.get(), n);
    put({begin, end}, {0, n}, sums.get(), n);
  });
}

} // namespace

HalfMatrices::HalfMatrices(const mx::array& array)
    : places_(array, 2),
      element_(element_of(array.dtype())),
      data_(reinterpret_cast<const uint16_t*>(array.data<char>())),
      rows_(array.shape(-2)),
      columns_(array.shape(-1)),
      row_stride_(array.strides()[array.ndim() - 2]),
      stride_(array.strides().back()) {}

void HalfMatrices::widen(int64_t index, int64_t begin, int64_t end, float* to) const {
  bool by_rows = side() == Side::as_is;
  int64_t length = by_rows ? columns_ : rows_, step = by_rows ? row_stride_ : stride_, stride = by_rows ? stride_ : 1;
  auto widen = row_kernels().layers.widen[static_cast<int>(element_)];
  for (int64_t line = begin; line < end; line++) {
    auto from = numbers(index) + line * step;
    float* row = to + (line - begin) * length;
    if (stride == 1) {
      widen(from, row, length);
    } else {
      for (int64_t i = 0; i < length; i++) {
        widen(from + i * stride, row + i, 1);
      }
    }
  }
}

Floats HalfMatrices::widened(int64_t index) const {
  Floats result(new float[rows_ * columns_]);
  bool by_rows = side() == Side::as_is;
  int64_t lines = by_rows ? rows_ : columns_, length = by_rows ? columns_ : rows_;
  parallel_rows(lines, length, [&](int64_t begin, int64_t end) { widen(index, begin, end, &result[begin * length]); });
  return result;
}

HalfMatrix HalfMatrices::in_pairs(int64_t index, HalfCopy& copy) const {
  bool readable = stride_ == 1 && columns_ % 2 == 0;
  return readable ? HalfMatrix{numbers(index), row_stride_} : copied(index, columns_ + columns_ % 2, copy);
}

HalfMatrix HalfMatrices::lines(int64_t index, HalfCopy& copy) const {
  if (stride_ == 1 || row_stride_ == 1) {
    return {numbers(index), stride_ == 1 ? row_stride_ : stride_};
  }
  return copied(index, columns_, copy);
}

// The rows, `pitch` numbers apart, with zeros behind them.
HalfMatrix HalfMatrices::copied(int64_t index, int64_t pitch, HalfCopy& copy) const {
  copy.reset(new uint16_t[rows_ * pitch]);
  auto from = numbers(index);
  auto to = copy.get();
  parallel_for(rows_, copied_rows, [=, this](int64_t begin, int64_t end) {
    for (int64_t first = 0; first < pitch; first += copied_columns) {
      for (int64_t row = begin; row < end; row++) {
        for (int64_t i = first; i < std::min(first + copied_columns, pitch); i++) {
          to[row * pitch + i] = i < columns_ ? from[row * row_stride_ + i * stride_] : 0;
        }
      }
    }
  });
  return {to, pitch};
}

void half_product(const HalfMatrices& a, int64_t of_a, const HalfMatrices& b, int64_t of_b, const PutSums& put) {
  if (!a.is_bfloat16() || !has_pair_product()) {
    return widened_product(a, of_a, b, of_b, put);
  }
  HalfCopy a_copy, b_copy;
  auto left = a.in_pairs(of_a, a_copy), right = b.lines(of_b, b_copy);
  pair_product(a.rows(), b.columns(), a.columns(), left, right, b.side(), put);
}

} // namespace mlxffi
