#include <algorithm>
#include <limits>

#include "by_matrix.h"
#include "float_rows.h"
#include "packed_matmul.h"
#include "packed_product.h"
#include "products.h"
#include "recycled.h"

namespace mlxffi {

namespace {

// Which matrix of x each product has, and which packed matrix.
struct Pairs {
  NumbersOf left, right;
  int64_t count;
};

// Matrices of x (..., m, k), and packed ones (..., n, k), by an index for each: (indices..., m, n).
class PackedGather : public Fused {
 public:
  // `rounded`: as PackedMatmul's.
  PackedGather(mx::Stream s, Packing packing, bool transpose, bool sorted, bool rounded = false)
      : Fused(s), packing_(packing), transpose_(transpose), sorted_(sorted), rounded_(rounded) {}

  const char* name() const override {
    return "FusedGatherQMM";
  }
  bool is_equivalent(const Primitive& other) const override {
    auto& same = static_cast<const PackedGather&>(other);
    return packing_ == same.packing_ && transpose_ == same.transpose_ && sorted_ == same.sorted_ && rounded_ == same.rounded_;
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    auto shape = inputs.back().shape();
    shape.push_back(inputs[0].shape(-2));
    shape.push_back(transpose_ ? inputs[1].shape(-2) : inputs[2].shape(-1) * packing_.group_size);
    return {shape};
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override;
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& outputs) override {
    Arrays results;
    for (int argnum : argnums) {
      results.push_back(argnum ? composed(primals)[0].primitive().vjp(primals, cotangents, {argnum}, outputs)[0]
                               : gradient_of_x(primals, cotangents[0]));
    }
    return results;
  }
  Arrays jvp(const Arrays& primals, const Arrays& tangents, const std::vector<int>& argnums) override {
    if (argnums.size() != 1 || argnums[0] != 0) {
      throw std::invalid_argument("[gather_qmm] packed matrices have no tangents");
    }
    auto inputs = primals;
    inputs[0] = tangents[0];
    return apply(std::make_shared<PackedGather>(where(), packing_, transpose_, sorted_), inputs);
  }

 protected:
  Arrays composed(const Arrays& inputs) const override {
    size_t last = inputs.size() - 1;
    return {mx::gather_qmm(
        inputs[0], inputs[1], inputs[2], packing_.biases(inputs), inputs[last - 1], inputs[last], transpose_, packing_.group_size,
        packing_.bits, packing_.name(), std::nullopt, sorted_, where())};
  }

 private:
  // Each product's part, added to the matrix of x that it has.
  mx::array gradient_of_x(const Arrays& primals, const mx::array& cotangent) const {
    auto s = where();
    auto& x = primals[0];
    auto& left = primals[primals.size() - 2];
    auto inputs = primals;
    inputs[0] = cotangent;
    inputs[primals.size() - 2] = mx::reshape(mx::arange(static_cast<int>(left.size()), mx::uint32, s), left.shape(), s);
    auto parts = apply(std::make_shared<PackedGather>(s, packing_, !transpose_, false), inputs)[0];
    int rows = x.shape(-2), width = x.shape(-1), count = x.size() / (static_cast<int64_t>(rows) * width);
    auto sums = mx::scatter_add(
        mx::zeros({count, rows, width}, x.dtype(), s), mx::flatten(left, s), mx::reshape(parts, {-1, 1, rows, width}, s), 0, s);
    return mx::reshape(sums, x.shape(), s);
  }

