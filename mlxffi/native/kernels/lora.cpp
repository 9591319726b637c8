// Products that add to their result leave no sums to be made afterwards: of the output forward, of the gradient of x
// backward. With u = scale g b^T, g the cotangent:
//   dx = g weight + u a^T,  da = x^T u,  db = scale (x a)^T g.
#include "lora.h"

#include "half_products.h"
#include "products.h"
#include "recycled.h"
#include "row_access.h"

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
// that of the smaller factor. GPUs add up within a product.
mx::array composed_lora(const Arrays& inputs, float scale, mx::Stream s) {
  auto &given = inputs[0], &a = inputs[2];
  auto shape = batch_of(given);
  shape.push_back(inputs[1].shape(0));
  auto x = mx::reshape(given, {-1, given.shape(-1)}, s);
  auto b = mx::multiply(inputs[3], mx::array(scale, inputs[3].dtype()), s);
  auto y = mlxffi::matmul(x, mx::transpose(inputs[1], s), s), low = mlxffi::matmul(x, a, s);
  auto sum = s.device == mx::Device::gpu ? mx::addmm(y, low, b, 1, 1, s) : mx::add(y, mlxffi::matmul(low, b, s), s);
  return mx::reshape(sum, shape, s);
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
    return std::vector<mx::Dtype>(wants_x_ ? 3 : 2, inputs[0].dtype());
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
  auto x = matrix_of(inputs[0]), weight = matrix_of(inputs[1]), a = matrix_of(inputs[2]), b = matrix_of(inputs[3]);
  auto g = matrix_of(inputs[4]), low = matrix_of(inputs[5]);
  int64_t rows = inputs[0].shape(0), in = inputs[2].shape(0), rank = inputs[2].shape(1), out = inputs[3].shape(1);
  auto to_a = outputs[0].data<float>(), to_b = outputs[1].data<float>(), to_x = wants_x_ ? outputs[2].data<float>() : nullptr;
  on_stream(stream(), [=, scale = scale_] {
    std::vector<float> storage(rows * rank);
    Matrix u{storage.data(), rank};
    over_row_blocks(rows, [&](int64_t begin, int64_t end) {
      int64_t count = end - begin;
      product(count, rank, out, scale, rows_from(g, begin), Side::as_is, b, Side::transposed, 0, &storage[begin * rank], rank);
      if (to_x) {
        product(count, in, out, 1, rows_from(g, begin), Side::as_is, weight, Side::as_is, 0, to_x + begin * in, in);
        product(count, in, rank, 1, rows_from(u, begin), Side::as_is, a, Side::transposed, 1, to_x + begin * in, in);
      }
    });
    parallel_for(2, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        i == 0 ? product(in, rank, rows, 1, x, Side::transposed, u, Side::as_is, 0, to_a, rank)
               : product(rank, out, rows, scale, low, Side::transposed, g, Side::as_is, 0, to_b, out);
      }
    });
  });
}

// x [rows, in], weight, a, b, all dense -> the sum, and x a for the gradient.
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
    auto x = matrix_of(inputs[0]), weight = matrix_of(inputs[1]), a = matrix_of(inputs[2]), b = matrix_of(inputs[3]);
    int64_t rows = inputs[0].shape(0), in = inputs[0].shape(1), out = inputs[1].shape(0), rank = inputs[2].shape(1);
    auto to = outputs[0].data<float>(), low = outputs[1].data<float>();
    on_stream(stream(), [=, scale = scale_] {
      over_row_blocks(rows, [&](int64_t begin, int64_t end) {
        int64_t count = end - begin;
        auto part = rows_from(x, begin);
        product(count, out, in, 1, part, Side::as_is, weight, Side::transposed, 0, to + begin * out, out);
        product(count, rank, in, 1, part, Side::as_is, a, Side::as_is, 0, low + begin * rank, rank);
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
  std::vector<mx::Dtype> output_dtypes(const Arrays&) const override {
    return {mx::float32, mx::float32};
  }
  Arrays composed(const Arrays& inputs) const override {
    return {composed_lora(inputs, scale_, where())};
  }
};

bool is_fused(const Arrays& inputs, mx::Stream s) {
  for (auto& input : inputs) {
    if (input.dtype() != mx::float32 || input.size() == 0) {
      return false;
    }
  }
  return has_kernels(s) && has_products();
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
