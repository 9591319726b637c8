// Products that add to their result leave no sums to be made afterwards: of the output forward, of the gradient of x
// backward. With u = scale g b^T, g the cotangent:
//   dx = g weight + u a^T,  da = x^T u,  db = scale (x a)^T g.
#include "lora.h"

#include "few_rows.h"
#include "float_rows.h"
#include "half_matrices.h"
#include "half_products.h"
#include "recycled.h"

namespace mlxffi {

namespace {

// Rows that are worked on at once: fewer would pack the weight too often, more would leave threads without work. How
// many threads there are does not matter, so that it does not change the result.
int64_t row_block(int64_t rows) {
  return rows >= 4096 ? 512 : rows >= 1024 ? 256 : 128;
}

Matrix matrix_of(const mx::array& array) {
  return {array.data<float>(), array.shape(-1)};
}

Matrix rows_from(Matrix matrix, int64_t row) {
  return {matrix.data + row * matrix.stride, matrix.stride};
}

void over_row_blocks(int64_t count, const std::function<void(int64_t, int64_t)>& body) {
  parallel_for(count, row_block(count), body);
}

// The same by single operations. Rows are one axis, so that no gradient of a factor is a sum over a batch; the scale is
// that of the smaller factor. GPUs add up within a product, with factors of the dtype of x.
mx::array composed_lora(const Arrays& inputs, float scale, mx::Stream s) {
  bool on_gpu = s.device == mx::Device::gpu;
  auto shape = batch_of(inputs[0]);
  shape.push_back(inputs[1].shape(0));
  auto x = mx::reshape(inputs[0], {-1, inputs[0].shape(-1)}, s);
  auto a = inputs[2], b = mx::multiply(inputs[3], mx::array(scale, inputs[3].dtype()), s);
  if (on_gpu) {
    a = mx::astype(a, x.dtype(), s);
    b = mx::astype(b, x.dtype(), s);
  }
  auto y = mlxffi::matmul(x, mx::transpose(inputs[1], s), s), low = mlxffi::matmul(x, a, s);
  auto sum = on_gpu ? mx::addmm(y, low, b, 1, 1, s) : mx::add(y, mlxffi::matmul(low, b, s), s);
  return mx::reshape(mx::astype(sum, x.dtype(), s), shape, s);
}

// A product of half precision plus scale times that of low [rows, rank] and b, rounded once.
struct HalfSum {
  Matrix low, b;
  Side b_side;
  int64_t rank;
  float scale;
  void* out;
  Narrow narrow;

  void add(const HalfMatrices& left, const HalfMatrices& right) const {
    half_product(left, right, 0, [&](Range rows, Range columns, float* sums, int64_t stride) {
      Matrix part{b.data + columns.begin * (b_side == Side::as_is ? 1 : b.stride), b.stride};
      product(rows.size(), columns.size(), rank, scale, rows_from(low, rows.begin), Side::as_is, part, b_side, 1, sums, stride);
      for (int64_t row = rows.begin; row < rows.end; row++, sums += stride) {
        narrow(sums, static_cast<uint16_t*>(out) + row * right.columns() + columns.begin, columns.size(), 1);
      }
    });
  }
};

Narrow narrow_to(const mx::array& array) {
  return row_kernels().layers.narrow[static_cast<int>(element_of(array.dtype()))];
}

class Lora : public Fused {
 public:
  Lora(mx::Stream stream, float scale) : Fused(stream), scale_(scale) {}

  bool is_equivalent(const Primitive& other) const override {
    return scale_ == static_cast<const Lora&>(other).scale_;
  }

 protected:
  float scale_;
};

// x, weight, a, b, cotangent, x a -> the gradients of a, b and, where it is wanted, x.
class LoraGradient : public Lora {
 public:
  LoraGradient(mx::Stream stream, float scale, bool wants_x) : Lora(stream, scale), wants_x_(wants_x) {}

