// With g the cotangents and u = scale g b^T of each layer: dx = sum of g weight + u a^T, da = x^T u, db = low^T g.
#include "lora_gpu.h"

#include "gpu_layers.h"
#include "gpu_node.h"

namespace mlxffi::gpu {

namespace {

mx::array wide(const mx::array& x, mx::Stream s) {
  return mx::astype(x, mx::float32, s);
}

Arrays part(const Arrays& arrays, int from, int count) {
  return {arrays.begin() + from, arrays.begin() + from + count};
}

Arrays operator+(Arrays arrays, const Arrays& more) {
  arrays.insert(arrays.end(), more.begin(), more.end());
  return arrays;
}

class LowRankNode : public KernelNode {
 public:
  LowRankNode(mx::Stream s, LowRank factors) : KernelNode(s), factors_(factors) {}

  bool is_equivalent(const Primitive& other) const override {
    return factors_ == static_cast<const LowRankNode&>(other).factors_;
  }

 protected:
  int items() const {
    return factors_.each ? factors_.count : 1;
  }
  // The x that a factor is for.
  mx::array input(const Arrays& inputs, int i) const {
    return wide(inputs[factors_.each ? i : 0], where());
  }
  // A factor as [features, rank].
  mx::array factor(const Arrays& inputs, int i) const {
    auto found = wide(inputs[inputs.size() - factors_.count + i], where());
    return factors_.last ? found : mx::transpose(found, where());
  }
  mx::array low(const mx::array& all, int i) const {
    int rank = factors_.rank;
    return mx::slice(all, {0, i * rank}, {all.shape(0), (i + 1) * rank}, where());
  }

  LowRank factors_;
};

// x..., factors... -> scale x factor of each, one behind the other.
class Down : public LowRankNode {
 public:
  Down(mx::Stream s, LowRank factors, float scale) : LowRankNode(s, factors), scale_(scale) {}

  const char* name() const override {
    return "FusedLowRankDown";
  }
  bool is_equivalent(const Primitive& other) const override {
    return LowRankNode::is_equivalent(other) && scale_ == static_cast<const Down&>(other).scale_;
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    return {{inputs[0].shape(0), factors_.rank * factors_.count}};
  }

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays&) const override {
    return {mx::float32};
  }
  Arrays composed(const Arrays& inputs) const override {
    Arrays parts;
    for (int i = 0; i < factors_.count; i++) {
      parts.push_back(mx::matmul(input(inputs, i), factor(inputs, i), where()));
    }
    return {mx::multiply(mx::concatenate(parts, 1, where()), mx::array(scale_), where())};
  }
  Node on_gpu(const Arrays& inputs) const override {
    return low_rank_down(inputs, factors_, scale_, where());
  }

 private:
  float scale_;
};

// y..., low, factors... -> y + low factor for each y; for one, with all factors.
class Up : public LowRankNode {
 public:
  using LowRankNode::LowRankNode;

  const char* name() const override {
    return "FusedLowRankUp";
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    std::vector<mx::Shape> shapes;
    for (int i = 0; i < items(); i++) {
      shapes.push_back(inputs[i].shape());
    }
    return shapes;
  }

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    return std::vector<mx::Dtype>(items(), inputs[0].dtype());
  }
  Arrays composed(const Arrays& inputs) const override {
    Arrays sums;
    for (int i = 0; i < items(); i++) {
      sums.push_back(input(inputs, i));
    }
    for (int i = 0; i < factors_.count; i++) {
      auto& sum = sums[factors_.each ? i : 0];
      auto product = mx::matmul(low(inputs[items()], i), mx::transpose(factor(inputs, i), where()), where());
      sum.overwrite_descriptor(mx::add(sum, product, where()));
    }
    for (auto& sum : sums) {
      sum.overwrite_descriptor(mx::astype(sum, inputs[0].dtype(), where()));
    }
    return sums;
  }
  Node on_gpu(const Arrays& inputs) const override {
    return low_rank_up(inputs, factors_, where());
  }
};

