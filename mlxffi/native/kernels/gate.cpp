#include "gate.h"

#include "row_access.h"

namespace mlxffi {

namespace {

constexpr double gelu_linear = 1.5957691216057308, gelu_cubic = gelu_linear * 0.044715;

mx::array constant(double value, const mx::array& like) {
  return mx::array(value, like.dtype());
}

// The same by MLX's operations, in the inputs' dtype.
mx::array composed_gate(Gate activation, const mx::array& gate, const mx::array& up, mx::Stream s) {
  auto argument = gate;
  if (activation == Gate::gelu_tanh) {
    auto factor = mx::add(mx::multiply(mx::square(gate, s), constant(gelu_cubic, gate), s), constant(gelu_linear, gate), s);
    argument = mx::multiply(gate, factor, s);
  }
  return mx::multiply(mx::multiply(gate, mx::sigmoid(argument, s), s), up, s);
}

class Gated : public Fused {
 public:
  Gated(mx::Stream stream, Gate activation) : Fused(stream), activation_(activation) {}

  bool is_equivalent(const Primitive& other) const override {
    return activation_ == static_cast<const Gated&>(other).activation_;
  }

 protected:
  // In the dtype of sums, as the kernels compute.
  Arrays wide(const Arrays& values) const {
    auto dtype = sums_dtype(values[0]);
    auto result = composed_gate(activation_, mx::astype(values[0], dtype, where()), mx::astype(values[1], dtype, where()), where());
    return {mx::astype(result, values[0].dtype(), where())};
  }
  Gate activation_;
};

// gate, up, cotangent -> the gradients of gate and up.
class GateGradient : public Gated {
 public:
  using Gated::Gated;

  const char* name() const override {
    return "FusedGateGradient";
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    return {inputs[0].shape(), inputs[1].shape()};
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    RowsOf gates(inputs[0]), ups(inputs[1]), cotangents(inputs[2]);
    allocate_like(inputs[0], outputs[0]);
    allocate_like(inputs[1], outputs[1]);
    auto to_gate = outputs[0].data<char>(), to_up = outputs[1].data<char>();
    int64_t length = gates.length(), stride = length * outputs[0].itemsize();
    auto& layers = row_kernels().layers;
    auto& kernels = activation_ == Gate::silu ? layers.swiglu_gradient : layers.geglu_gradient;
    auto kernel = kernels[static_cast<int>(element_of(inputs[0].dtype()))];
    over_rows(stream(), gates.count(), length, [=](int64_t begin, int64_t end) {
      std::vector<char> gate_scratch, up_scratch, scratch;
      for (int64_t row = begin; row < end; row++) {
        auto gate = gates.row(row, gate_scratch), up = ups.row(row, up_scratch), cotangent = cotangents.row(row, scratch);
        kernel(gate, up, cotangent, to_gate + row * stride, to_up + row * stride, length);
      }
    });
  }

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    return {inputs[0].dtype(), inputs[1].dtype()};
  }
  Arrays composed(const Arrays& inputs) const override {
    return mx::vjp([&](const Arrays& values) { return wide(values); }, {inputs[0], inputs[1]}, {inputs[2]}).second;
  }
};

// gate, up -> activation(gate) * up.
class GatedUnit : public Gated {
 public:
  using Gated::Gated;

  const char* name() const override {
    return "FusedGatedUnit";
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    RowsOf gates(inputs[0]), ups(inputs[1]);
    allocate_like(inputs[0], outputs[0]);
    auto out = outputs[0].data<char>();
    int64_t length = gates.length(), stride = length * outputs[0].itemsize();
    auto& layers = row_kernels().layers;
    auto& kernels = activation_ == Gate::silu ? layers.swiglu : layers.geglu;
    auto kernel = kernels[static_cast<int>(element_of(inputs[0].dtype()))];
    over_rows(stream(), gates.count(), length, [=](int64_t begin, int64_t end) {
      std::vector<char> scratch, up_scratch;
      for (int64_t row = begin; row < end; row++) {
        kernel(gates.row(row, scratch), ups.row(row, up_scratch), out + row * stride, length);
      }
    });
  }
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays&) override {
    auto gradients = apply(std::make_shared<GateGradient>(where(), activation_), {primals[0], primals[1], cotangents[0]});
    Arrays results;
    for (int argnum : argnums) {
      results.push_back(gradients[argnum]);
    }
    return results;
  }

 protected:
  Arrays composed(const Arrays& inputs) const override {
    return wide(inputs);
  }
};

} // namespace

mx::array gated(Gate activation, const mx::array& gate, const mx::array& up, mx::Stream s) {
  bool same = gate.shape() == up.shape() && gate.dtype() == up.dtype();
  bool fits = same && gate.ndim() > 0 && gate.size() > 0 && mx::issubdtype(gate.dtype(), mx::floating);
  if (!has_kernels(s) || !fits) {
    return composed_gate(activation, gate, up, s);
  }
  return Fused::apply(std::make_shared<GatedUnit>(s, activation), {gate, up})[0];
}

} // namespace mlxffi