  const char* name() const override {
    return "FusedLoraGradient";
  }
  bool is_equivalent(const Primitive& other) const override {
    return Lora::is_equivalent(other) && wants_x_ == static_cast<const LoraGradient&>(other).wants_x_;
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    std::vector<mx::Shape> shapes{inputs[2].shape(), inputs[3].shape()};
    if (wants_x_) {
      shapes.push_back(inputs[0].shape());
    }
    return shapes;
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override;

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    std::vector<mx::Dtype> dtypes{mx::float32, mx::float32};
    if (wants_x_) {
      dtypes.push_back(inputs[0].dtype());
    }
    return dtypes;
  }
  Arrays composed(const Arrays& inputs) const override {
    auto fun = [&](const Arrays& values) { return Arrays{composed_lora({values[2], inputs[1], values[0], values[1]}, scale_, where())}; };
    auto gradients = mx::vjp(fun, {inputs[2], inputs[3], inputs[0]}, {inputs[4]}).second;
    return {gradients.begin(), gradients.begin() + (wants_x_ ? 3 : 2)};
  }

 private:
  bool wants_x_;
};

void LoraGradient::eval_cpu(const Arrays& inputs, Arrays& outputs) {
  for (auto& output : outputs) {
    allocate(output);
  }
  auto a = matrix_of(inputs[2]), b = matrix_of(inputs[3]), low = matrix_of(inputs[5]);
  int64_t rows = inputs[0].shape(0), in = inputs[2].shape(0), rank = inputs[2].shape(1), out = inputs[3].shape(1);
  auto to_a = outputs[0].data<float>(), to_b = outputs[1].data<float>();
  bool of_halves = inputs[0].dtype() != mx::float32;
  auto to_x = wants_x_ ? outputs[2].data<float>() : nullptr;
  auto weight = matrix_of(inputs[1]);
  HalfMatrices half_g(inputs[4]), half_weight(inputs[1]);
  on_stream(stream(), [=, scale = scale_, narrow = narrow_to(inputs[0]), of_x = FloatRows(inputs[0]), of_g = FloatRows(inputs[4])]() mutable {
    Matrix x{of_x.data(), in}, g{of_g.data(), out};
    std::vector<float> storage(rows * rank);
    Matrix u{storage.data(), rank};
    over_row_blocks(rows, [&](int64_t begin, int64_t end) {
      product(end - begin, rank, out, scale, rows_from(g, begin), Side::as_is, b, Side::transposed, 0, &storage[begin * rank], rank);
    });
    if (to_x && of_halves) {
      HalfSum{u, a, Side::transposed, rank, 1, to_x, narrow}.add(half_g, half_weight);
    } else if (to_x) {
      over_row_blocks(rows, [&](int64_t begin, int64_t end) {
        int64_t count = end - begin;
        product(count, in, out, 1, rows_from(g, begin), Side::as_is, weight, Side::as_is, 0, to_x + begin * in, in);
        product(count, in, rank, 1, rows_from(u, begin), Side::as_is, a, Side::transposed, 1, to_x + begin * in, in);
      });
    }
    parallel_for(2, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        i == 0 ? product(in, rank, rows, 1, x, Side::transposed, u, Side::as_is, 0, to_a, rank)
               : product(rank, out, rows, scale, low, Side::transposed, g, Side::as_is, 0, to_b, out);
      }
    });
  });
}

// x [rows, in], weight, a, b, all dense -> the sum, and x a for the gradient, in float32.
class LoraLinear : public Lora {
 public:
  using Lora::Lora;

