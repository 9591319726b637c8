#include "heads.h"

#include "composing.h"
#include "gpu.h"

namespace mlxffi {

namespace {

// On a GPU; elsewhere, it is the composed form. Inputs of both operations: x, cosines, sines, and where there are any
// the norms of queries and of keys.
class HeadOperation : public Fused {
 public:
  HeadOperation(mx::Stream s, HeadCounts counts, bool has_norms, float eps) : Fused(s), counts_(counts), has_norms_(has_norms), eps_(eps) {}

  bool is_equivalent(const Primitive& other) const override {
    auto& heads = static_cast<const HeadOperation&>(other);
    return counts_ == heads.counts_ && has_norms_ == heads.has_norms_ && eps_ == heads.eps_;
  }

 protected:
  bool is_node() const override {
    return false;
  }
  // The shape of so many heads, [..., count, D], of x [..., features of all].
  mx::Shape shape_of(const mx::array& x, int count) const {
    auto shape = batch_of(x);
    shape.insert(shape.end(), {count, x.shape(-1) / counts_.all()});
    return shape;
  }
  // So many heads from the `first` on.
  mx::array some(const mx::array& x, int first, int count) const {
    int features = x.shape(-1) / counts_.all();
    mx::Shape begin(x.ndim(), 0), end = x.shape();
    begin.back() = first * features, end.back() = (first + count) * features;
    return mx::reshape(mx::slice(x, begin, end, where()), shape_of(x, count), where());
  }
  mx::array turned(const mx::array& heads, const Arrays& inputs, int norm) const;
  Arrays prepared(const Arrays& inputs) const {
    auto [heads, key_heads] = counts_;
    auto q = turned(some(inputs[0], 0, heads), inputs, 3);
    if (key_heads == 0) {
      return {q};
    }
    auto k = turned(some(inputs[0], heads, key_heads), inputs, 4);
    return {q, k, some(inputs[0], heads + key_heads, key_heads)};
  }
  std::vector<mx::Shape> shapes_of(const Arrays& inputs) const {
    std::vector<mx::Shape> shapes{shape_of(inputs[0], counts_.heads)};
    shapes.resize(outputs(), shape_of(inputs[0], counts_.key_heads));
    return shapes;
  }
  int outputs() const {
    return counts_.key_heads ? 3 : 1;
  }

  HeadCounts counts_;
  bool has_norms_;
  float eps_;
};

mx::array HeadOperation::turned(const mx::array& heads, const Arrays& inputs, int norm) const {
  auto s = where();
  auto dtype = sums_dtype(heads);
  int count = heads.shape(-2), half = heads.shape(-1) / 2, positions = inputs[1].shape(0);
  auto x = mx::astype(heads, dtype, s);
  if (has_norms_) {
    x = mx::fast::rms_norm(x, mx::astype(inputs[norm], dtype, s), eps_, s);
  }
  x = mx::reshape(x, {-1, positions, count, 2, half}, s);
  auto other = mx::take(x, mx::array({1, 0}), 3, s);
  auto cosines = mx::reshape(mx::astype(inputs[1], dtype, s), {positions, 1, 1, half}, s);
  auto sines = mx::reshape(mx::astype(inputs[2], dtype, s), {positions, 1, 2, half}, s);
  auto sum = mx::add(mx::multiply(x, cosines, s), mx::multiply(other, sines, s), s);
  return mx::astype(mx::reshape(sum, heads.shape(), s), heads.dtype(), s);
}

// The inputs, and the cotangents of queries, keys and values -> the gradient of x.
class HeadsGradient : public HeadOperation {
 public:
  using HeadOperation::HeadOperation;

  const char* name() const override {
    return "FusedHeadsGradient";
  }

