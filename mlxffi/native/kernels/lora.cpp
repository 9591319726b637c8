// Products that add to their result leave no sums to be made afterwards: of the output forward, of the gradient of x
// backward. With u = scale g b^T, g the cotangent:
//   dx = g weight + u a^T,  da = x^T u,  db = scale (x a)^T g.
#include "lora.h"

#include "half_matrices.h"
#include "half_products.h"
#include "packed_product.h"
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

// Tiles of a product with a weight, two blocks of rows high and half as wide: as many as blocks of rows are, but the BLAS, which
// packs both operands of each, packs half as much of the weight.
void over_tiles(int64_t rows, int64_t columns, const std::function<void(Range, Range)>& body) {
  int64_t height = 2 * row_block(rows), width = (columns + 127) / 128 * 64;
  int64_t down = (rows + height - 1) / height, across = (columns + width - 1) / width;
  parallel_for(down * across, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      int64_t row = i / across * height, column = i % across * width;
      body({row, std::min(row + height, rows)}, {column, std::min(column + width, columns)});
    }
  });
}

void over_row_blocks(int64_t count, const std::function<void(int64_t, int64_t)>& body) {
  parallel_for(count, row_block(count), body);
}

// On a GPU: x [rows, in], weight, a and b of one dtype, b scaled -> the sum. Products add to what is there already.
class LowRankSum : public Fused {
 public:
  using Fused::Fused;

  const char* name() const override {
    return "LowRankSum";
  }
  bool is_equivalent(const Primitive&) const override {
    return true;
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    return {{inputs[0].shape(0), inputs[1].shape(0)}};
  }
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& outputs) override;

 protected:
  bool is_node() const override {
    return false;
  }
  Arrays composed(const Arrays& inputs) const override {
    auto s = where();
    auto y = mx::matmul(inputs[0], mx::transpose(inputs[1], s), s);
    return {mx::addmm(y, mx::matmul(inputs[0], inputs[2], s), inputs[3], 1, 1, s)};
  }
};

// x a is what the forward pass has, if that and this are compiled together.
Arrays LowRankSum::vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& outputs) {
  auto s = where();
  auto &x = primals[0], &weight = primals[1], &a = primals[2], &b = primals[3], &g = cotangents[0];
  auto u = mx::matmul(g, mx::transpose(b, s), s);
  Arrays results;
  for (int argnum : argnums) {
    if (argnum == 0) {
      results.push_back(mx::addmm(mx::matmul(g, weight, s), u, mx::transpose(a, s), 1, 1, s));
    } else if (argnum == 1) {
      results.push_back(Fused::vjp(primals, cotangents, {1}, outputs)[0]);
    } else {
      results.push_back(argnum == 2 ? mx::matmul(mx::transpose(x, s), u, s) : mx::matmul(mx::transpose(mx::matmul(x, a, s), s), g, s));
    }
  }
  return results;
}

// The same by single operations. Rows are one axis, so that no gradient of a factor is a sum over a batch; the scale is
// that of the smaller factor. GPUs have factors of the dtype of x.
mx::array composed_lora(const mx::array& input, const LinearLayer& layer, mx::Stream s) {
  auto shape = batch_of(input);
  shape.push_back(layer.weight.shape(0));
  auto x = mx::reshape(input, {-1, input.shape(-1)}, s);
  auto a = *layer.a, b = layer.scale == 1 ? *layer.b : mx::multiply(*layer.b, mx::array(layer.scale, layer.b->dtype()), s);
  if (s.device == mx::Device::gpu && !layer.scales) {
    Arrays inputs{x, layer.weight, mx::astype(a, x.dtype(), s), mx::astype(b, x.dtype(), s)};
    return mx::reshape(Fused::apply(std::make_shared<LowRankSum>(s), inputs)[0], shape, s);
  }
  auto sum = mx::add(weighted(x, layer, s), mlxffi::matmul(mlxffi::matmul(x, a, s), b, s), s);
  return mx::reshape(mx::astype(sum, x.dtype(), s), shape, s);
}

Narrow narrow_to(const mx::array& array) {
  return row_kernels().layers.narrow[static_cast<int>(element_of(array.dtype()))];
}

// The product of rows with a weight of any kind, or its transpose, plus one of low rank.
class WeightProduct {
 public:
  // `like`: rows of the dtype and, where that is half precision, what is multiplied.
  WeightProduct(const LinearLayer& layer, const mx::array& like) : rows_(like.shape(0)), dtype_(like.dtype()), narrow_(narrow_to(like)) {
    if (layer.scales) {
      packed_.emplace(layer.weight, *layer.scales, layer.biases, layer.packing);
    } else if (dtype_ == mx::float32) {
      weight_ = matrix_of(layer.weight);
    } else {
      left_.emplace(like);
      right_.emplace(layer.weight);
    }
    out_ = layer.weight.shape(0);
    in_ = layer.in();
  }
  // x weight^T, or x weight where it is `back`; x are the same rows in float32.
  void run(const float* x, bool back, const LowRank& part, void* to) const {
    if (packed_) {
      std::vector<Segment> every{{0, {0, rows_}}};
      PackedProduct{*packed_, !back, x, static_cast<char*>(to), dtype_, nullptr, &part, !back && rounds_rows()}.run(every);
    } else if (right_) {
      of_halves(back ? *right_ : right_->transposed(), part, static_cast<uint16_t*>(to));
    } else {
      of_floats(x, back, part, static_cast<float*>(to));
    }
  }

