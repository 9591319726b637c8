#include "optimizer.h"

#include "composing.h"
#include "gpu.h"

namespace mlxffi {

namespace {

// On a GPU; elsewhere, it is the composed form.
class OptimizerOperation : public Fused {
 public:
  using Fused::Fused;

  // The arrays that it makes of inputs that it has a kernel for, or composed ones.
  static Arrays made_by(std::shared_ptr<OptimizerOperation> operation, const Arrays& inputs) {
    bool has_kernel = operation->where().device == mx::Device::gpu && !Composing::active() && inputs[0].size() > 0;
    return has_kernel ? Fused::apply(operation, inputs) : operation->composed(inputs);
  }

 protected:
  bool is_node() const override {
    return false;
  }
  // A matrix of the last axis' rows.
  mx::array in_rows(const mx::array& x) const {
    return mx::reshape(x, {-1, x.ndim() > 0 ? x.shape(-1) : 1}, where());
  }
};

// Parameter, gradient, m, v, numbers -> parameter, m, v.
class Adam : public OptimizerOperation {
 public:
  using OptimizerOperation::OptimizerOperation;

  const char* name() const override {
    return "FusedAdam";
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    return std::vector<mx::Shape>(3, inputs[0].shape());
  }

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    return {inputs[0].dtype(), inputs[2].dtype(), inputs[3].dtype()};
  }
  Arrays as_graph(const Arrays& inputs) const override {
    Arrays rows;
    for (int i = 0; i < 4; i++) {
      rows.push_back(in_rows(inputs[i]));
    }
    rows.push_back(mx::astype(inputs[4], mx::float32, where()));
    auto found = gpu::adam(rows, where());
    for (auto& one : found) {
      one = mx::reshape(one, inputs[0].shape(), where());
    }
    return found;
  }
  Arrays composed(const Arrays& inputs) const override;
};

Arrays Adam::composed(const Arrays& inputs) const {
  auto s = where();
  auto dtype = sums_dtype(inputs[0]);
  auto wide = [&](int place) { return mx::astype(inputs[place], dtype, s); };
  auto numbers = mx::split(wide(4), adam_numbers, 0, s);
  auto scaled = [&](int number, const mx::array& x) { return mx::multiply(numbers[number], x, s); };
  auto g = scaled(1, wide(1));
  auto m = mx::add(scaled(4, wide(2)), scaled(5, g), s);
  auto v = mx::add(scaled(6, wide(3)), scaled(7, mx::square(g, s)), s);
  auto size = mx::add(scaled(8, mx::sqrt(v, s)), numbers[9], s);
  auto w = mx::subtract(scaled(3, wide(0)), scaled(2, mx::divide(m, size, s)), s);
  auto applied = mx::not_equal(numbers[0], mx::array(0, dtype), s);
  auto chosen = [&](const mx::array& made, int place) {
    auto& old = inputs[place];
    return mx::reshape(mx::where(applied, mx::astype(made, old.dtype(), s), old, s), old.shape(), s);
  };
  return {chosen(w, 0), chosen(m, 2), chosen(v, 3)};
}

class SumOfSquares : public OptimizerOperation {
 public:
  using OptimizerOperation::OptimizerOperation;

  const char* name() const override {
    return "FusedSumOfSquares";
  }
  std::vector<mx::Shape> output_shapes(const Arrays&) override {
    return {mx::Shape{}};
  }

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    return {sums_dtype(inputs[0])};
  }
  Arrays as_graph(const Arrays& inputs) const override {
    return {gpu::sum_of_squares(in_rows(inputs[0]), where())};
  }
  Arrays composed(const Arrays& inputs) const override {
    return {mx::sum(mx::square(mx::astype(inputs[0], sums_dtype(inputs[0]), where()), where()), false, where())};
  }
};

} // namespace

Arrays adam(const Arrays& inputs, mx::Stream s) {
  return OptimizerOperation::made_by(std::make_shared<Adam>(s), inputs);
}

mx::array sum_of_squares(const mx::array& x, mx::Stream s) {
  return OptimizerOperation::made_by(std::make_shared<SumOfSquares>(s), {x})[0];
}

} // namespace mlxffi
