// The BLAS, and what MLX does for half precision, first copy the matrix to where it can be read often: for few rows that
// takes longer than the product.
#include "few_rows.h"

#include "half_products.h"
#include "recycled.h"
#include "right_matrix.h"

namespace mlxffi {

namespace {

// Rows up to which this is faster, and the size of a matrix from which it is.
constexpr int64_t most_rows = 32, least_size = 16384;
// Multiplications that are worth a thread, and columns that are worked on at once.
constexpr int64_t least_work = 131072, least_columns = 16, most_columns = 512;

class FewRowsMatmul : public Fused {
 public:
  using Fused::Fused;

  const char* name() const override {
    return "FusedFewRowsMatmul";
  }
  bool is_equivalent(const Primitive&) const override {
    return true;
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    auto shape = inputs[0].shape();
    shape.back() = inputs[1].shape(1);
    return {shape};
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override;
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays&) override {
    auto s = where();
    auto rows = [&](const mx::array& array) { return mx::reshape(array, {-1, array.shape(-1)}, s); };
    Arrays results;
    for (int argnum : argnums) {
      results.push_back(argnum == 0 ? mlxffi::matmul(cotangents[0], mx::transpose(primals[1], s), s)
                                    : mlxffi::matmul(mx::transpose(rows(primals[0]), s), rows(cotangents[0]), s));
    }
    return results;
  }

 protected:
  Arrays composed(const Arrays& inputs) const override {
    return {mx::matmul(inputs[0], inputs[1], where())};
  }
};

void FewRowsMatmul::eval_cpu(const Arrays& inputs, Arrays& outputs) {
  auto& out = outputs[0];
  allocate(out);
  auto data = out.data<char>();
  auto element = element_of(out.dtype());
  int64_t rows = out.size() / out.shape(-1);
  on_stream(stream(), [=, x = FloatRows(inputs[0]), matrix = RightMatrix(inputs[1])]() mutable {
    matrix.prepare();
    auto a = x.data();
    int64_t columns = matrix.columns();
    int64_t step = std::clamp(least_work / (rows * matrix.terms()) / least_columns * least_columns, least_columns, most_columns);
    parallel_for(columns, step, [&](int64_t begin, int64_t end) {
      if (element == Element::float32) {
        return matrix.multiply(a, rows, begin, end - begin, reinterpret_cast<float*>(data) + begin, columns);
      }
      thread_local AlignedFloats memory;
      auto sums = memory.get(rows * (end - begin));
      matrix.multiply(a, rows, begin, end - begin, sums, end - begin);
      for (int64_t row = 0; row < rows; row++) {
        auto narrow = row_kernels().layers.narrow[static_cast<int>(element)];
        narrow(sums + row * (end - begin), data + (row * columns + begin) * 2, end - begin, 1);
      }
    });
  });
}

} // namespace

bool has_few_rows(const mx::array& a, const mx::array& b, mx::Stream s) {
  auto dtype = a.dtype();
  bool known = dtype == b.dtype() && (dtype == mx::float32 || dtype == mx::float16 || dtype == mx::bfloat16);
  if (!known || a.ndim() == 0 || b.ndim() != 2 || a.shape(-1) != b.shape(0) || a.size() == 0 || static_cast<int64_t>(b.size()) < least_size) {
    return false;
  }
  return static_cast<int64_t>(a.size()) / a.shape(-1) <= most_rows && has_kernels(s);
}

mx::array few_rows_matmul(const mx::array& a, const mx::array& b, mx::Stream s) {
  return Fused::apply(std::make_shared<FewRowsMatmul>(s), {a, b})[0];
}

} // namespace mlxffi