 private:
  void of_halves(const HalfMatrices& right, const LowRank& part, uint16_t* to) const {
    half_product(*left_, 0, right, 0, [&](Range rows, Range columns, float* sums, int64_t stride) {
      part.add(rows, columns, sums, stride);
      for (int64_t row = rows.begin; row < rows.end; row++, sums += stride) {
        narrow_(sums, to + row * right.columns() + columns.begin, columns.size(), 1);
      }
    });
  }
  void of_floats(const float* x, bool back, const LowRank& part, float* to) const {
    int64_t inner = back ? out_ : in_, outer = back ? in_ : out_;
    over_tiles(rows_, outer, [&](Range rows, Range columns) {
      float* sums = to + rows.begin * outer + columns.begin;
      auto side = back ? Side::as_is : Side::transposed;
      Matrix weight{weight_.data + columns.begin * (back ? 1 : weight_.stride), weight_.stride};
      product(rows.size(), columns.size(), inner, 1, {x + rows.begin * inner, inner}, Side::as_is, weight, side, 0, sums, outer);
      part.add(rows, columns, sums, outer);
    });
  }

  int64_t rows_, in_, out_;
  mx::Dtype dtype_;
  Narrow narrow_;
  std::optional<PackedMatrices> packed_;
  std::optional<HalfMatrices> left_, right_;
  Matrix weight_{nullptr, 0};
};

class Lora : public Fused {
 public:
  Lora(mx::Stream stream, LinearLayout layout) : Fused(stream), layout_(layout) {}

  bool is_equivalent(const Primitive& other) const override {
    return layout_ == static_cast<const Lora&>(other).layout_;
  }

 protected:
  LinearLayout layout_;
};

// x, the layer's arrays, cotangent, x a -> the gradients of a, b and, where it is wanted, x.
class LoraGradient : public Lora {
 public:
  LoraGradient(mx::Stream stream, LinearLayout layout, bool wants_x) : Lora(stream, layout), wants_x_(wants_x) {}

  const char* name() const override {
    return "FusedLoraGradient";
  }
  bool is_equivalent(const Primitive& other) const override {
    return Lora::is_equivalent(other) && wants_x_ == static_cast<const LoraGradient&>(other).wants_x_;
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    auto layer = layout_.layer(inputs);
    std::vector<mx::Shape> shapes{layer.a->shape(), layer.b->shape()};
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
    auto layer = layout_.layer(inputs);
    auto fun = [&](const Arrays& values) {
      auto changed = layer;
      changed.a = values[0];
      changed.b = values[1];
      return Arrays{composed_lora(values[2], changed, where())};
    };
    auto gradients = mx::vjp(fun, {*layer.a, *layer.b, inputs[0]}, {inputs[layout_.end()]}).second;
    return {gradients.begin(), gradients.begin() + (wants_x_ ? 3 : 2)};
  }

 private:
  bool wants_x_;
};

void LoraGradient::eval_cpu(const Arrays& inputs, Arrays& outputs) {
  for (auto& output : outputs) {
    allocate(output);
  }
  auto layer = layout_.layer(inputs);
  auto &cotangent = inputs[layout_.end()], &kept = inputs[layout_.end() + 1];
  auto a = matrix_of(*layer.a), b = matrix_of(*layer.b), low = matrix_of(kept);
  int64_t rows = inputs[0].shape(0), in = layer.a->shape(0), rank = layer.a->shape(1), out = layer.b->shape(1);
  auto to_a = outputs[0].data<float>(), to_b = outputs[1].data<float>();
  auto to_x = wants_x_ ? outputs[2].data<void>() : nullptr;
  WeightProduct weight(layer, cotangent);
  on_stream(stream(), [=, scale = layout_.scale, of_x = FloatRows(inputs[0]), of_g = FloatRows(cotangent)]() mutable {
    Matrix x{of_x.data(), in}, g{of_g.data(), out};
    std::vector<float> storage(rows * rank);
    Matrix u{storage.data(), rank};
    over_row_blocks(rows, [&](int64_t begin, int64_t end) {
      product(end - begin, rank, out, scale, rows_from(g, begin), Side::as_is, b, Side::transposed, 0, &storage[begin * rank], rank);
    });
    if (to_x) {
      weight.run(g.data, true, {u, a, Side::transposed, rank, 1}, to_x);
    }
    parallel_for(2, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        i == 0 ? product(in, rank, rows, 1, x, Side::transposed, u, Side::as_is, 0, to_a, rank)
               : product(rank, out, rows, scale, low, Side::transposed, g, Side::as_is, 0, to_b, out);
      }
    });
  });
}

