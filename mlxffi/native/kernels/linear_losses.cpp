// A row's gradient is its cotangent times what it is for a cotangent of 1. So where a gradient will be asked for, each
// chunk gives its losses and, from the same logits, the gradient of its hidden states, which later is only scaled.
// Weights get theirs from logits that are made again.
#include "linear_losses.h"

#include <numeric>

#include "cross_entropy.h"
#include "divergence.h"
#include "half_products.h"

namespace mlxffi {

namespace {

// What the logits of a chunk may take, in bytes: enough rows for the products to run at full speed.
constexpr int64_t chunk_on_cpu = int64_t(64) << 20, chunk_as_graph = int64_t(256) << 20;
constexpr int64_t fewest_rows = 128;

// A head without its arrays, which stand among the inputs of a node: hidden, weight, then scales, biases and bias where
// there are any.
struct Layout {
  bool packed, shifted, biased;
  int group_size, bits;
  std::string mode;
  double soft_cap;

  int size() const {
    return 2 + packed + shifted + biased;
  }
};

Layout layout_of(const Head& head) {
  return {head.scales.has_value(), head.biases.has_value(), head.bias.has_value(), head.group_size, head.bits, head.mode, head.soft_cap};
}

void append(Arrays& inputs, const mx::array& hidden, const Head& head, mx::Stream s) {
  auto dtype = mx::promote_types(hidden.dtype(), (head.scales ? *head.scales : head.weight).dtype());
  inputs.push_back(mx::astype(mx::reshape(hidden, {-1, hidden.shape(-1)}, s), dtype, s));
  inputs.push_back(head.scales ? head.weight : mx::astype(head.weight, dtype, s));
  for (auto& part : {head.scales, head.biases, head.bias}) {
    if (part) {
      inputs.push_back(*part);
    }
  }
}

// The logits of the head whose hidden states are inputs[first].
mx::array logits_of(const Arrays& inputs, int first, const Layout& head, mx::Stream s) {
  auto& hidden = inputs[first];
  int next = first + 2;
  auto product = [&] {
    if (!head.packed) {
      return mlxffi::matmul(hidden, mx::transpose(inputs[first + 1], s), s);
    }
    auto scales = mx::stop_gradient(inputs[next++], s);
    auto biases = head.shifted ? std::optional(mx::stop_gradient(inputs[next++], s)) : std::nullopt;
    return mx::quantized_matmul(hidden, inputs[first + 1], scales, biases, true, head.group_size, head.bits, head.mode, s);
  };
  auto logits = product();
  if (head.biased) {
    logits = mx::add(logits, mx::astype(inputs[next], logits.dtype(), s), s);
  }
  if (head.soft_cap) {
    auto cap = mx::array(head.soft_cap, logits.dtype());
    logits = mx::multiply(cap, mx::tanh(mx::divide(logits, cap, s), s), s);
  }
  return logits;
}

mx::array column(const mx::array& rows, mx::Stream s) {
  return mx::expand_dims(rows, -1, s);
}

// log(sum(exp(logits))) of each row, by the largest logit, which cross-entropy is stable at.
mx::array log_sums(const mx::array& logits, mx::Stream s) {
  auto largest = mx::stop_gradient(mx::argmax(logits, -1, false, s), s);
  auto top = mx::squeeze(mx::take_along_axis(logits, column(largest, s), -1, s), -1, s);
  return mx::add(cross_entropy(logits, largest, {0, {}}, s), mx::astype(top, sums_dtype(logits), s), s);
}

// Where rows have `cotangent` 0 their gradient is 0, whatever it would be for 1.
mx::array scaled(const mx::array& gradient, const mx::array& cotangent, mx::Stream s) {
  auto factor = column(cotangent, s);
  auto product = mx::astype(mx::multiply(mx::astype(gradient, factor.dtype(), s), factor, s), gradient.dtype(), s);
  return mx::where(mx::equal(factor, mx::array(0, factor.dtype()), s), mx::array(0, gradient.dtype()), product, s);
}

mx::array joined(const Arrays& chunks, mx::Stream s) {
  return chunks.size() == 1 ? chunks[0] : mx::concatenate(chunks, 0, s);
}

// The rows of a mapped array one after the other, in the order of the map; one that is not mapped once for each.
mx::array with_rows_of(const mx::array& input, int axis, int size, mx::Stream s) {
  auto mapped = axis >= 0 ? mx::moveaxis(input, axis, 0, s) : mx::repeat(mx::expand_dims(input, 0, s), size, 0, s);
  return mx::flatten(mapped, 0, 1, s);
}

// The inputs with those at `places` replaced.
Arrays with(Arrays inputs, const std::vector<int>& places, const Arrays& values) {
  for (size_t i = 0; i < places.size(); i++) {
    inputs[places[i]] = values[i];
  }
  return inputs;
}

Arrays at(const Arrays& inputs, const std::vector<int>& places) {
  Arrays result;
  for (int place : places) {
    result.push_back(inputs[place]);
  }
  return result;
}

// Inputs: those of each head one after the other, then what else the loss takes for each row. Outputs: the losses, and
// the gradients that are kept.
class LinearLoss : public Fused, public std::enable_shared_from_this<LinearLoss> {
 public:
  LinearLoss(mx::Stream s, std::vector<Layout> heads, bool keeps) : Fused(s), heads_(std::move(heads)), keeps_(keeps) {}

  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    std::vector<mx::Shape> shapes{{inputs[0].shape(0)}};
    for (int place : kept()) {
      shapes.push_back(inputs[place].shape());
    }
    return shapes;
  }
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& outputs) override;
  std::pair<Arrays, std::vector<int>> vmap(const Arrays& inputs, const std::vector<int>& axes) override;
  Arrays composed(const Arrays& inputs) const override;

