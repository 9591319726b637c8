#include "divergence.h"

#include <cstring>

#include "gpu.h"
#include "row_access.h"

namespace mlxffi {

namespace {

// What the forward keeps for each row, for the gradient: DivergenceRow less the loss.
constexpr int kept_columns = 6;

void keep(const NumbersTo& kept, int64_t index, const DivergenceRow& row) {
  double columns[kept_columns] = {row.q.shift, row.q.sum, row.p.shift, row.p.sum, row.to_q, row.to_p};
  for (int i = 0; i < kept_columns; i++) {
    kept.put(kept_columns * index + i, columns[i]);
  }
}

DivergenceRow kept_row(const NumbersOf& losses, const NumbersOf& kept, int64_t index) {
  auto column = [&](int i) { return kept.number(index, i); };
  return {losses.number(index), {column(0), column(1)}, {column(2), column(3)}, column(4), column(5)};
}

mx::array as_rows(const mx::array& logits, mx::Stream s) {
  return mx::reshape(logits, {-1, logits.shape(-1)}, s);
}

// q, p, cotangent, the losses, and what the forward kept -> the gradient of q, and of p where the teacher gets one.
class DivergenceGradient : public Fused {
 public:
  DivergenceGradient(mx::Stream stream, DivergenceOptions options) : Fused(stream), options_(options) {}

  const char* name() const override {
    return "FusedDivergenceGradient";
  }
  bool is_equivalent(const Primitive& other) const override {
    return options_ == static_cast<const DivergenceGradient&>(other).options_;
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    return std::vector<mx::Shape>(1 + options_.teacher_gradient, inputs[0].shape());
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override;

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    return std::vector<mx::Dtype>(1 + options_.teacher_gradient, inputs[0].dtype());
  }
  Arrays composed(const Arrays& inputs) const override {
    return composed_divergence_gradients(inputs[0], inputs[1], inputs[2], options_, where());
  }
  Arrays as_graph(const Arrays& inputs) const override;
  std::shared_ptr<Fused> again() const override {
    return std::make_shared<DivergenceGradient>(where(), options_);
  }

 private:
  DivergenceOptions options_;
};

void DivergenceGradient::eval_cpu(const Arrays& inputs, Arrays& outputs) {
  RowsOf q(inputs[0]), p(inputs[1]);
  NumbersOf cotangents(inputs[2]), losses(inputs[3]), kept(inputs[4], 1);
  for (size_t i = 0; i < outputs.size(); i++) {
    allocate_like(inputs[i], outputs[i]);
  }
  auto to_q = outputs[0].data<char>(), to_p = options_.teacher_gradient ? outputs[1].data<char>() : nullptr;
  size_t stride = q.length() * outputs[0].itemsize();
  auto& table = options_.kind == DivergenceKind::kl ? row_kernels().kl_gradient : row_kernels().js_gradient;
  auto kernel = table[static_cast<int>(element_of(inputs[0].dtype()))];
  over_rows(stream(), q.count(), q.length(), [=, temperature = options_.temperature](int64_t begin, int64_t end) {
    std::vector<char> q_scratch, p_scratch;
    for (int64_t row = begin; row < end; row++) {
      GradientPair to{to_q + row * stride, to_p ? to_p + row * stride : nullptr};
      double cotangent = cotangents.number(row);
      if (cotangent == 0) {
        std::memset(to.q, 0, stride);
        if (to.p) {
          std::memset(to.p, 0, stride);
        }
        continue;
      }
      RowPair rows{q.row(row, q_scratch), p.row(row, p_scratch)};
      kernel(rows, to, q.length(), temperature, kept_row(losses, kept, row), cotangent);
    }
  });
}

Arrays DivergenceGradient::as_graph(const Arrays& inputs) const {
  Arrays rows;
  for (size_t i = 3; i < inputs.size(); i++) {
    rows.push_back(mx::reshape(inputs[i], {-1}, where()));
  }
  auto gradients = gpu::divergence_backward(
      options_.kind, as_rows(inputs[0], where()), as_rows(inputs[1], where()), rows, mx::reshape(inputs[2], {-1}, where()),
      static_cast<float>(options_.temperature), options_.teacher_gradient, where());
  for (auto& gradient : gradients) {
    gradient.overwrite_descriptor(mx::reshape(gradient, inputs[0].shape(), where()));
  }
  return gradients;
}

// q, p -> the losses, and what the gradient needs of each row: on a CPU [..., 6], on a GPU what gpu.h says.
class Divergence : public Fused {
 public:
  Divergence(mx::Stream stream, DivergenceOptions options) : Fused(stream), options_(options) {}

