#include "rms_norm.h"

#include "composing.h"
#include "gpu.h"
#include "row_access.h"
#include "wide.h"

namespace mlxffi {

namespace {

// Runs of rows whose parts in a weight's gradient are added up apart: as many whatever the threads, so that they do not
// change the result.
constexpr int64_t most_runs = 64;

// What the weights are multiplied with, for one thread.
class Weights {
 public:
  explicit Weights(const std::optional<RowsOf>& rows) : row_(rows ? rows->row(0, scratch_) : nullptr) {}
  const void* row() const {
    return row_;
  }

 private:
  std::vector<char> scratch_;
  const void* row_;
};

mx::array composed_rms_norm(const mx::array& x, const std::optional<mx::array>& weight, float eps, mx::Stream s) {
  auto plain = mx::fast::rms_norm(x, weight, eps, s);
  return plain.dtype() == mx::float64 ? wide_rms_norm(x, weight, eps, s) : plain;
}

class Normalization : public Fused {
 public:
  Normalization(mx::Stream stream, float eps) : Fused(stream), eps_(eps) {}

  bool is_equivalent(const Primitive& other) const override {
    return eps_ == static_cast<const Normalization&>(other).eps_;
  }

 protected:
  // `inputs` begin with x and, if `has_weight`, the weight.
  mx::array normalized(const Arrays& inputs, bool has_weight) const {
    return composed_rms_norm(inputs[0], has_weight ? std::optional(inputs[1]) : std::nullopt, eps_, where());
  }
  // The gradients of x and the weight, composed, by the cotangent that follows them.
  Arrays gradients(const Arrays& inputs, bool has_weight) const {
    Arrays primals(inputs.begin(), inputs.begin() + (has_weight ? 2 : 1));
    auto fun = [&](const Arrays& values) { return Arrays{normalized(values, has_weight)}; };
    return mx::vjp(fun, primals, {inputs[primals.size()]}).second;
  }
  float eps_;
};

// x, [weight], cotangent, 1 / rms of each row -> the gradient of x.
class RMSNormGradient : public Normalization {
 public:
  RMSNormGradient(mx::Stream stream, float eps, bool has_weight) : Normalization(stream, eps), has_weight_(has_weight) {}

  const char* name() const override {
    return "FusedRMSNormGradient";
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    RowsOf x(inputs[0]), cotangents(inputs[1 + has_weight_]);
    auto weights = has_weight_ ? std::optional(RowsOf(inputs[1])) : std::nullopt;
    NumbersOf scales(inputs[2 + has_weight_]);
    allocate_like(inputs[1 + has_weight_], outputs[0]);
    auto out = outputs[0].data<char>();
    int64_t length = x.length(), stride = length * outputs[0].itemsize();
    auto kernel = row_kernels().layers.norm_gradient[static_cast<int>(element_of(inputs[0].dtype()))];
    over_rows(stream(), x.count(), length, [=](int64_t begin, int64_t end) {
      std::vector<char> x_scratch, scratch;
      Weights weight(weights);
      for (int64_t row = begin; row < end; row++) {
        auto cotangent = cotangents.row(row, scratch);
        kernel(x.row(row, x_scratch), weight.row(), cotangent, out + row * stride, length, scales.number(row));
      }
    });
  }

 protected:
  Arrays composed(const Arrays& inputs) const override {
    return {gradients(inputs, has_weight_)[0]};
  }

 private:
  bool has_weight_;
};

// x, weight, cotangent, 1 / rms of each row -> the gradient of the weight, in the dtype of sums.
class RMSNormWeightGradient : public Normalization {
 public:
  using Normalization::Normalization;

  const char* name() const override {
    return "FusedRMSNormWeightGradient";
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    return {inputs[1].shape()};
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    RowsOf x(inputs[0]), cotangents(inputs[2]);
    NumbersOf scales(inputs[3]);
    NumbersTo out(outputs[0]);
    auto kernel = row_kernels().layers.norm_weight[static_cast<int>(element_of(inputs[0].dtype()))];
    on_stream(stream(), [=, length = x.length()] {
      int64_t run = (x.count() + most_runs - 1) / most_runs, runs = (x.count() + run - 1) / run;
      std::vector<double> sums(runs * length);
      parallel_for(runs, 1, [&](int64_t begin, int64_t end) {
        std::vector<char> x_scratch, scratch;
        for (int64_t row = begin * run; row < std::min(end * run, x.count()); row++) {
          kernel(x.row(row, x_scratch), cotangents.row(row, scratch), &sums[row / run * length], length, scales.number(row));
        }
      });
      for (int64_t i = 0; i < length; i++) {
        double sum = 0;
        for (int64_t part = 0; part < runs; part++) {
          sum += sums[part * length + i];
        }
        out.put(i, sum);
      }
    });
  }

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    return {sums_dtype(inputs[0])};
  }
  Arrays composed(const Arrays& inputs) const override {
    return {mx::astype(gradients(inputs, true)[1], sums_dtype(inputs[0]), where())};
  }
};

// x, [weight] -> the normalized rows, and for the gradient 1 / rms of each.
class RMSNorm : public Normalization {
 public:
  using Normalization::Normalization;