// x [rows, in], the layer's arrays -> the sum, and x a for the gradient, in float32.
class LoraLinear : public Lora {
 public:
  using Lora::Lora;

  const char* name() const override {
    return "FusedLoraLinear";
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    auto layer = layout_.layer(inputs);
    int rows = inputs[0].shape(0);
    return {{rows, layer.weight.shape(0)}, {rows, layer.a->shape(1)}};
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override;
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& outputs) override {
    int of_a = layout_.end() - 2;
    if (std::any_of(argnums.begin(), argnums.end(), [&](int argnum) { return argnum > 0 && argnum < of_a; })) {
      return Fused::vjp(primals, {cotangents[0]}, argnums, outputs);
    }
    bool wants_x = std::find(argnums.begin(), argnums.end(), 0) != argnums.end();
    auto inputs = primals;
    inputs.insert(inputs.end(), {mx::contiguous(cotangents[0], false, where()), outputs[1]});
    auto gradients = apply(std::make_shared<LoraGradient>(where(), layout_, wants_x), inputs);
    Arrays results;
    for (int argnum : argnums) {
      results.push_back(gradients[argnum == 0 ? 2 : argnum - of_a]);
    }
    return results;
  }

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    return {inputs[0].dtype(), mx::float32};
  }
  Arrays composed(const Arrays& inputs) const override {
    return {composed_lora(inputs[0], layout_.layer(inputs), where())};
  }

 private:
  void few(const Arrays& inputs, Arrays& outputs);
};

// Rows that the weight is read once for, not copied to where the BLAS can read it often.
constexpr int64_t few_rows = 8;

void LoraLinear::few(const Arrays& inputs, Arrays& outputs) {
  auto layer = layout_.layer(inputs);
  int64_t rows = inputs[0].shape(0), out = layer.weight.shape(0);
  auto to = outputs[0].data<char>();
  auto low = outputs[1].data<float>();
  LinearRows weight(layer, inputs[0].dtype());
  on_stream(stream(), [=, narrow = narrow_to(inputs[0]), x = FloatRows(inputs[0])]() mutable {
    weight.prepare();
    std::vector<float> sums(rows * out);
    multiply(x.data(), rows, {{weight, sums.data(), low}});
    narrow(sums.data(), to, sums.size(), 1);
  });
}

void LoraLinear::eval_cpu(const Arrays& inputs, Arrays& outputs) {
  allocate(outputs[0]);
  allocate(outputs[1]);
  int64_t rows = inputs[0].shape(0);
  if (rows <= few_rows) {
    return few(inputs, outputs);
  }
  auto layer = layout_.layer(inputs);
  auto a = matrix_of(*layer.a), b = matrix_of(*layer.b);
  int64_t in = layer.a->shape(0), rank = layer.a->shape(1);
  auto to = outputs[0].data<void>();
  auto low = outputs[1].data<float>();
  WeightProduct weight(layer, inputs[0]);
  on_stream(stream(), [=, scale = layout_.scale, floats = FloatRows(inputs[0])]() mutable {
    Matrix x{floats.data(), in};
    over_row_blocks(rows, [&](int64_t begin, int64_t end) {
      product(end - begin, rank, in, 1, rows_from(x, begin), Side::as_is, a, Side::as_is, 0, low + begin * rank, rank);
    });
    weight.run(x.data, false, {{low, rank}, b, Side::as_is, rank, scale}, to);
  });
}

// x and a weight that is not packed of one dtype, a and b of float32.
bool is_fused(const mx::array& x, const LinearLayer& layer, mx::Stream s) {
  auto dtype = x.dtype();
  bool known = dtype == mx::float32 || dtype == mx::float16 || dtype == mx::bfloat16;
  bool dtypes = known && (layer.scales || layer.weight.dtype() == dtype) && layer.a->dtype() == mx::float32 && layer.b->dtype() == mx::float32;
  bool filled = x.size() > 0 && layer.weight.size() > 0 && layer.a->size() > 0 && layer.b->size() > 0;
  return dtypes && filled && has_kernels(s) && has_products();
}

} // namespace

mx::array lora_linear(const mx::array& x, const LinearLayer& layer, mx::Stream s) {
  if (!is_fused(x, layer, s)) {
    return composed_lora(x, layer, s);
  }
  auto dense = layer;
  dense.weight = mx::contiguous(layer.weight, false, s);
  dense.a = mx::contiguous(*layer.a, false, s);
  dense.b = mx::contiguous(*layer.b, false, s);
  Arrays inputs{mx::contiguous(mx::reshape(x, {-1, x.shape(-1)}, s), false, s)};
  LinearLayout layout(inputs, dense);
  auto shape = batch_of(x);
  shape.push_back(layer.weight.shape(0));
  return mx::reshape(Fused::apply(std::make_shared<LoraLinear>(s, layout), inputs)[0], shape, s);
}

} // namespace mlxffi