  const char* name() const override {
    return "FusedDivergence";
  }
  bool is_equivalent(const Primitive& other) const override {
    return options_ == static_cast<const Divergence&>(other).options_;
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    std::vector<mx::Shape> shapes(output_count(), batch_of(inputs[0]));
    if (where().device == mx::Device::cpu) {
      shapes[1].push_back(kept_columns);
    }
    return shapes;
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override;
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& outputs) override;

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    return std::vector<mx::Dtype>(output_count(), sums_dtype(inputs[0]));
  }
  Arrays composed(const Arrays& inputs) const override {
    return {composed_divergence(inputs[0], inputs[1], options_, where())};
  }
  Arrays as_graph(const Arrays& inputs) const override;
  std::shared_ptr<Fused> again() const override {
    return std::make_shared<Divergence>(where(), options_);
  }

 private:
  size_t output_count() const {
    return where().device == mx::Device::cpu ? 2 : options_.kind == DivergenceKind::kl ? 3 : 5;
  }

  DivergenceOptions options_;
};

void Divergence::eval_cpu(const Arrays& inputs, Arrays& outputs) {
  RowsOf q(inputs[0]), p(inputs[1]);
  NumbersTo losses(outputs[0]), kept(outputs[1]);
  auto& table = options_.kind == DivergenceKind::kl ? row_kernels().kl : row_kernels().js;
  auto kernel = table[static_cast<int>(element_of(inputs[0].dtype()))];
  over_rows(stream(), q.count(), q.length(), [=, temperature = options_.temperature](int64_t begin, int64_t end) {
    std::vector<char> q_scratch, p_scratch;
    for (int64_t row = begin; row < end; row++) {
      RowPair rows{q.row(row, q_scratch), p.row(row, p_scratch)}, next{q.following(row, end), p.following(row, end)};
      auto result = kernel(rows, next, q.length(), temperature);
      losses.put(row, result.loss);
      keep(kept, row, result);
    }
  });
}

Arrays Divergence::as_graph(const Arrays& inputs) const {
  auto results = gpu::divergence_forward(
      options_.kind, as_rows(inputs[0], where()), as_rows(inputs[1], where()), static_cast<float>(options_.temperature), where());
  auto batch = batch_of(inputs[0]);
  for (auto& result : results) {
    result.overwrite_descriptor(mx::reshape(result, batch, where()));
  }
  return results;
}

// Only the losses' cotangent counts, as in CrossEntropy::vjp.
Arrays Divergence::vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& outputs) {
  Arrays inputs{primals[0], primals[1], cotangents[0]};
  inputs.insert(inputs.end(), outputs.begin(), outputs.end());
  std::optional<Arrays> gradients;
  Arrays results;
  for (int argnum : argnums) {
    if (argnum == 1 && !options_.teacher_gradient) {
      results.push_back(mx::zeros_like(primals[1], where()));
      continue;
    }
    if (!gradients) {
      gradients = Fused::apply(std::make_shared<DivergenceGradient>(where(), options_), inputs);
    }
    results.push_back((*gradients)[argnum]);
  }
  return results;
}

} // namespace

mx::array divergence(const mx::array& q, const mx::array& p, const DivergenceOptions& options, mx::Stream s) {
  if (s.device == mx::Device::gpu && q.size() == 0) {
    return composed_divergence(q, p, options, s);
  }
  return Fused::apply(std::make_shared<Divergence>(s, options), {q, p})[0];
}

} // namespace mlxffi
