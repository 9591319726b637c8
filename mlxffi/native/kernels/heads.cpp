#include "heads.h"

#include "composing.h"
#include "gpu.h"

namespace mlxffi {

namespace {

// On a GPU; elsewhere, it is the composed form. Inputs of both operations: x, cosines, sines, and the norms of queries and of keys where there are any.
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
  // So many heads from the `first` on, [n, count, D].
  mx::array some(const mx::array& x, int first, int count) const {
    int features = x.shape(1) / counts_.all();
    auto part = mx::slice(x, {0, first * features}, {x.shape(0), (first + count) * features}, where());
    return mx::reshape(part, {x.shape(0), count, features}, where());
  }
  mx::array turned(const mx::array& heads, const Arrays& inputs, int norm) const;
  Arrays prepared(const Arrays& inputs) const {
    auto [heads, key_heads] = counts_;
    auto q = turned(some(inputs[0], 0, heads), inputs, 3), k = turned(some(inputs[0], heads, key_heads), inputs, 4);
    return {q, k, some(inputs[0], heads + key_heads, key_heads)};
  }
  std::vector<mx::Shape> shapes_of(const Arrays& inputs) const {
    int rows = inputs[0].shape(0), features = inputs[0].shape(1) / counts_.all();
    return {{rows, counts_.heads, features}, {rows, counts_.key_heads, features}, {rows, counts_.key_heads, features}};
  }

  HeadCounts counts_;
  bool has_norms_;
  float eps_;
};

mx::array HeadOperation::turned(const mx::array& heads, const Arrays& inputs, int norm) const {
  auto s = where();
  auto dtype = sums_dtype(heads);
  int rows = heads.shape(0), count = heads.shape(1), half = heads.shape(2) / 2, positions = inputs[1].shape(0);
  auto x = mx::astype(heads, dtype, s);
  if (has_norms_) {
    x = mx::fast::rms_norm(x, mx::astype(inputs[norm], dtype, s), eps_, s);
  }
  x = mx::reshape(x, {rows / positions, positions, count, 2, half}, s);
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
    auto cotangents = inputs.end() - 3;
    auto fun = [&](const Arrays& values) { return prepared(replaced(inputs, {0}, values)); };
    return mx::vjp(fun, {inputs[0]}, {cotangents, inputs.end()}).second;
  }
  Arrays as_graph(const Arrays& inputs) const override {
    return {gpu::heads_backward(inputs, counts_, has_norms_, eps_, where())};
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
    auto norms = has_norms_ ? of_norms(primals, cotangents) : Arrays{};
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
    return {3, inputs[0].dtype()};
  }
  Arrays as_graph(const Arrays& inputs) const override {
    auto found = gpu::heads_forward(inputs, counts_, has_norms_, eps_, where());
    auto shapes = shapes_of(inputs);
    auto values = some(inputs[0], counts_.heads + counts_.key_heads, counts_.key_heads);
    return {mx::reshape(found[0], shapes[0], where()), mx::reshape(found[1], shapes[1], where()), values};
  }

 private:
  Arrays of_norms(const Arrays& primals, const Arrays& cotangents) const;
};

// The gradients of the norms' weights: the cotangents, turned back, times what the weights multiplied.
Arrays Heads::of_norms(const Arrays& primals, const Arrays& cotangents) const {
  auto s = where();
  auto& x = primals[0];
  Arrays inputs(primals.begin(), primals.begin() + 3);
  inputs.insert(inputs.end(), cotangents.begin(), cotangents.end());
  auto back = apply(std::make_shared<HeadsGradient>(s, counts_, false, eps_), inputs)[0];
  int features = x.shape(1) / counts_.all(), both = counts_.heads + counts_.key_heads;
  auto heads = [&](const mx::array& a) { return mx::reshape(a, {x.shape(0), counts_.all(), features}, s); };
  auto wide = [&](const mx::array& a) { return mx::astype(a, sums_dtype(x), s); };
  auto normed = mx::fast::rms_norm(heads(x), std::nullopt, eps_, s);
  auto sums = mx::sum(mx::multiply(wide(heads(back)), wide(normed), s), 0, false, s);
  auto of = [&](int begin, int end, const mx::array& weight) {
    return mx::astype(mx::sum(mx::slice(sums, {begin, 0}, {end, features}, s), 0, false, s), weight.dtype(), s);
  };
  return {of(0, counts_.heads, primals[3]), of(counts_.heads, both, primals[4])};
}

} // namespace

Arrays prepared_heads(
    const mx::array& x, HeadCounts counts, const HeadTurns& turns, const std::optional<std::pair<mx::array, mx::array>>& norms,
    float eps, mx::Stream s) {
  Arrays inputs{x, turns.cosines, turns.sines};
  if (norms) {
    inputs.insert(inputs.end(), {norms->first, norms->second});
  }
  auto heads = std::make_shared<Heads>(s, counts, norms.has_value(), eps);
  bool has_kernel = s.device == mx::Device::gpu && !Composing::active();
  return has_kernel ? Fused::apply(heads, inputs) : heads->composed(inputs);
}

} // namespace mlxffi