  const char* name() const override {
    return "FusedRMSNorm";
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    return {inputs[0].shape(), batch_of(inputs[0])};
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    RowsOf x(inputs[0]);
    auto weights = inputs.size() > 1 ? std::optional(RowsOf(inputs[1])) : std::nullopt;
    NumbersTo scales(outputs[1]);
    allocate_like(inputs[0], outputs[0]);
    auto out = outputs[0].data<char>();
    int64_t length = x.length(), stride = length * outputs[0].itemsize();
    auto kernel = row_kernels().layers.norm[static_cast<int>(element_of(inputs[0].dtype()))];
    over_rows(stream(), x.count(), length, [=, eps = eps_](int64_t begin, int64_t end) {
      std::vector<char> scratch;
      Weights weight(weights);
      for (int64_t row = begin; row < end; row++) {
        scales.put(row, kernel(x.row(row, scratch), weight.row(), out + row * stride, length, eps));
      }
    });
  }
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& outputs) override {
    Arrays inputs = primals, results;
    inputs.insert(inputs.end(), {cotangents[0], outputs[1]});
    for (int argnum : argnums) {
      if (argnum == 0) {
        results.push_back(apply(std::make_shared<RMSNormGradient>(where(), eps_, primals.size() > 1), inputs)[0]);
      } else {
        auto gradient = apply(std::make_shared<RMSNormWeightGradient>(where(), eps_), inputs)[0];
        results.push_back(mx::astype(gradient, primals[1].dtype(), where()));
      }
    }
    return results;
  }

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    return {inputs[0].dtype(), sums_dtype(inputs[0])};
  }
  Arrays composed(const Arrays& inputs) const override {
    return {normalized(inputs, inputs.size() > 1)};
  }
};

// x, weight, cotangent, [sum] -> the gradient of x, added to the sum, and where it is wanted that of the weight: as one kernel
// of GPUs.
class RMSNormGradients : public Normalization {
 public:
  RMSNormGradients(mx::Stream stream, float eps, bool of_weight) : Normalization(stream, eps), of_weight_(of_weight) {}

  const char* name() const override {
    return "FusedRMSNormGradients";
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    std::vector<mx::Shape> shapes{inputs[0].shape(), inputs[1].shape()};
    shapes.resize(1 + of_weight_);
    return shapes;
  }

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    return std::vector<mx::Dtype>(1 + of_weight_, inputs[0].dtype());
  }
  bool is_node() const override {
    return false;
  }
  Arrays composed(const Arrays& inputs) const override {
    auto found = gradients(inputs, true);
    auto of_x = inputs.size() > 3 ? mx::add(found[0], inputs[3], where()) : found[0];
    return of_weight_ ? Arrays{of_x, found[1]} : Arrays{of_x};
  }
  Arrays as_graph(const Arrays& inputs) const override {
    auto sum = inputs.size() > 3 ? std::optional(inputs[3]) : std::nullopt;
    return gpu::norm_backward(inputs[0], inputs[1], inputs[2], sum, of_weight_, eps_, where());
  }

 private:
  bool of_weight_;
};

bool is_fused(const mx::array& x, const std::optional<mx::array>& weight, mx::Stream s) {
  bool fits = !weight || (weight->dtype() == x.dtype() && weight->shape() == mx::Shape{x.shape(-1)});
  return has_kernels(s) && mx::issubdtype(x.dtype(), mx::floating) && x.size() > 0 && fits;
}

} // namespace

std::optional<Arrays> rms_norm_gradients(
    const mx::array& x,
    const mx::array& weight,
    const mx::array& cotangent,
    const std::optional<mx::array>& sum,
    bool of_weight,
    float eps,
    mx::Stream s) {
  bool fits = x.size() > 0 && weight.shape() == mx::Shape{x.shape(-1)} && weight.dtype() == x.dtype() && gpu::has_norm_backward(x.shape(-1));
  if (s.device != mx::Device::gpu || Composing::active() || !fits) {
    return {};
  }
  Arrays inputs{x, weight, cotangent};
  if (sum) {
    inputs.push_back(*sum);
  }
  return Fused::apply(std::make_shared<RMSNormGradients>(s, eps, of_weight), inputs);
}

mx::array rms_norm(const mx::array& x, const std::optional<mx::array>& weight, float eps, mx::Stream s) {
  if (x.ndim() == 0 || !is_fused(x, weight, s)) {
    return composed_rms_norm(x, weight, eps, s);
  }
  Arrays inputs{x};
  if (weight) {
    inputs.push_back(*weight);
  }
  return Fused::apply(std::make_shared<RMSNorm>(s, eps), inputs)[0];
}

} // namespace mlxffi