// x..., low -> x^T low of some rows for all factors, as they lie, one behind the other: [parts, ...].
class Outer : public LowRankNode {
 public:
  using LowRankNode::LowRankNode;

  const char* name() const override {
    return "FusedLowRankOuter";
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    int size = 0;
    for (int i = 0; i < factors_.count; i++) {
      size += inputs[factors_.each ? i : 0].shape(-1) * factors_.rank;
    }
    return {{outer_parts(inputs[0]), size}};
  }

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays&) const override {
    return {mx::float32};
  }
  // All rows are in the first part.
  Arrays composed(const Arrays& inputs) const override {
    Arrays products;
    for (int i = 0; i < factors_.count; i++) {
      auto product = mx::matmul(mx::transpose(low(inputs.back(), i), where()), input(inputs, i), where());
      products.push_back(mx::flatten(factors_.last ? mx::transpose(product, where()) : product, where()));
    }
    auto whole = mx::expand_dims(mx::concatenate(products, where()), 0, where());
    return {mx::pad(whole, {{0, outer_parts(inputs[0]) - 1}, {0, 0}}, mx::array(0.0f), "constant", where())};
  }
  Node on_gpu(const Arrays& inputs) const override {
    return low_rank_outer(inputs, factors_, where());
  }
};

// Inputs begin with x, then weights, a and b of each layer.
class Loras : public Fused {
 public:
  Loras(mx::Stream s, float scale, int rank, int count) : Fused(s), scale_(scale), rank_(rank), count_(count) {}

 protected:
  bool is_node() const override {
    return false;
  }
  Arrays weights(const Arrays& inputs) const {
    return part(inputs, 1, count_);
  }
  Arrays downs(const Arrays& inputs) const {
    return part(inputs, 1 + count_, count_);
  }
  Arrays ups(const Arrays& inputs) const {
    return part(inputs, 1 + 2 * count_, count_);
  }
  // Factors of one x, and factors of several.
  LowRank of_one() const {
    return {rank_, count_, true, false};
  }
  LowRank of_each() const {
    return {rank_, count_, false, count_ > 1};
  }
  Arrays down(const Arrays& inputs, LowRank factors) const {
    return apply(std::make_shared<Down>(where(), factors, scale_), inputs);
  }
  // x^T low for each factor.
  Arrays outer(const Arrays& inputs, LowRank factors) const {
    auto parts = apply(std::make_shared<Outer>(where(), factors), inputs)[0];
    auto all = mx::sum(parts, 0, false, where());
    Arrays gradients;
    for (int i = 0, begin = 0; i < count_; i++) {
      int features = inputs[factors.each ? i : 0].shape(-1), size = features * rank_;
      auto shape = factors.last ? mx::Shape{features, rank_} : mx::Shape{rank_, features};
      gradients.push_back(mx::reshape(mx::slice(all, {begin}, {begin + size}, where()), shape, where()));
      begin += size;
    }
    return gradients;
  }
  // The layers' results by single operations.
  Arrays plain(const Arrays& inputs) const {
    Arrays results;
    for (int i = 0; i < count_; i++) {
      results.push_back(composed_lora({inputs[0], weights(inputs)[i], downs(inputs)[i], ups(inputs)[i]}, scale_, where()));
    }
    return results;
  }

  float scale_;
  int rank_, count_;
};

// ..., cotangents, low -> the gradients of a..., of b..., of x.
class LorasGradient : public Loras {
 public:
  using Loras::Loras;

