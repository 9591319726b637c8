#include "dequantize.h"

#include "aligned.h"
#include "packing.h"
#include "recycled.h"

namespace mlxffi {

namespace {

class Dequantize : public Fused {
 public:
  Dequantize(mx::Stream s, Packing packing, mx::Dtype dtype) : Fused(s), packing_(packing), dtype_(dtype) {}

  const char* name() const override {
    return "FusedDequantize";
  }
  bool is_equivalent(const Primitive& other) const override {
    auto& same = static_cast<const Dequantize&>(other);
    return packing_ == same.packing_ && dtype_ == same.dtype_;
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    auto shape = inputs[1].shape();
    shape.back() *= packing_.group_size;
    return {shape};
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override;

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays&) const override {
    return {dtype_};
  }
  Arrays composed(const Arrays& inputs) const override {
    return {mx::dequantize(
        inputs[0], inputs[1], packing_.biases(inputs, 2), packing_.group_size, packing_.bits, packing_.name(), std::nullopt, dtype_, where())};
  }
  std::shared_ptr<Fused> again() const override {
    return std::make_shared<Dequantize>(where(), packing_, dtype_);
  }

 private:
  Packing packing_;
  mx::Dtype dtype_;
};

void Dequantize::eval_cpu(const Arrays& inputs, Arrays& outputs) {
  allocate(outputs[0]);
  if (outputs[0].size() == 0) {
    return;
  }
  PackedMatrices packed(inputs[0], inputs[1], packing_.biases(inputs, 2), packing_);
  auto out = outputs[0].data<char>();
  auto narrow = row_kernels().layers.narrow[static_cast<int>(element_of(dtype_))];
  over_rows(stream(), packed.rows() * packed.count(), packed.columns(), [=, item = mx::size_of(dtype_)](int64_t begin, int64_t end) {
    int64_t length = packed.columns();
    thread_local AlignedFloats memory;
    auto row = memory.get(length);
    for (int64_t i = begin; i < end; i++) {
      packed.unpack(0, {i, i + 1}, {0, length}, row);
      narrow(row, out + i * length * item, length, 1);
    }
  });
}

bool is_real(mx::Dtype dtype) {
  return dtype == mx::float32 || dtype == mx::float16 || dtype == mx::bfloat16;
}

// Whether the kernel has it: scales and biases of one dtype.
bool is_unpacked(const mx::array& own, const mx::array& scales, const std::optional<mx::array>& biases) {
  return own.size() && own.ndim() > 1 && is_real(own.dtype()) && (!biases || (is_real(scales.dtype()) && scales.dtype() == biases->dtype()));
}

} // namespace

mx::array unpacked(Arrays packed, Packing packing, mx::Dtype dtype, mx::Stream s) {
  return Fused::apply(std::make_shared<Dequantize>(s, packing, dtype), std::move(packed))[0];
}

mx::array dequantize(
    const mx::array& w, const mx::array& scales, const std::optional<mx::array>& biases, std::optional<int> group_size,
    std::optional<int> bits, const std::string& mode, const std::optional<mx::array>& global_scale, std::optional<mx::Dtype> dtype,
    mx::StreamOrDevice s) {
  auto stream = mx::to_stream(s);
  auto own = mx::dequantize(w, scales, biases, group_size, bits, mode, global_scale, dtype, stream);
  if (!has_kernels(stream) || global_scale || !is_unpacked(own, scales, biases)) {
    return own;
  }
  auto packing = Packing::of(mode, group_size, bits);
  Arrays inputs{w, scales};
  if (biases) {
    inputs.push_back(*biases);
  }
  return unpacked(std::move(inputs), packing, own.dtype(), stream);
}

} // namespace mlxffi
