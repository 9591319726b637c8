#include "linear_loss.h"

#include "paced.h"

namespace mlxffi {

namespace {

// Where rows have `cotangent` 0 their gradient is 0, whatever it would be for 1.
mx::array scaled(const mx::array& gradient, const mx::array& cotangent, mx::Stream s) {
  auto factor = mx::expand_dims(cotangent, -1, s);
  auto product = mx::astype(mx::multiply(mx::astype(gradient, factor.dtype(), s), factor, s), gradient.dtype(), s);
  return mx::where(mx::equal(factor, mx::array(0, factor.dtype()), s), mx::array(0, gradient.dtype()), product, s);
}

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
    auto fun = [&](const Arrays& hidden) { return loss_->composed(replaced(given, {place_}, hidden)); };
    return mx::vjp(fun, {inputs[place_]}, {inputs[inputs.size() - 2]}).second;
  }
  Arrays as_graph(const Arrays& inputs) const override {
    return {scaled(inputs.back(), inputs[inputs.size() - 2], where())};
  }

 private:
  std::shared_ptr<const LinearLoss> loss_;
  int place_;
};

// The loss's inputs and the cotangent -> the gradients of its parameters.
class LinearLossParameters : public Fused {
 public:
  LinearLossParameters(mx::Stream s, std::shared_ptr<const LinearLoss> loss) : Fused(s), loss_(std::move(loss)) {}

  const char* name() const override {
    return "LinearLossParameters";
  }
  bool is_equivalent(const Primitive& other) const override {
    return this == &other;
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    std::vector<mx::Shape> shapes;
    for (int place : loss_->parameters()) {
      shapes.push_back(inputs[place].shape());
    }
    return shapes;
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    loss_->eval_parameters(where(), inputs, outputs);
  }

 protected:
  bool is_node() const override {
    return loss_->is_node();
  }
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    std::vector<mx::Dtype> dtypes;
    for (int place : loss_->parameters()) {
      dtypes.push_back(inputs[place].dtype());
    }
    return dtypes;
  }
  Arrays composed(const Arrays& inputs) const override {
    Arrays given(inputs.begin(), inputs.end() - 1);
    auto places = loss_->parameters();
    auto fun = [&](const Arrays& values) { return loss_->composed(replaced(given, places, values)); };
    return mx::vjp(fun, chosen(given, places), {inputs.back()}).second;
  }
  Arrays as_graph(const Arrays& inputs) const override {
    return loss_->parameter_gradients({inputs.begin(), inputs.end() - 1}, inputs.back());
  }

 private:
  std::shared_ptr<const LinearLoss> loss_;
};

} // namespace

// The places of the hidden states whose gradients the losses come with.
std::vector<int> LinearLoss::kept() const {
  std::vector<int> places;
  for (size_t i = 0; keeps_ && i < learning(); i++) {
    places.push_back(first_of(i));
  }
  return places;
}

std::vector<int> LinearLoss::parameters() const {
  std::vector<int> places;
  for (size_t i = 0; i < learning(); i++) {
    if (!heads_[i].packed) {
      places.push_back(first_of(i) + 1);
    }
    if (heads_[i].biased) {
      places.push_back(first_of(i + 1) - 1);
    }
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

Arrays LinearLoss::composed(const Arrays& inputs) const {
  Arrays logits;
  for (size_t i = 0; i < heads_.size(); i++) {
    auto one = logits_of(inputs, first_of(i), heads_[i], where());
    logits.push_back(i < learning() ? one : mx::stop_gradient(one, where()));
  }
  return {losses(logits, others(inputs))};
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

// What the body makes of each chunk, by output: a chunk's logits are gone before the next one's are made, on a GPU, where
// they are taken ahead of their time, before those of the one after it.
std::vector<Arrays> LinearLoss::over_chunks(const Arrays& inputs, const Body& body) const {
  mx::StreamContext context(where());
  int64_t most = where().device == mx::Device::cpu ? chunk_on_cpu : chunk_on_gpu;
  int64_t step = rows_at_once(most, inputs[1].shape(0) * static_cast<int64_t>(inputs[0].itemsize()));
  std::vector<Arrays> found;
  Arrays last;
  int begin = 0, rows = inputs[0].shape(0);
  do {
    int end = static_cast<int>(std::min<int64_t>(begin + step, rows));
    last = body(chunk(inputs, begin, end, last), begin, end);
    found.resize(last.size());
    for (size_t i = 0; i < last.size(); i++) {
      found[i].push_back(last[i]);
    }
    if (where().device == mx::Device::gpu) {
      last = paced(last, 1, where());
    }
    begin = end;
  } while (begin < rows);
  return found;
}

Arrays LinearLoss::as_graph(const Arrays& inputs) const {
  auto places = kept();
  auto found = over_chunks(inputs, [&](const Arrays& part, int begin, int end) -> Arrays {
    if (places.empty()) {
      return composed(part);
    }
    auto fun = [&](const Arrays& hidden) { return composed(replaced(part, places, hidden)); };
    auto [values, gradients] = mx::vjp(fun, chosen(part, places), {mx::ones({end - begin}, sums_dtype(part[0]), where())});
    values.insert(values.end(), gradients.begin(), gradients.end());
    return values;
  });
  Arrays results;
  for (auto& chunks : found) {
    results.push_back(chunks.size() == 1 ? chunks[0] : mx::concatenate(chunks, 0, where()));
  }
  return results;
}

Arrays LinearLoss::parameter_gradients(const Arrays& inputs, const mx::array& cotangent) const {
  auto places = parameters();
  Arrays sums;
  over_chunks(inputs, [&](const Arrays& part, int begin, int end) {
    auto fun = [&](const Arrays& given) { return composed(replaced(part, places, given)); };
    auto gradients = mx::vjp(fun, chosen(part, places), {mx::slice(cotangent, {begin}, {end}, where())}).second;
    for (size_t i = 0; i < sums.size(); i++) {
      gradients[i] = mx::add(sums[i], gradients[i], where());
    }
    return sums = gradients;
  });
  return sums;
}

// What was not kept is made now.
Arrays LinearLoss::vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& outputs) {
  if (!keeps_) {
    auto again = keeping();
    return again->vjp(primals, cotangents, argnums, Fused::apply(again, primals));
  }
  Arrays results;
  for (auto& primal : primals) {
    results.push_back(mx::zeros_like(primal, where()));
  }
  auto inputs = primals;
  inputs.push_back(cotangents[0]);
  auto of_parameters = parameters();
  if (!of_parameters.empty()) {
    results = replaced(results, of_parameters, Fused::apply(std::make_shared<LinearLossParameters>(where(), shared_from_this()), inputs));
  }
  auto places = kept();
  for (size_t i = 0; i < places.size(); i++) {
    inputs.push_back(outputs[1 + i]);
    results[places[i]] = Fused::apply(std::make_shared<LinearLossGradient>(where(), shared_from_this(), places[i]), inputs)[0];
    inputs.pop_back();
  }
  return chosen(results, argnums);
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
    flat.push_back(has_rows(static_cast<int>(i)) ? mx::flatten(batched(inputs[i], axes[i], size, where()), 0, 1, where()) : inputs[i]);
  }
  auto outputs = Fused::apply(shared_from_this(), flat);
  for (auto& output : outputs) {
    output = mx::unflatten(output, 0, {size, output.shape(0) / std::max(size, 1)}, where());
  }
  return {outputs, std::vector<int>(outputs.size(), 0)};
}

} // namespace mlxffi