  const char* name() const override {
    return "FusedLorasGradient";
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    std::vector<mx::Shape> shapes;
    for (auto& factor : downs(inputs) + ups(inputs)) {
      shapes.push_back(factor.shape());
    }
    shapes.push_back(inputs[0].shape());
    return shapes;
  }

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    std::vector<mx::Dtype> dtypes(2 * count_, mx::float32);
    dtypes.push_back(inputs[0].dtype());
    return dtypes;
  }
  Arrays cotangents(const Arrays& inputs) const {
    return part(inputs, 1 + 3 * count_, count_);
  }
  Arrays composed(const Arrays& inputs) const override {
    auto fun = [&](const Arrays& values) {
      return plain(Arrays{values.back()} + weights(inputs) + part(values, 0, 2 * count_));
    };
    return mx::vjp(fun, downs(inputs) + ups(inputs) + Arrays{inputs[0]}, cotangents(inputs)).second;
  }
  Arrays as_graph(const Arrays& inputs) const override {
    auto given = cotangents(inputs), matrices = weights(inputs);
    auto u = down(given + ups(inputs), of_each());
    auto gradients = outer(Arrays{inputs[0]} + u, of_one()) + outer(given + Arrays{inputs.back()}, of_each());
    auto sum = mx::matmul(given[0], matrices[0], where());
    for (int i = 1; i < count_; i++) {
      sum = mx::addmm(sum, given[i], matrices[i], 1, 1, where());
    }
    auto of_x = apply(std::make_shared<Up>(where(), of_one()), Arrays{sum} + u + downs(inputs));
    // Whoever computes on from here finds the factors' gradients made, and what they are made of given back.
    gradients.push_back(mx::depends(of_x, gradients)[0]);
    return gradients;
  }
};

// x, weights, a, b -> the results, and scale x a of all layers for the gradient.
class LorasForward : public Loras {
 public:
  using Loras::Loras;

  const char* name() const override {
    return "FusedLoras";
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    std::vector<mx::Shape> shapes;
    for (auto& weight : weights(inputs)) {
      shapes.push_back({inputs[0].shape(0), weight.shape(0)});
    }
    shapes.push_back({inputs[0].shape(0), rank_ * count_});
    return shapes;
  }
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& outputs) override {
    auto given = part(cotangents, 0, count_);
    auto inputs = primals + given + Arrays{outputs.back()};
    auto gradients = apply(std::make_shared<LorasGradient>(where(), scale_, rank_, count_), inputs);
    Arrays results;
    for (int argnum : argnums) {
      if (argnum == 0) {
        results.push_back(gradients.back());
      } else if (argnum <= count_) {
        results.push_back(mx::matmul(mx::transpose(given[argnum - 1], where()), primals[0], where()));
      } else {
        results.push_back(gradients[argnum - 1 - count_]);
      }
    }
    return results;
  }

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    std::vector<mx::Dtype> dtypes(count_, inputs[0].dtype());
    dtypes.push_back(mx::float32);
    return dtypes;
  }
  Arrays composed(const Arrays& inputs) const override {
    return plain(inputs);
  }
  Arrays as_graph(const Arrays& inputs) const override {
    auto low = down(Arrays{inputs[0]} + downs(inputs), of_one());
    Arrays products;
    for (auto& weight : weights(inputs)) {
      products.push_back(mx::matmul(inputs[0], mx::transpose(weight, where()), where()));
    }
    return apply(std::make_shared<Up>(where(), of_each()), products + low + ups(inputs)) + low;
  }
};

} // namespace

bool takes_loras(const mx::array& x, const LoraLayers& layers, mx::Stream s) {
  int rank = layers.a[0].shape(1), count = static_cast<int>(layers.a.size());
  bool fits = takes_rows(x, s) && rank > 0 && rank * count <= most_rank;
  for (int i = 0; i < count; i++) {
    auto &weight = layers.weights[i], &a = layers.a[i], &b = layers.b[i];
    bool dtypes = weight.dtype() == x.dtype() && a.dtype() == mx::float32 && b.dtype() == mx::float32;
    fits = fits && dtypes && a.shape(1) == rank && weight.shape(0) >= least;
  }
  return fits;
}

Arrays lora_linears(const mx::array& x, const LoraLayers& layers, float scale, mx::Stream s) {
  int rank = layers.a[0].shape(1), count = static_cast<int>(layers.a.size());
  auto inputs = Arrays{x} + layers.weights + layers.a + layers.b;
  return part(Fused::apply(std::make_shared<LorasForward>(s, scale, rank, count), inputs), 0, count);
}

} // namespace mlxffi::gpu