 protected:
  Arrays composed(const Arrays& inputs) const override {
    auto cotangents = inputs.end() - outputs();
    auto fun = [&](const Arrays& values) { return prepared(replaced(inputs, {0}, values)); };
    return mx::vjp(fun, {inputs[0]}, {cotangents, inputs.end()}).second;
  }
  Arrays as_graph(const Arrays& inputs) const override {
    return {gpu::heads_backward(inputs, counts_, has_norms_, eps_, where())};
  }
};

// The same inputs -> the gradients of norms' weights, in the dtype of sums [kinds, D].
class NormsGradient : public HeadOperation {
 public:
  using HeadOperation::HeadOperation;

  const char* name() const override {
    return "FusedNormsGradient";
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    return {{counts_.kinds(), inputs[0].shape(-1) / counts_.all()}};
  }

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    return {sums_dtype(inputs[0])};
  }
  Arrays composed(const Arrays& inputs) const override {
    std::vector<int> norms{3, 4};
    norms.resize(counts_.kinds());
    auto fun = [&](const Arrays& values) { return prepared(replaced(inputs, norms, values)); };
    auto found = mx::vjp(fun, chosen(inputs, norms), {inputs.end() - outputs(), inputs.end()}).second;
    return {mx::astype(mx::stack(found, 0, where()), sums_dtype(inputs[0]), where())};
  }
  Arrays as_graph(const Arrays& inputs) const override {
    bool has_kernel = gpu::has_heads_norms(inputs[0].shape(-1) / counts_.all());
    return has_kernel ? Arrays{gpu::heads_norms(inputs, counts_, eps_, where())} : composed(inputs);
  }
};

class Heads : public HeadOperation {
 public:
  using HeadOperation::HeadOperation;

  const char* name() const override {
    return "FusedHeads";
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    return shapes_of(inputs);
  }
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& outputs) override {
    auto inputs = primals;
    inputs.insert(inputs.end(), cotangents.begin(), cotangents.end());
    auto of_x = apply(std::make_shared<HeadsGradient>(where(), counts_, has_norms_, eps_), inputs)[0];
    auto norms = has_norms_ ? of_norms(inputs) : Arrays{};
    Arrays results;
    for (int argnum : argnums) {
      results.push_back(argnum == 0 ? of_x : argnum < 3 ? Fused::vjp(primals, cotangents, {argnum}, outputs)[0] : norms[argnum - 3]);
    }
    return results;
  }
  Arrays composed(const Arrays& inputs) const override {
    return prepared(inputs);
  }

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    return std::vector<mx::Dtype>(outputs(), inputs[0].dtype());
  }
  Arrays as_graph(const Arrays& inputs) const override {
    auto found = gpu::heads_forward(inputs, counts_, has_norms_, eps_, where());
    if (counts_.key_heads) {
      found.push_back(some(inputs[0], counts_.heads + counts_.key_heads, counts_.key_heads));
    }
    return found;
  }

 private:
  Arrays of_norms(const Arrays& inputs) const;
};

Arrays Heads::of_norms(const Arrays& inputs) const {
  auto s = where();
  Arrays found;
  auto sums = mx::astype(apply(std::make_shared<NormsGradient>(s, counts_, true, eps_), inputs)[0], inputs[3].dtype(), s);
  for (auto& sum : mx::split(sums, counts_.kinds(), 0, s)) {
    found.push_back(mx::squeeze(sum, 0, s));
  }
  return found;
}

} // namespace

Arrays prepared_heads(const mx::array& x, HeadCounts counts, const HeadTurns& turns, const Arrays& norms, float eps, mx::Stream s) {
  Arrays inputs{x, turns.cosines, turns.sines};
  inputs.insert(inputs.end(), norms.begin(), norms.end());
  auto heads = std::make_shared<Heads>(s, counts, !norms.empty(), eps);
  bool has_kernel = s.device == mx::Device::gpu && !Composing::active();
  return has_kernel ? Fused::apply(heads, inputs) : heads->composed(inputs);
}

} // namespace mlxffi
