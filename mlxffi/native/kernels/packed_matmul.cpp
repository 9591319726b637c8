#include "packed_matmul.h"

#include "dequantize.h"
#include "float_rows.h"
#include "packed_product.h"
#include "products.h"
#include "recycled.h"

namespace mlxffi {

namespace {

// x (..., m, k), packed matrices (n, k) or (..., n, k) with the same batch -> (..., m, n); without `transpose` the matrices
// are (k, n).
class PackedMatmul : public Fused {
 public:
  // `rounded`: whether rows of x may be rounded to 8 bits, as those of derivatives may not.
  PackedMatmul(mx::Stream s, Packing packing, bool transpose, bool rounded = false)
      : Fused(s), packing_(packing), transpose_(transpose), rounded_(rounded) {}

  const char* name() const override {
    return "FusedQuantizedMatmul";
  }
  bool is_equivalent(const Primitive& other) const override {
    auto& same = static_cast<const PackedMatmul&>(other);
    return packing_ == same.packing_ && transpose_ == same.transpose_ && rounded_ == same.rounded_;
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    auto shape = inputs[0].shape();
    shape.back() = transpose_ ? inputs[1].shape(-2) : inputs[2].shape(-1) * packing_.group_size;
    return {shape};
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override;
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& outputs) override {
    Arrays results;
    for (int argnum : argnums) {
      results.push_back(argnum ? composed(primals)[0].primitive().vjp(primals, cotangents, {argnum}, outputs)[0]
                               : with(primals, cotangents[0], !transpose_, false));
    }
    return results;
  }
  // The product is linear in x, and in scales and biases together.
  Arrays jvp(const Arrays& primals, const Arrays& tangents, const std::vector<int>& argnums) override;
  std::pair<Arrays, std::vector<int>> vmap(const Arrays& inputs, const std::vector<int>& axes) override;

 protected:
  Arrays composed(const Arrays& inputs) const override {
    return {mx::quantized_matmul(
        inputs[0], inputs[1], inputs[2], packing_.biases(inputs), transpose_, packing_.group_size, packing_.bits, packing_.name(), where())};
  }
  std::shared_ptr<Fused> again() const override {
    return std::make_shared<PackedMatmul>(where(), packing_, transpose_, rounded_);
  }

 private:
  mx::array with(Arrays inputs, const mx::array& x, bool transpose, bool rounded) const {
    inputs[0].overwrite_descriptor(x);
    return apply(std::make_shared<PackedMatmul>(where(), packing_, transpose, rounded), inputs)[0];
  }

 protected:
  Packing packing_;

 private:
  bool transpose_, rounded_;
};

void PackedMatmul::eval_cpu(const Arrays& inputs, Arrays& outputs) {
  auto& out = outputs[0];
  allocate(out);
  if (out.size() == 0) {
    return;
  }
  PackedMatrices w(inputs[1], inputs[2], packing_.biases(inputs), packing_);
  auto data = out.data<char>();
  auto dtype = out.dtype();
  int64_t rows = out.size() / out.shape(-1), count = w.count();
  on_stream(stream(), [=, x = FloatRows(inputs[0]), transpose = transpose_, rounded = rounded_]() mutable {
    std::vector<Segment> segments;
    for (int64_t i = 0; i < count; i++) {
      segments.push_back({i, {i * (rows / count), (i + 1) * (rows / count)}});
    }
    PackedProduct{w, transpose, x.data(), data, dtype, nullptr, nullptr, rounded}.run(segments);
  });
}

Arrays PackedMatmul::jvp(const Arrays& primals, const Arrays& tangents, const std::vector<int>& argnums) {
  std::optional<mx::array> of_x, scales, biases;
  for (size_t i = 0; i < argnums.size(); i++) {
    if (argnums[i] == 1 || (argnums[i] && !packing_.affine())) {
      throw std::invalid_argument("[quantized_matmul] packed numbers have no tangents");
    }
    (argnums[i] == 0 ? of_x : argnums[i] == 2 ? scales : biases) = tangents[i];
  }
  std::optional<mx::array> sum;
  if (of_x) {
    sum = with(primals, *of_x, transpose_, false);
  }
  if (scales || biases) {
    auto groups = primals;
    groups[2] = scales ? *scales : mx::zeros_like(primals[2], where());
    groups[3] = biases ? *biases : mx::zeros_like(primals[3], where());
    auto part = with(groups, groups[0], transpose_, false);
    sum = sum ? mx::add(*sum, part, where()) : part;
  }
  return {*sum};
}

// Rows that are mapped are more rows.
std::pair<Arrays, std::vector<int>> PackedMatmul::vmap(const Arrays& inputs, const std::vector<int>& axes) {
  bool rows_alone = std::all_of(axes.begin() + 1, axes.end(), [](int axis) { return axis < 0; });
  if (rows_alone && inputs[1].ndim() == 2) {
    return {{with(inputs, mx::moveaxis(inputs[0], axes[0], 0, where()), transpose_, rounded_)}, {0}};
  }
  return Fused::vmap(inputs, axes);
}

// Rows that were rounded, packed matrices of one kind, scales, and the x and w from which they were made -> the product, in
// the dtype of x. Gradients are products of the same kind, as in MLX: the cotangent is rounded too.
class BothPacked : public PackedMatmul {
 public:
  BothPacked(mx::Stream s, Packing packing) : PackedMatmul(s, packing, true) {}