 protected:
  // The losses of rows by their logits, one array for each head.
  virtual mx::array losses(const Arrays& logits, const Arrays& others) const = 0;
  // Whether the second head gets gradients.
  virtual bool teaches() const {
    return false;
  }

  bool is_node() const override {
    return false;
  }
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    std::vector<mx::Dtype> dtypes{sums_dtype(inputs[0])};
    for (int place : kept()) {
      dtypes.push_back(inputs[place].dtype());
    }
    return dtypes;
  }
  Arrays as_graph(const Arrays& inputs) const override;

 private:
  using Body = std::function<Arrays(const Arrays& chunk, int begin, int end)>;

  size_t learning() const {
    return teaches() ? heads_.size() : 1;
  }
  std::vector<int> kept() const;
  int first_of(size_t head) const;
  bool has_rows(int place) const;
  Arrays chunk(const Arrays& inputs, int begin, int end, const Arrays& after) const;
  std::vector<Arrays> over_chunks(const Arrays& inputs, const Body& body) const;
  Arrays gradients(const Arrays& inputs, const std::vector<int>& places, const mx::array& cotangent) const;

  std::vector<Layout> heads_;
  bool keeps_;
};

// The loss's inputs, the cotangent and the gradient that was kept -> the gradient of the hidden states at `place`.
class LinearLossGradient : public Fused {
 public:
  LinearLossGradient(mx::Stream s, std::shared_ptr<const LinearLoss> loss, int place) : Fused(s), loss_(std::move(loss)), place_(place) {}

  const char* name() const override {
    return "LinearLossGradient";
  }

  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    return {inputs[place_].shape()};
  }

 protected:
  bool is_node() const override {
    return false;
  }
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    return {inputs[place_].dtype()};
  }
  Arrays composed(const Arrays& inputs) const override {
    Arrays given(inputs.begin(), inputs.end() - 2);
    auto fun = [&](const Arrays& hidden) { return loss_->composed(with(given, {place_}, hidden)); };
    return mx::vjp(fun, {inputs[place_]}, {inputs[inputs.size() - 2]}).second;
  }
  Arrays as_graph(const Arrays& inputs) const override {
    return {scaled(inputs.back(), inputs[inputs.size() - 2], where())};
  }

 private:
  std::shared_ptr<const LinearLoss> loss_;
  int place_;
};

int LinearLoss::first_of(size_t head) const {
  return std::accumulate(heads_.begin(), heads_.begin() + head, 0, [](int sum, const Layout& one) { return sum + one.size(); });
}

// The places of the hidden states whose gradients the losses come with.
std::vector<int> LinearLoss::kept() const {
  std::vector<int> places;
  for (size_t i = 0; keeps_ && i < learning(); i++) {
    places.push_back(first_of(i));
  }
  return places;
}

bool LinearLoss::has_rows(int place) const {
  for (size_t i = 0; i < heads_.size(); i++) {
    if (place == first_of(i)) {
      return true;
    }
  }
  return place >= first_of(heads_.size());
}

