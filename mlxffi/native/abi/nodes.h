// Nodes of element-wise operations on operands that need neither a promotion nor a broadcast. MLX asks for both and makes
// lists of what they give, which takes as long as making the node; here the node is made like one that MLX has made before.
#pragma once

#include <array>

#include "convert.h"
#include "mlx/primitives.h"

namespace mlxc {

// What MLX made of operands of one dtype on one stream, where it took them as they were.
class Pattern {
 public:
  bool fits(mx::StreamOrDevice s) const {
    return primitive_ && primitive_->stream() == mx::to_stream(s);
  }
  mx::array node(Arrays inputs) const;
  mx::array learned(mx::array made, const Arrays& inputs);

 private:
  std::shared_ptr<mx::Primitive> primitive_;
  mx::Dtype dtype_ = mx::bool_;
};

// Those of an operation, by the dtype of the operands.
struct Patterns {
  ~Patterns();
  std::array<Pattern, 16> of_dtypes;
};

using Unary = mx::array(const mx::array&, mx::StreamOrDevice);
using Binary = mx::array(const mx::array&, const mx::array&, mx::StreamOrDevice);

mx::array mapped(Patterns& patterns, Unary* general, const mx::array& a, mx::StreamOrDevice s);
mx::array joined(Patterns& patterns, Binary* general, const mx::array& a, const mx::array& b, mx::StreamOrDevice s);

// What `general` gives. A thread has patterns of its own: it would wait for others that count references to a primitive.
template <Unary general>
mx::array mapped(const mx::array& a, mx::StreamOrDevice s) {
  thread_local Patterns patterns;
  return mapped(patterns, general, a, s);
}

template <Binary general>
mx::array joined(const mx::array& a, const mx::array& b, mx::StreamOrDevice s) {
  thread_local Patterns patterns;
  return joined(patterns, general, a, b, s);
}

} // namespace mlxc