  const char* name() const override {
    return "FusedLoraLinear";
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    int rows = inputs[0].shape(0);
    return {{rows, inputs[1].shape(0)}, {rows, inputs[2].shape(1)}};
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    allocate(outputs[0]);
    allocate(outputs[1]);
    auto a = matrix_of(inputs[2]), b = matrix_of(inputs[3]);
    int64_t rows = inputs[0].shape(0), in = inputs[0].shape(1), rank = inputs[2].shape(1), out = inputs[1].shape(0);
    auto to = outputs[0].data<float>(), low = outputs[1].data<float>();
    bool of_halves = inputs[0].dtype() != mx::float32;
    auto weight = matrix_of(inputs[1]);
    HalfMatrices half_x(inputs[0]), half_weight(inputs[1]);
    on_stream(stream(), [=, scale = scale_, narrow = narrow_to(inputs[0]), floats = FloatRows(inputs[0])]() mutable {
      Matrix left{floats.data(), in};
      over_row_blocks(rows, [&](int64_t begin, int64_t end) {
        product(end - begin, rank, in, 1, rows_from(left, begin), Side::as_is, a, Side::as_is, 0, low + begin * rank, rank);
      });
      if (of_halves) {
        return HalfSum{{low, rank}, b, Side::as_is, rank, scale, to, narrow}.add(half_x, half_weight.transposed());
      }
      over_row_blocks(rows, [&](int64_t begin, int64_t end) {
        int64_t count = end - begin;
        product(count, out, in, 1, rows_from(left, begin), Side::as_is, weight, Side::transposed, 0, to + begin * out, out);
        product(count, out, rank, scale, {low + begin * rank, rank}, Side::as_is, b, Side::as_is, 1, to + begin * out, out);
      });
    });
  }
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& outputs) override {
    auto wants = [&](int argnum) { return std::find(argnums.begin(), argnums.end(), argnum) != argnums.end(); };
    if (wants(1)) {
      return Fused::vjp(primals, {cotangents[0]}, argnums, outputs);
    }
    auto inputs = primals;
    inputs.insert(inputs.end(), {mx::contiguous(cotangents[0], false, where()), outputs[1]});
    auto gradients = apply(std::make_shared<LoraGradient>(where(), scale_, wants(0)), inputs);
    Arrays results;
    for (int argnum : argnums) {
      results.push_back(gradients[argnum == 0 ? 2 : argnum - 2]);
    }
    return results;
  }

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    return {inputs[0].dtype(), mx::float32};
  }
  Arrays composed(const Arrays& inputs) const override {
    return {composed_lora(inputs, scale_, where())};
  }
};

// Of a few rows the low-rank part is small: their product with the weight goes the fastest way.
constexpr int64_t few = 8;

// x and weight of one dtype, a and b of float32.
bool is_fused(const Arrays& inputs, mx::Stream s) {
  auto dtype = inputs[0].dtype();
  bool known = dtype == mx::float32 || dtype == mx::float16 || dtype == mx::bfloat16;
  bool dtypes = known && inputs[1].dtype() == dtype && inputs[2].dtype() == mx::float32 && inputs[3].dtype() == mx::float32;
  bool filled = std::all_of(inputs.begin(), inputs.end(), [](auto& input) { return input.size() > 0; });
  if (!dtypes || !filled || !has_kernels(s) || !has_products()) {
    return false;
  }
  int64_t rows = inputs[0].size() / inputs[0].shape(-1);
  return rows > few || !has_few_rows(inputs[0], mx::transpose(inputs[1], s), s);
}

} // namespace

mx::array lora_linear(const mx::array& x, const mx::array& weight, const mx::array& a, const mx::array& b, float scale, mx::Stream s) {
  if (!is_fused({x, weight, a, b}, s)) {
    return composed_lora({x, weight, a, b}, scale, s);
  }
  Arrays inputs;
  for (auto& input : {mx::reshape(x, {-1, x.shape(-1)}, s), weight, a, b}) {
    inputs.push_back(mx::contiguous(input, false, s));
  }
  auto shape = batch_of(x);
  shape.push_back(weight.shape(0));
  return mx::reshape(Fused::apply(std::make_shared<LoraLinear>(s, scale), inputs)[0], shape, s);
}

} // namespace mlxffi
