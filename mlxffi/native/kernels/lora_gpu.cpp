#include "lora_gpu.h"

#include "gpu_layers.h"
#include "gpu_node.h"

namespace mlxffi::gpu {

namespace {

// A factor as [rank, features].
mx::array across(const mx::array& factor, bool last, mx::Stream s) {
  return last ? mx::transpose(factor, s) : factor;
}

mx::array wide(const mx::array& x, mx::Stream s) {
  return mx::astype(x, mx::float32, s);
}

class LowRankNode : public KernelNode {
 public:
  LowRankNode(mx::Stream s, LowRank factor) : KernelNode(s), factor_(factor) {}

  bool is_equivalent(const Primitive& other) const override {
    return factor_ == static_cast<const LowRankNode&>(other).factor_;
  }

 protected:
  LowRank factor_;
};

// x, factor -> scale x factor.
class Down : public LowRankNode {
 public:
  Down(mx::Stream s, LowRank factor, float scale) : LowRankNode(s, factor), scale_(scale) {}

  const char* name() const override {
    return "FusedLowRankDown";
  }
  bool is_equivalent(const Primitive& other) const override {
    return LowRankNode::is_equivalent(other) && scale_ == static_cast<const Down&>(other).scale_;
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    auto shape = batch_of(inputs[0]);
    shape.push_back(factor_.rank);
    return {shape};
  }

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays&) const override {
    return {mx::float32};
  }
  Arrays composed(const Arrays& inputs) const override {
    auto factor = mx::transpose(across(wide(inputs[1], where()), factor_.last, where()), where());
    return {mx::multiply(mx::matmul(wide(inputs[0], where()), factor, where()), mx::array(scale_), where())};
  }
  Node on_gpu(const Arrays& inputs) const override {
    return low_rank_down(inputs, factor_, scale_, where());
  }

 private:
  float scale_;
};

// y, low, factor -> y + low factor.
class Up : public LowRankNode {
 public:
  using LowRankNode::LowRankNode;

  const char* name() const override {
    return "FusedLowRankUp";
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    return {inputs[0].shape()};
  }

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    return {inputs[0].dtype()};
  }
  Arrays composed(const Arrays& inputs) const override {
    auto factor = across(wide(inputs[2], where()), factor_.last, where());
    auto sum = mx::add(wide(inputs[0], where()), mx::matmul(inputs[1], factor, where()), where());
    return {mx::astype(sum, inputs[0].dtype(), where())};
  }
  Node on_gpu(const Arrays& inputs) const override {
    return low_rank_up(inputs, factor_, where());
  }
};

// x, low -> x^T low.
class Outer : public LowRankNode {
 public:
  using LowRankNode::LowRankNode;

  const char* name() const override {
    return "FusedLowRankOuter";
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    int features = inputs[0].shape(-1);
    return {factor_.last ? mx::Shape{features, factor_.rank} : mx::Shape{factor_.rank, features}};
  }

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays&) const override {
    return {mx::float32};
  }
  Arrays composed(const Arrays& inputs) const override {
    auto product = mx::matmul(mx::transpose(inputs[1], where()), wide(inputs[0], where()), where());
    return {factor_.last ? mx::transpose(product, where()) : product};
  }
  Node on_gpu(const Arrays& inputs) const override {
    return low_rank_outer(inputs, factor_, where());
  }
};

template <class Operation, class... Options>
mx::array made(const Arrays& inputs, Options... options) {
  return Fused::apply(std::make_shared<Operation>(options...), inputs)[0];
}

} // namespace

bool takes_lora(const Arrays& inputs, mx::Stream s) {
  int rank = inputs[2].shape(1), out = inputs[1].shape(0);
  return takes_rows(inputs[0], s) && rank <= most_rank && out >= least;
}

Arrays lora_linear(const Arrays& inputs, float scale, mx::Stream s) {
  auto &x = inputs[0], &a = inputs[2], &b = inputs[3];
  int rank = a.shape(1);
  auto low = made<Down>({x, a}, s, LowRank{rank, true}, scale);
  auto y = mx::matmul(x, mx::transpose(inputs[1], s), s);
  return {made<Up>({y, low, b}, s, LowRank{rank, false}), low};
}

Arrays lora_gradients(const Arrays& inputs, float scale, bool wants_x, mx::Stream s) {
  auto &x = inputs[0], &a = inputs[2], &b = inputs[3], &cotangent = inputs[4], &low = inputs[5];
  LowRank last{a.shape(1), true}, first{a.shape(1), false};
  auto u = made<Down>({cotangent, b}, s, first, scale);
  Arrays gradients{made<Outer>({x, u}, s, last), made<Outer>({cotangent, low}, s, first)};
  if (wants_x) {
    auto y = mx::matmul(cotangent, inputs[1], s);
    // Whoever computes on from here finds the factors' gradients made, and what they are made of given back.
    gradients.push_back(mx::depends({made<Up>({y, u, a}, s, last)}, gradients)[0]);
  }
  return gradients;
}

} // namespace mlxffi::gpu