// Rows `begin` to `end` of what has rows, to be had when the arrays `after` are.
Arrays LinearLoss::chunk(const Arrays& inputs, int begin, int end, const Arrays& after) const {
  Arrays result;
  for (int place = 0; place < static_cast<int>(inputs.size()); place++) {
    auto input = inputs[place];
    if (has_rows(place) && end - begin < input.shape(0)) {
      auto to = input.shape();
      to[0] = end;
      mx::Shape from(to.size(), 0);
      from[0] = begin;
      input = mx::slice(input, from, to, where());
    }
    result.push_back(has_rows(place) && !after.empty() ? mx::depends({input}, after)[0] : input);
  }
  return result;
}

// What the body makes of each chunk, by output: a chunk's logits are gone before the next one's are made.
std::vector<Arrays> LinearLoss::over_chunks(const Arrays& inputs, const Body& body) const {
  mx::StreamContext context(where());
  int64_t most = where().device == mx::Device::cpu ? chunk_on_cpu : chunk_as_graph, row = inputs[1].shape(0) * inputs[0].itemsize();
  int step = static_cast<int>(std::clamp(most / row / fewest_rows, int64_t(1), int64_t(1) << 20) * fewest_rows);
  std::vector<Arrays> found;
  Arrays last;
  int begin = 0, rows = inputs[0].shape(0);
  do {
    int end = std::min<int64_t>(int64_t(begin) + step, rows);
    last = body(chunk(inputs, begin, end, last), begin, end);
    found.resize(last.size());
    for (size_t i = 0; i < last.size(); i++) {
      found[i].push_back(last[i]);
    }
    begin = end;
  } while (begin < rows);
  return found;
}

Arrays LinearLoss::composed(const Arrays& inputs) const {
  Arrays logits;
  for (size_t i = 0; i < heads_.size(); i++) {
    auto one = logits_of(inputs, first_of(i), heads_[i], where());
    logits.push_back(i < learning() ? one : mx::stop_gradient(one, where()));
  }
  return {losses(logits, {inputs.begin() + first_of(heads_.size()), inputs.end()})};
}

Arrays LinearLoss::as_graph(const Arrays& inputs) const {
  auto places = kept();
  auto found = over_chunks(inputs, [&](const Arrays& part, int begin, int end) -> Arrays {
    if (places.empty()) {
      return composed(part);
    }
    auto fun = [&](const Arrays& hidden) { return composed(with(part, places, hidden)); };
    auto [values, gradients] = mx::vjp(fun, at(part, places), {mx::ones({end - begin}, sums_dtype(part[0]), where())});
    values.insert(values.end(), gradients.begin(), gradients.end());
    return values;
  });
  Arrays results;
  for (auto& chunks : found) {
    results.push_back(joined(chunks, where()));
  }
  return results;
}

// Of the inputs at `places`, which have rows, or none of which has.
Arrays LinearLoss::gradients(const Arrays& inputs, const std::vector<int>& places, const mx::array& cotangent) const {
  Arrays sums;
  auto found = over_chunks(inputs, [&](const Arrays& part, int begin, int end) {
    auto fun = [&](const Arrays& given) { return composed(with(part, places, given)); };
    auto gradients = mx::vjp(fun, at(part, places), {mx::slice(cotangent, {begin}, {end}, where())}).second;
    for (size_t i = 0; !sums.empty() && i < places.size(); i++) {
      gradients[i] = mx::add(sums[i], gradients[i], where());
    }
    if (!has_rows(places[0])) {
      sums = gradients;
    }
    return gradients;
  });
  Arrays results;
  for (auto& chunks : found) {
    results.push_back(sums.empty() ? joined(chunks, where()) : chunks.back());
  }
  return results;
}

Arrays LinearLoss::vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& outputs) {
  Arrays results = primals;
  std::vector<int> rows, others;
  auto places = kept();
  for (int place = 0; place < static_cast<int>(primals.size()); place++) {
    auto found = std::find(places.begin(), places.end(), place);
    if (!mx::issubdtype(primals[place].dtype(), mx::floating)) {
      results[place] = mx::zeros_like(primals[place], where());
    } else if (found == places.end()) {
      (has_rows(place) ? rows : others).push_back(place);
    } else {
      auto inputs = primals;
      inputs.insert(inputs.end(), {cotangents[0], outputs[1 + (found - places.begin())]});
      results[place] = Fused::apply(std::make_shared<LinearLossGradient>(where(), shared_from_this(), place), inputs)[0];
    }
  }
  for (auto& group : {rows, others}) {
    results = group.empty() ? results : with(results, group, gradients(primals, group, cotangents[0]));
  }
  return at(results, argnums);
}

