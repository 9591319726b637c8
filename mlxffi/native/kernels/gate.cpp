#include "gate.h"

#include "composing.h"
#include "gpu.h"
#include "recycled.h"
#include "row_access.h"

namespace mlxffi {

namespace {

mx::array in_rows(const mx::array& array, mx::Stream s) {
  return mx::reshape(array, {-1, array.shape(-1)}, s);
}

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
  // The kernel of the activation, silu or gelu, for the dtype of an array.
  template <class Kernel>
  Kernel for_numbers_of(const mx::array& array, const Kernel (&silu)[4], const Kernel (&gelu)[4]) const {
    return (activation_ == Gate::silu ? silu : gelu)[static_cast<int>(element_of(array.dtype()))];
  }
  // In the dtype of sums, as the kernels compute.
  Arrays wide(const Arrays& values) const {
    auto dtype = sums_dtype(values[0]);
    auto result = composed_gate(activation_, mx::astype(values[0], dtype, where()), mx::astype(values[1], dtype, where()), where());
    return {mx::astype(result, values[0].dtype(), where())};
  }
  bool is_gelu() const {
    return activation_ == Gate::gelu_tanh;
  }
  // Inputs as the kernels of GPUs take them.
  Arrays rows_of(Arrays inputs) const {
    for (auto& input : inputs) {
      input.overwrite_descriptor(in_rows(input, where()));
    }
    return inputs;
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
    auto kernel = for_numbers_of(inputs[0], row_kernels().layers.swiglu_gradient, row_kernels().layers.geglu_gradient);
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
  Arrays as_graph(const Arrays& inputs) const override {
    auto rows = rows_of(inputs);
    auto found = gpu::gate_backward(rows[0], rows[1], rows[2], is_gelu(), where());
    return {mx::reshape(found[0], inputs[0].shape(), where()), mx::reshape(found[1], inputs[1].shape(), where())};
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
    auto kernel = for_numbers_of(inputs[0], row_kernels().layers.swiglu, row_kernels().layers.geglu);
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
  Arrays as_graph(const Arrays& inputs) const override {
    auto rows = rows_of(inputs);
    return {mx::reshape(gpu::gate_forward(rows[0], rows[1], is_gelu(), where()), inputs[0].shape(), where())};
  }
};

// The halves of the last axis.
Arrays halves(const mx::array& pairs, mx::Stream s) {
  return mx::split(pairs, 2, -1, s);
}

mx::Shape half_of(mx::Shape shape) {
  shape.back() /= 2;
  return shape;
}

// pairs, cotangent -> the gradient of the pairs.
class HalvesGradient : public Gated {
 public:
  using Gated::Gated;

  const char* name() const override {
    return "FusedHalvesGradient";
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    RowsOf pairs(inputs[0]), cotangents(inputs[1]);
    allocate_like(inputs[0], outputs[0]);
    auto to = outputs[0].data<char>();
    int64_t length = cotangents.length(), half = length * outputs[0].itemsize();
    auto kernel = for_numbers_of(inputs[0], row_kernels().layers.swiglu_gradient, row_kernels().layers.geglu_gradient);
    over_rows(stream(), pairs.count(), length, [=](int64_t begin, int64_t end) {
      std::vector<char> scratch, cotangent_scratch;
      for (int64_t row = begin; row < end; row++) {
        auto pair = static_cast<const char*>(pairs.row(row, scratch));
        auto out = to + 2 * row * half;
        kernel(pair, pair + half, cotangents.row(row, cotangent_scratch), out, out + half, length);
      }
    });
  }

 protected:
  Arrays composed(const Arrays& inputs) const override {
    auto fun = [&](const Arrays& values) { return wide(halves(values[0], where())); };
    return mx::vjp(fun, {inputs[0]}, {inputs[1]}).second;
  }
  Arrays as_graph(const Arrays& inputs) const override {
    auto rows = rows_of(inputs);
    return {mx::reshape(gpu::pairs_backward(rows[0], rows[1], is_gelu(), where()), inputs[0].shape(), where())};
  }
};

// pairs -> activation(gate) * up.
class HalvesUnit : public Gated {
 public:
  using Gated::Gated;

  const char* name() const override {
    return "FusedHalvesUnit";
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    return {half_of(inputs[0].shape())};
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    RowsOf pairs(inputs[0]);
    allocate(outputs[0]);
    auto out = outputs[0].data<char>();
    int64_t length = pairs.length() / 2, half = length * outputs[0].itemsize();
    auto kernel = for_numbers_of(inputs[0], row_kernels().layers.swiglu, row_kernels().layers.geglu);
    over_rows(stream(), pairs.count(), length, [=](int64_t begin, int64_t end) {
      std::vector<char> scratch;
      for (int64_t row = begin; row < end; row++) {
        auto pair = static_cast<const char*>(pairs.row(row, scratch));
        kernel(pair, pair + half, out + row * half, length);
      }
    });
  }
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>&, const Arrays&) override {
    return apply(std::make_shared<HalvesGradient>(where(), activation_), {primals[0], cotangents[0]});
  }

 protected:
  Arrays composed(const Arrays& inputs) const override {
    return wide(halves(inputs[0], where()));
  }
  Arrays as_graph(const Arrays& inputs) const override {
    auto found = gpu::pairs_forward(in_rows(inputs[0], where()), is_gelu(), where());
    return {mx::reshape(found, half_of(inputs[0].shape()), where())};
  }
};

// Whether there are kernels for arrays of a dtype.
bool has_kernels_for(const mx::array& array, mx::Stream s) {
  auto dtype = array.dtype();
  bool on_cpu = s.device == mx::Device::cpu;
  bool fits = dtype == mx::float32 || dtype == mx::float16 || dtype == mx::bfloat16 || (on_cpu && dtype == mx::float64);
  return fits && array.ndim() > 0 && array.size() > 0 && !Composing::active();
}

} // namespace

mx::array gated(Gate activation, const mx::array& gate, const mx::array& up, mx::Stream s) {
  if (gate.shape() != up.shape() || gate.dtype() != up.dtype() || !has_kernels_for(gate, s)) {
    return composed_gate(activation, gate, up, s);
  }
  return Fused::apply(std::make_shared<GatedUnit>(s, activation), {gate, up})[0];
}

mx::array gated_halves(Gate activation, const mx::array& pairs, mx::Stream s) {
  if (!has_kernels_for(pairs, s)) {
    auto parts = halves(pairs, s);
    return composed_gate(activation, parts[0], parts[1], s);
  }
  return Fused::apply(std::make_shared<HalvesUnit>(s, activation), {pairs})[0];
}

} // namespace mlxffi
