// A linear layer, whatever its weight is: x weight^T + bias + scale (x a) b.
#pragma once

#include "fused.h"
#include "packing.h"
#include "right_matrix.h"

namespace mlxffi {

struct LinearLayer {
  // [out, in], or packed as mx::quantize does it, with scales and, in affine mode, biases.
  mx::array weight;
  std::optional<mx::array> scales, biases;
  Packing packing;
  // [out].
  std::optional<mx::array> bias;
  // [in, rank] and [rank, out], both or none.
  std::optional<mx::array> a, b;
  float scale;

  int in() const {
    return scales ? scales->shape(-1) * packing.group_size : weight.shape(1);
  }
};

// A layer less its arrays, which stand among the inputs of a node from `first` on: the weight, then scales, biases, bias,
// a and b where it has them.
struct LinearLayout {
  int first;
  bool packed, shifted, biased, adapted;
  Packing packing;
  float scale;

  // Adds the arrays of a layer to the inputs.
  LinearLayout(Arrays& inputs, const LinearLayer& layer);
  bool operator==(const LinearLayout&) const = default;
  LinearLayer layer(const Arrays& inputs) const;
  // The place behind its arrays.
  int end() const {
    return first + 1 + packed + shifted + biased + 2 * adapted;
  }
};

// By single operations: x weight^T, and all of the layer.
mx::array weighted(const mx::array& x, const LinearLayer& layer, mx::Stream s);
mx::array composed_linear(const mx::array& x, const LinearLayer& layer, mx::Stream s);

// A layer on a CPU, for a few rows of float32.
class LinearRows {
 public:
  // `dtype`: what the rows are in truth.
  LinearRows(const LinearLayer& layer, mx::Dtype dtype);
  // To be called before the others.
  void prepare();
  int64_t in() const {
    return in_;
  }
  int64_t out() const {
    return out_;
  }
  int64_t rank() const {
    return a_ ? a_->columns() : 0;
  }
  // x a: [rows, rank].
  void lower(const float* x, int64_t rows, float* low) const;
  // Some columns of the result.
  void columns(const float* x, const float* low, int64_t rows, Range columns, float* to, int64_t stride) const;

 private:
  int64_t in_, out_;
  std::optional<PackedMatrices> packed_;
  std::optional<RightMatrix> weight_, a_, b_;
  std::optional<FloatRows> bias_;
  const float* bias_row_ = nullptr;
  float scale_;
  RowKind kind_;
};

// What a layer makes of rows, [rows, out], and of them x a, [rows, rank], where the caller wants it.
struct LinearResult {
  const LinearRows& layer;
  float* to;
  float* low = nullptr;
};
// The results of several layers of the same rows, over all threads.
void multiply(const float* x, int64_t rows, const std::vector<LinearResult>& results);

} // namespace mlxffi