// One more batch axis makes more rows, where it is not one of the heads'.
std::pair<Arrays, std::vector<int>> LinearLoss::vmap(const Arrays& inputs, const std::vector<int>& axes) {
  int size = 1;
  for (size_t i = 0; i < inputs.size(); i++) {
    size = axes[i] < 0 ? size : inputs[i].shape(axes[i]);
    if (axes[i] >= 0 && !has_rows(static_cast<int>(i))) {
      return Fused::vmap(inputs, axes);
    }
  }
  Arrays flat;
  for (size_t i = 0; i < inputs.size(); i++) {
    flat.push_back(has_rows(static_cast<int>(i)) ? with_rows_of(inputs[i], axes[i], size, where()) : inputs[i]);
  }
  auto outputs = Fused::apply(shared_from_this(), flat);
  for (auto& output : outputs) {
    output = mx::unflatten(output, 0, {size, output.shape(0) / std::max(size, 1)}, where());
  }
  return {outputs, std::vector<int>(outputs.size(), 0)};
}

class LinearCrossEntropy : public LinearLoss {
 public:
  LinearCrossEntropy(mx::Stream s, const Head& head, LinearCrossEntropyOptions options, bool keeps)
      : LinearLoss(s, {layout_of(head)}, keeps), options_(options) {}

  const char* name() const override {
    return "LinearCrossEntropy";
  }

 protected:
  mx::array losses(const Arrays& logits, const Arrays& others) const override {
    auto found = cross_entropy(logits[0], others[0], options_.loss, where());
    if (!options_.z_loss) {
      return found;
    }
    auto penalty = mx::multiply(mx::square(log_sums(logits[0], where()), where()), mx::array(options_.z_loss, found.dtype()), where());
    if (options_.loss.ignored) {
      auto ignored = mx::equal(others[0], mx::array(*options_.loss.ignored), where());
      penalty = mx::where(ignored, mx::array(0, found.dtype()), penalty, where());
    }
    return mx::add(found, penalty, where());
  }

 private:
  LinearCrossEntropyOptions options_;
};

class LinearDivergence : public LinearLoss {
 public:
  LinearDivergence(mx::Stream s, const Head& q, const Head& p, DivergenceOptions options, bool keeps)
      : LinearLoss(s, {layout_of(q), layout_of(p)}, keeps), options_(options) {}

  const char* name() const override {
    return "LinearDivergence";
  }

 protected:
  mx::array losses(const Arrays& logits, const Arrays&) const override {
    return divergence(logits[0], mx::astype(logits[1], logits[0].dtype(), where()), options_, where());
  }
  bool teaches() const override {
    return options_.teacher_gradient;
  }

 private:
  DivergenceOptions options_;
};

mx::array applied(std::shared_ptr<LinearLoss> loss, const Arrays& inputs, const mx::array& hidden, mx::Stream s) {
  return mx::reshape(Fused::apply(loss, inputs)[0], batch_of(hidden), s);
}

} // namespace

mx::array linear_cross_entropy(
    const mx::array& hidden, const Head& head, const mx::array& targets, const LinearCrossEntropyOptions& options, bool keeps,
    mx::Stream s) {
  Arrays inputs;
  append(inputs, hidden, head, s);
  inputs.push_back(mx::flatten(mx::atleast_1d(targets, s), s));
  return applied(std::make_shared<LinearCrossEntropy>(s, head, options, keeps), inputs, hidden, s);
}

mx::array linear_divergence(
    const mx::array& hidden_q, const Head& head_q, const mx::array& hidden_p, const Head& head_p, const DivergenceOptions& options,
    bool keeps, mx::Stream s) {
  Arrays inputs;
  append(inputs, hidden_q, head_q, s);
  append(inputs, hidden_p, head_p, s);
  return applied(std::make_shared<LinearDivergence>(s, head_q, head_p, options, keeps), inputs, hidden_q, s);
}

} // namespace mlxffi
