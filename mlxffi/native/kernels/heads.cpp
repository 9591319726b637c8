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

// The inputs, and the cotangents of queries, keys and values -> the gradient of x and, where there are norms, parts of which the
// sum is the gradients of their weights, in the dtype of sums [parts, kinds, D].
class HeadsGradients : public HeadOperation {
 public:
  using HeadOperation::HeadOperation;

  const char* name() const override {
    return "FusedHeadsGradients";
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    std::vector<mx::Shape> shapes{inputs[0].shape()};
    if (has_norms_) {
      shapes.push_back({gpu::heads_parts(inputs[0], counts_), counts_.kinds(), inputs[0].shape(-1) / counts_.all()});
    }
    return shapes;
  }

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    std::vector<mx::Dtype> dtypes{inputs[0].dtype(), sums_dtype(inputs[0])};
    dtypes.resize(1 + has_norms_, mx::float32);
    return dtypes;
  }
  Arrays composed(const Arrays& inputs) const override;
  Arrays as_graph(const Arrays& inputs) const override {
    return gpu::heads_backward(inputs, counts_, has_norms_, eps_, where());
  }
};

// All of a norm's gradient is in the first of its parts.
Arrays HeadsGradients::composed(const Arrays& inputs) const {
  auto s = where();
  std::vector<int> places{0, 3, 4};
  places.resize(1 + (has_norms_ ? counts_.kinds() : 0));
  auto fun = [&](const Arrays& values) { return prepared(replaced(inputs, places, values)); };
  auto found = mx::vjp(fun, chosen(inputs, places), {inputs.end() - outputs(), inputs.end()}).second;
  if (!has_norms_) {
    return found;
  }
  auto norms = mx::astype(mx::stack({found.begin() + 1, found.end()}, 0, s), sums_dtype(inputs[0]), s);
  int others = gpu::heads_parts(inputs[0], counts_) - 1;
  auto zero = mx::array(0, norms.dtype());
  return {found[0], mx::pad(mx::expand_dims(norms, 0, s), {{0, others}, {0, 0}, {0, 0}}, zero, "constant", s)};
}

// Parts [n, ...] -> their sum, in a dtype.
class PartsSum : public Fused {
 public:
  PartsSum(mx::Stream s, mx::Dtype dtype) : Fused(s), dtype_(dtype) {}

  const char* name() const override {
    return "FusedPartsSum";
  }
  bool is_equivalent(const Primitive& other) const override {
    return dtype_ == static_cast<const PartsSum&>(other).dtype_;
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    return {{inputs[0].shape().begin() + 1, inputs[0].shape().end()}};
  }

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays&) const override {
    return {dtype_};
  }
  bool is_node() const override {
    return false;
  }
  Arrays composed(const Arrays& inputs) const override {
    return {mx::astype(mx::sum(inputs[0], 0, false, where()), dtype_, where())};
  }
  Arrays as_graph(const Arrays& inputs) const override {
    auto sums = gpu::column_sums(mx::flatten(inputs[0], 1, -1, where()), dtype_, where());
    return {mx::reshape(sums, {inputs[0].shape().begin() + 1, inputs[0].shape().end()}, where())};
  }

 private:
  mx::Dtype dtype_;
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
    auto gradients = apply(std::make_shared<HeadsGradients>(where(), counts_, has_norms_, eps_), inputs);
    auto norms = has_norms_ ? of_norms(gradients[1], inputs[3].dtype()) : Arrays{};
    Arrays results;
    for (int argnum : argnums) {
      results.push_back(
          argnum == 0 ? gradients[0] : argnum < 3 ? Fused::vjp(primals, cotangents, {argnum}, outputs)[0] : norms[argnum - 3]);
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
  // The gradients of the norms of each kind, by the parts of them all.
  Arrays of_norms(const mx::array& parts, mx::Dtype dtype) const {
    auto s = where();
    Arrays found;
    for (auto& sum : mx::split(apply(std::make_shared<PartsSum>(s, dtype), {parts})[0], counts_.kinds(), 0, s)) {
      found.push_back(mx::squeeze(sum, 0, s));
    }
    return found;
  }
};

} // namespace

Arrays prepared_heads(const mx::array& x, HeadCounts counts, const HeadTurns& turns, const Arrays& norms, float eps, mx::Stream s) {
  Arrays inputs{x, turns.cosines, turns.sines};
  inputs.insert(inputs.end(), norms.begin(), norms.end());
  auto heads = std::make_shared<Heads>(s, counts, !norms.empty(), eps);
  bool has_kernel = s.device == mx::Device::gpu && !Composing::active() && gpu::has_heads(x.shape(-1) / counts.all());
  return has_kernel ? Fused::apply(heads, inputs) : heads->composed(inputs);
}

} // namespace mlxffi
