#include "linear_layer.h"

#include "aligned.h"
#include "half_products.h"
#include "packed_matmul.h"

namespace mlxffi {

namespace {

// Columns that are worked on at once, and multiplications that are worth a thread.
constexpr int64_t column_block = 128, least_work = 262144;

void accumulate(const float* from, int64_t from_stride, float* to, int64_t stride, int64_t rows, int64_t size, float factor) {
  for (int64_t i = 0; i < rows; i++) {
    row_kernels().layers.accumulate(from + i * from_stride, to + i * stride, size, factor);
  }
}

mx::array low_rank(const mx::array& x, const LinearLayer& layer, mx::Stream s) {
  auto b = mx::multiply(*layer.b, mx::array(layer.scale, layer.b->dtype()), s);
  return mlxffi::matmul(mlxffi::matmul(x, *layer.a, s), b, s);
}

} // namespace

LinearLayout::LinearLayout(Arrays& inputs, const LinearLayer& layer)
    : first(inputs.size()),
      packed(layer.scales.has_value()),
      shifted(layer.biases.has_value()),
      biased(layer.bias.has_value()),
      adapted(layer.a.has_value()),
      packing(layer.packing),
      scale(layer.scale) {
  inputs.push_back(layer.weight);
  for (auto& part : {layer.scales, layer.biases, layer.bias, layer.a, layer.b}) {
    if (part) {
      inputs.push_back(*part);
    }
  }
}

LinearLayer LinearLayout::layer(const Arrays& inputs) const {
  int place = first + 1;
  auto next = [&](bool there) { return there ? std::optional(inputs[place++]) : std::nullopt; };
  LinearLayer result{inputs[first], next(packed), next(shifted), packing, next(biased), next(adapted), next(adapted), scale};
  return result;
}

mx::array weighted(const mx::array& x, const LinearLayer& layer, mx::Stream s) {
  auto& packing = layer.packing;
  if (!layer.scales) {
    return mlxffi::matmul(x, mx::transpose(layer.weight, s), s);
  }
  return mlxffi::quantized_matmul(x, layer.weight, *layer.scales, layer.biases, true, packing.group_size, packing.bits, packing.name(), s);
}

mx::array composed_linear(const mx::array& x, const LinearLayer& layer, mx::Stream s) {
  auto y = weighted(x, layer, s);
  y = layer.a ? mx::add(y, low_rank(x, layer, s), s) : y;
  return mx::astype(layer.bias ? mx::add(y, *layer.bias, s) : y, x.dtype(), s);
}

LinearRows::LinearRows(const LinearLayer& layer, mx::Dtype dtype)
    : in_(layer.in()), out_(layer.weight.shape(0)), scale_(layer.scale), kind_{dtype == mx::bfloat16, layer.scales && rounds_rows()} {
  if (layer.scales) {
    packed_.emplace(layer.weight, *layer.scales, layer.biases, layer.packing);
  } else {
    weight_.emplace(layer.weight, true);
  }
  if (layer.a) {
    a_.emplace(*layer.a);
    b_.emplace(*layer.b);
  }
  if (layer.bias) {
    bias_.emplace(*layer.bias);
  }
}

void LinearRows::prepare() {
  for (auto part : {&weight_, &a_, &b_}) {
    if (*part) {
      (*part)->prepare();
    }
  }
  bias_row_ = bias_ ? bias_->data() : nullptr;
}

void LinearRows::lower(const float* x, int64_t rows, float* low) const {
  a_->multiply(x, rows, 0, rank(), low, rank());
}

void LinearRows::columns(const float* x, const float* low, int64_t rows, Range columns, float* to, int64_t stride) const {
  int64_t size = columns.size();
  if (packed_) {
    packed_->dots(0, columns, {x, in_, rows}, kind_, to, stride);
  } else {
    weight_->multiply(x, rows, columns.begin, size, to, stride);
  }
  if (b_) {
    thread_local AlignedFloats memory;
    auto part = memory.get(rows * size);
    b_->multiply(low, rows, columns.begin, size, part, size);
    accumulate(part, size, to, stride, rows, size, scale_);
  }
  if (bias_row_) {
    accumulate(bias_row_ + columns.begin, 0, to, stride, rows, size, 1);
  }
}

void multiply(const float* x, int64_t rows, const std::vector<LinearResult>& results) {
  struct Part {
    const LinearResult& result;
    const float* low;
    Range columns;
  };
  std::vector<Part> parts;
  std::vector<std::vector<float>> lows(results.size());
  int64_t work = 0;
  for (size_t i = 0; i < results.size(); i++) {
    auto& result = results[i];
    lows[i].resize(rows * result.layer.rank());
    auto low = result.low ? result.low : lows[i].data();
    if (result.layer.rank()) {
      result.layer.lower(x, rows, low);
    }
    work += rows * result.layer.in() * result.layer.out();
    in_parts(result.layer.out(), column_block, [&](Range columns) { parts.push_back({result, low, columns}); });
  }
  int64_t count = parts.size();
  parallel_for(count, work < least_work ? count : 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      auto& [result, low, columns] = parts[i];
      result.layer.columns(x, low, rows, columns, result.to + columns.begin, result.layer.out());
    }
  });
}

} // namespace mlxffi
