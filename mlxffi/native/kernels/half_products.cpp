#include "half_products.h"

#include "few_rows.h"
#include "half_matrices.h"
#include "products.h"

namespace mlxffi {

namespace {

// Rows, columns and multiplications from which these ways pay.
constexpr int64_t least_rows = 4, least_multiplications = 32768;

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
  Arrays composed(const Arrays& inputs) const override {
    return {mx::matmul(inputs[0], inputs[1], where())};
  }
};

void HalfMatmul::eval_cpu(const Arrays& inputs, Arrays& outputs) {
  HalfMatrices a(inputs[0]), b(inputs[1]);
  outputs[0].set_data(mx::allocator::malloc(outputs[0].nbytes()));
  auto out = outputs[0].data<uint16_t>();
  auto narrow = row_kernels().layers.narrow[static_cast<int>(element_of(outputs[0].dtype()))];
  int64_t m = a.rows(), n = b.columns();
  on_stream(stream(), [=] {
    parallel_for(a.count(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        half_product(a, i, b, i, [=](Range rows, Range columns, const float* sums, int64_t stride) {
          for (int64_t row = rows.begin; row < rows.end; row++, sums += stride) {
            narrow(sums, out + (i * m + row) * n + columns.begin, columns.size(), 1);
          }
        });
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