  Packing packing_;
  bool transpose_, sorted_, rounded_;
};

// From the end where it is negative; -1 where there is none.
int64_t position(int64_t index, int64_t count) {
  index += index < 0 ? count : 0;
  return index < 0 || index >= count ? -1 : index;
}

// The rows of x that each pair has, in that order; NaN where an index is of none.
void gather(const float* x, const std::vector<int64_t>& places, int64_t size, float* to) {
  for (int64_t place : places) {
    place < 0 ? std::fill(to, to + size, std::numeric_limits<float>::quiet_NaN()) : (void)std::copy(x + place * size, x + (place + 1) * size, to);
    to += size;
  }
}

void multiply(const PackedMatrices& w, bool transpose, const Pairs& pairs, const float* x, int64_t x_count, int64_t rows, char* out, mx::Dtype dtype, bool rounded) {
  std::vector<int64_t> matrices(pairs.count), places(pairs.count), order;
  for (int64_t i = 0; i < pairs.count; i++) {
    matrices[i] = position(pairs.right.integer(i), w.count());
  }
  auto sorted = by_matrix(matrices);
  std::vector<Segment> segments;
  for (int64_t i = 0; i < pairs.count; i++) {
    int64_t pair = sorted[i], matrix = matrices[pair];
    places[i] = matrix < 0 ? -1 : position(pairs.left.integer(pair), x_count);
    for (int64_t row = 0; row < rows; row++) {
      order.push_back(pair * rows + row);
    }
    if (segments.empty() || segments.back().matrix != std::max<int64_t>(matrix, 0)) {
      segments.push_back({std::max<int64_t>(matrix, 0), {i * rows, i * rows}});
    }
    segments.back().rows.end += rows;
  }
  PackedProduct product{w, transpose, nullptr, out, dtype, order.data(), nullptr, rounded};
  AlignedFloats memory;
  auto gathered = memory.get(pairs.count * rows * product.inner());
  gather(x, places, rows * product.inner(), gathered);
  product.x = gathered;
  product.run(segments);
}

void PackedGather::eval_cpu(const Arrays& inputs, Arrays& outputs) {
  auto& out = outputs[0];
  allocate(out);
  if (out.size() == 0) {
    return;
  }
  PackedMatrices w(inputs[1], inputs[2], packing_.biases(inputs), packing_);
  Pairs pairs{NumbersOf(inputs[inputs.size() - 2]), NumbersOf(inputs.back()), static_cast<int64_t>(inputs.back().size())};
  auto data = out.data<char>();
  auto dtype = out.dtype();
  int64_t rows = inputs[0].shape(-2), x_count = inputs[0].size() / (rows * inputs[0].shape(-1));
  on_stream(stream(), [=, x = FloatRows(inputs[0]), transpose = transpose_, rounded = rounded_]() mutable {
    multiply(w, transpose, pairs, x.data(), x_count, rows, data, dtype, rounded);
  });
}

// The products, each by the global scale of its packed matrix.
mx::array scaled(const mx::array& products, const mx::array& w, const std::optional<mx::array>& rhs_indices, const mx::array& global_scale, mx::Stream s) {
  int64_t matrices = w.size() / (static_cast<int64_t>(w.shape(-1)) * w.shape(-2));
  if (global_scale.dtype() != mx::float32 || static_cast<int64_t>(global_scale.size()) != matrices) {
    throw std::invalid_argument("[gather_qmm] global_scale: expected a float32 for each of " + std::to_string(matrices) + " matrices, got " + std::to_string(global_scale.size()) + " numbers");
  }
  auto factors = factor_of(mx::flatten(global_scale, s), s);
  mx::Shape batch(w.shape().begin(), w.shape().end() - 2);
  factors = rhs_indices ? mx::take(factors, *rhs_indices, 0, s) : mx::reshape(factors, batch, s);
  return mx::astype(mx::multiply(products, mx::expand_dims(factors, {-2, -1}, s), s), products.dtype(), s);
}

} // namespace

mx::array gather_qmm(
    const mx::array& x, const mx::array& w, const mx::array& scales, const std::optional<mx::array>& biases,
    const std::optional<mx::array>& lhs_indices, const std::optional<mx::array>& rhs_indices, bool transpose, std::optional<int> group_size,
    std::optional<int> bits, const std::string& mode, const std::optional<mx::array>& global_scale, bool sorted_indices, mx::StreamOrDevice s) {
  auto stream = mx::to_stream(s);
  if (global_scale && has_kernels(stream) && mode == "nvfp4") {
    auto products = mlxffi::gather_qmm(
        x, w, scales, biases, lhs_indices, rhs_indices, transpose, group_size, bits, mode, {}, sorted_indices, stream);
    return scaled(products, w, rhs_indices, *global_scale, stream);
  }
  auto own = mx::gather_qmm(
      x, w, scales, biases, lhs_indices, rhs_indices, transpose, group_size, bits, mode, global_scale, sorted_indices, stream);
  if (!has_kernels(stream) || !has_products() || x.size() == 0 || w.size() == 0 || own.primitive().name() != std::string("GatherQMM")) {
    return own;
  }
  auto [size, width, kind, turned, left_sorted, right_sorted] = static_cast<const mx::GatherQMM&>(own.primitive()).state();
  own.primitive_ptr() = std::make_shared<PackedGather>(stream, Packing{size, width, kind}, turned, sorted_indices, rounds_rows());
  return own;
}

} // namespace mlxffi