  const char* name() const override {
    return "FusedQQMatmul";
  }
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays&) override {
    auto s = where();
    auto &x = primals[3], &w = primals[4];
    if (w.dtype() == mx::uint32) {
      throw std::invalid_argument("[qqmm] a packed w gives no gradients: pass it as floating point numbers");
    }
    auto rows = [&](const mx::array& a) { return mx::transpose(mx::reshape(a, {-1, a.shape(-1)}, s), s); };
    Arrays results;
    for (int argnum : argnums) {
      auto gradient = argnum == 3 ? product(cotangents[0], mx::transpose(w, s)) : product(rows(cotangents[0]), rows(x));
      results.push_back(mx::astype(gradient, primals[argnum].dtype(), s));
    }
    return results;
  }
  Arrays jvp(const Arrays&, const Arrays&, const std::vector<int>&) override {
    throw std::invalid_argument("[qqmm] numbers that are rounded have no tangents");
  }
  std::pair<Arrays, std::vector<int>> vmap(const Arrays&, const std::vector<int>&) override {
    throw std::invalid_argument("[qqmm] is not mapped: x may have any number of axes");
  }

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    return {inputs[3].dtype()};
  }

 private:
  mx::array product(const mx::array& x, const mx::array& w) const {
    return mlxffi::qqmm(x, w, {}, packing_.group_size, packing_.bits, packing_.name(), {}, {}, where());
  }
};

} // namespace

mx::array factor_of(const mx::array& global_scale, mx::Stream s) {
  // A global scale stands for the greatest number of the mode: that of a code times that of its group's scale.
  constexpr float greatest = 6 * 448;
  return mx::divide(global_scale, mx::array(greatest), s);
}

mx::array rounded(const mx::array& x, Packing packing, const std::optional<mx::array>& global_scale, mx::Stream s) {
  auto codes = mx::quantize(x, packing.group_size, packing.bits, packing.name(), global_scale, s);
  auto numbers = unpacked(codes, packing, mx::float32, s);
  return global_scale ? mx::multiply(numbers, factor_of(*global_scale, s), s) : numbers;
}

mx::array qqmm(
    const mx::array& x, const mx::array& w, const std::optional<mx::array>& w_scales, std::optional<int> group_size, std::optional<int> bits,
    const std::string& mode, const std::optional<mx::array>& global_scale_x, const std::optional<mx::array>& global_scale_w, mx::StreamOrDevice s) {
  auto stream = mx::to_stream(s);
  auto own = mx::qqmm(x, w, w_scales, group_size, bits, mode, global_scale_x, global_scale_w, stream);
  auto packing = Packing::of(mode, group_size, bits);
  if (!has_kernels(stream) || !has_products() || packing.affine() || own.size() == 0 || x.size() == 0) {
    return own;
  }
  if (x.ndim() == 1) {
    auto row = mx::expand_dims(x, 0, stream);
    return mx::squeeze(mlxffi::qqmm(row, w, w_scales, group_size, bits, mode, global_scale_x, global_scale_w, stream), 0, stream);
  }
  auto right = w_scales ? Arrays{w, *w_scales} : mx::quantize(w, group_size, bits, mode, global_scale_w, stream);
  auto left = rounded(x, packing, global_scale_x, stream);
  if (global_scale_w) {
    left = mx::multiply(left, factor_of(*global_scale_w, stream), stream);
  }
  Arrays inputs{left, right[0], right[1]};
  for (auto& input : inputs) {
    input = mx::stop_gradient(input, stream);
  }
  inputs.insert(inputs.end(), {x, w});
  return Fused::apply(std::make_shared<BothPacked>(stream, packing), inputs)[0];
}

mx::array quantized_matmul(
    const mx::array& x, const mx::array& w, const mx::array& scales, const std::optional<mx::array>& biases, bool transpose,
    std::optional<int> group_size, std::optional<int> bits, const std::string& mode, mx::StreamOrDevice s) {
  auto stream = mx::to_stream(s);
  if (w.ndim() > 2 && (x.ndim() == 1 || x.ndim() == 2)) {
    // Here MLX takes the first matrix alone.
    auto batch = mx::expand_dims(x, x.ndim() == 1 ? std::vector<int>{0, 1} : std::vector<int>{0}, stream);
    auto product = mlxffi::quantized_matmul(batch, w, scales, biases, transpose, group_size, bits, mode, stream);
    return x.ndim() == 1 ? mx::squeeze(product, -2, stream) : product;
  }
  auto own = mx::quantized_matmul(x, w, scales, biases, transpose, group_size, bits, mode, stream);
  if (!has_kernels(stream) || !has_products() || w.size() == 0) {
    return own;
  }
  auto [size, width, kind, turned] = static_cast<const mx::QuantizedMatmul&>(own.primitive()).state();
  own.primitive_ptr() = std::make_shared<PackedMatmul>(stream, Packing{size, width, kind}, turned, rounds_rows());
  return own;
}

} // namespace mlxffi
