#include "half_products.h"

#include <memory>

#include "few_rows.h"
#include "pair_product.h"
#include "products.h"
#include "row_access.h"

namespace mlxffi {

namespace {

// Rows of a result that are worked on at once, and multiplications from which the way through float32 pays.
constexpr int64_t row_block = 128;
constexpr int64_t least_rows = 4, least_multiplications = 32768;

// Memory that nobody needs to be 0.
using Floats = std::unique_ptr<float[]>;
using Copy = std::unique_ptr<uint16_t[]>;

// Rows and columns of a matrix that are copied at once where it lies the other way.
constexpr int64_t copied_rows = 64, copied_columns = 64;

// The matrices of an array (..., rows, columns), to be read as float32.
class HalfMatrices {
 public:
  explicit HalfMatrices(const mx::array& array)
      : places_(array, 2),
        data_(array.data<char>()),
        widen_(row_kernels().layers.widen[static_cast<int>(element_of(array.dtype()))]),
        rows_(array.shape(-2)),
        columns_(array.shape(-1)),
        row_stride_(array.strides()[array.ndim() - 2]),
        stride_(array.strides().back()) {}

  int64_t count() const {
    return places_.size();
  }
  int64_t rows() const {
    return rows_;
  }
  int64_t columns() const {
    return columns_;
  }
  // How the matrix comes out of widened(): its columns as rows where only these lie side by side.
  Side side() const {
    return stride_ != 1 && row_stride_ == 1 ? Side::transposed : Side::as_is;
  }
  // Lines (rows, or columns as rows) `begin` to `end` of one matrix, side by side.
  void widen(int64_t index, int64_t begin, int64_t end, float* to) const {
    bool by_rows = side() == Side::as_is;
    int64_t length = by_rows ? columns_ : rows_, step = by_rows ? row_stride_ : stride_, stride = by_rows ? stride_ : 1;
    for (int64_t line = begin; line < end; line++) {
      auto from = data_ + (places_[index] + line * step) * item;
      float* row = to + (line - begin) * length;
      if (stride == 1) {
        widen_(from, row, length);
      } else {
        for (int64_t i = 0; i < length; i++) {
          widen_(from + i * stride * item, row + i, 1);
        }
      }
    }
  }
  // All of one matrix.
  Floats widened(int64_t index) const {
    Floats result(new float[rows_ * columns_]);
    bool by_rows = side() == Side::as_is;
    int64_t lines = by_rows ? rows_ : columns_, length = by_rows ? columns_ : rows_;
    parallel_rows(lines, length, [&](int64_t begin, int64_t end) { widen(index, begin, end, &result[begin * length]); });
    return result;
  }
  // One matrix as it is, with rows whose numbers can be read in pairs; in `copy` where it is not so in memory.
  HalfMatrix in_pairs(int64_t index, Copy& copy) const {
    bool readable = stride_ == 1 && columns_ % 2 == 0;
    return readable ? HalfMatrix{numbers(index), row_stride_} : copied(index, columns_ + columns_ % 2, copy);
  }
  // One matrix, or its columns as rows where side() says so.
  HalfMatrix lines(int64_t index, Copy& copy) const {
    if (stride_ == 1 || row_stride_ == 1) {
      return {numbers(index), stride_ == 1 ? row_stride_ : stride_};
    }
    return copied(index, columns_, copy);
  }

 private:
  static constexpr int64_t item = 2;

  const uint16_t* numbers(int64_t index) const {
    return reinterpret_cast<const uint16_t*>(data_) + places_[index];
  }
  HalfMatrix copied(int64_t index, int64_t pitch, Copy& copy) const {
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

  Places places_;
  const char* data_;
  Widen widen_;
  int64_t rows_, columns_, row_stride_, stride_;
};

// a (..., m, k), b (..., k, n) with the same batch -> their products.
class HalfMatmul : public Fused {
 public:
  using Fused::Fused;

  const char* name() const override {
    return "FusedHalfMatmul";
  }
  bool is_equivalent(const Primitive&) const override {
    return true;
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    auto shape = inputs[0].shape();
    shape.back() = inputs[1].shape(-1);
    return {shape};
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override;
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays&) override {
    Arrays results;
    for (int argnum : argnums) {
      auto other = mx::swapaxes(primals[1 - argnum], -1, -2, where());
      results.push_back(argnum == 0 ? mlxffi::matmul(cotangents[0], other, where()) : mlxffi::matmul(other, cotangents[0], where()));
    }
    return results;
  }

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    return {inputs[0].dtype()};
  }
  Arrays composed(const Arrays& inputs) const override {
    return {mx::matmul(inputs[0], inputs[1], where())};
  }
};

// One product; `a` is widened block by block where its rows lie side by side.
void multiply(const HalfMatrices& a, const HalfMatrices& b, int64_t index, char* out, Narrow narrow) {
  int64_t m = a.rows(), k = a.columns(), n = b.columns();
  auto right = b.widened(index);
  Matrix right_matrix{right.get(), b.side() == Side::as_is ? n : k};
  bool by_blocks = a.side() == Side::as_is;
  auto whole = by_blocks ? Floats() : a.widened(index);
  parallel_for(m, row_block, [&](int64_t begin, int64_t end) {
    int64_t count = end - begin;
    Floats left(by_blocks ? new float[count * k] : nullptr), product_rows(new float[count * n]);
    if (by_blocks) {
      a.widen(index, begin, end, left.get());
    }
    Matrix left_matrix = by_blocks ? Matrix{left.get(), k} : Matrix{whole.get() + begin, m};
    product(count, n, k, 1, left_matrix, a.side(), right_matrix, b.side(), 0, product_rows.get(), n);
    narrow(product_rows.get(), out + ((index * m + begin) * n) * 2, count * n, 1);
  });
}

// The same without widening.
void multiply_pairs(const HalfMatrices& a, const HalfMatrices& b, int64_t index, char* out, Narrow narrow) {
  int64_t m = a.rows(), n = b.columns();
  Copy of_a, of_b;
  auto right = b.lines(index, of_b);
  pair_product(m, n, a.columns(), a.in_pairs(index, of_a), right, of_b ? Side::as_is : b.side(), [=](Range rows, Range columns, const float* sums, int64_t stride) {
    for (int64_t row = rows.begin; row < rows.end; row++, sums += stride) {
      narrow(sums, out + ((index * m + row) * n + columns.begin) * 2, columns.size(), 1);
    }
  });
}

void HalfMatmul::eval_cpu(const Arrays& inputs, Arrays& outputs) {
  HalfMatrices a(inputs[0]), b(inputs[1]);
  outputs[0].set_data(mx::allocator::malloc(outputs[0].nbytes()));
  auto out = outputs[0].data<char>();
  auto narrow = row_kernels().layers.narrow[static_cast<int>(element_of(outputs[0].dtype()))];
  auto multiplied = outputs[0].dtype() == mx::bfloat16 && has_pair_product() ? multiply_pairs : multiply;
  on_stream(stream(), [=] {
    parallel_for(a.count(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        multiplied(a, b, i, out, narrow);
      }
    });
  });
}

bool is_fused(const mx::array& a, const mx::array& b, mx::Stream s) {
  bool halves = a.dtype() == b.dtype() && (a.dtype() == mx::float16 || a.dtype() == mx::bfloat16);
  if (!halves || a.ndim() < 2 || b.ndim() < 2 || a.shape(-1) != b.shape(-2) || a.size() == 0 || b.size() == 0) {
    return false;
  }
  int64_t rows = b.ndim() == 2 ? a.size() / a.shape(-1) : a.shape(-2), columns = b.shape(-1);
  bool pays = rows >= least_rows && columns >= least_rows && rows * columns * a.shape(-1) >= least_multiplications;
  return pays && has_kernels(s) && has_products();
}

mx::array with_batch(const mx::array& matrices, mx::Shape batch, mx::Stream s) {
  batch.insert(batch.end(), matrices.shape().end() - 2, matrices.shape().end());
  return mx::broadcast_to(matrices, batch, s);
}

} // namespace

mx::array matmul(const mx::array& a, const mx::array& b, mx::StreamOrDevice s) {
  auto stream = mx::to_stream(s);
  if (has_few_rows(a, b, stream)) {
    return few_rows_matmul(a, b, stream);
  }
  if (!is_fused(a, b, stream)) {
    return mx::matmul(a, b, stream);
  }
  auto multiplied = [&](const mx::array& left, const mx::array& right) {
    return Fused::apply(std::make_shared<HalfMatmul>(stream), {left, right})[0];
  };
  if (b.ndim() == 2) {
    auto shape = a.shape();
    shape.back() = b.shape(-1);
    return mx::reshape(multiplied(mx::reshape(a, {-1, a.shape(-1)}, stream), b), shape, stream);
  }
  auto batch = mx::broadcast_shapes({a.shape().begin(), a.shape().end() - 2}, {b.shape().begin(), b.shape().end() - 2});
  return multiplied(with_batch(a, batch, stream), with_batch(b, batch, stream));
}

} // namespace mlxffi
