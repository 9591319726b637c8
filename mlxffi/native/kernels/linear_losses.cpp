#include "linear_losses.h"

#include "composing.h"
#include "cross_entropy.h"
#include "divergence.h"
#include "linear_loss.h"
#include "targets.h"

namespace mlxffi {

namespace {

// log(sum(exp(logits))) of each row, by the largest logit, which cross-entropy is stable at.
mx::array log_sums(const mx::array& logits, mx::Stream s) {
  auto largest = mx::stop_gradient(mx::argmax(logits, -1, false, s), s);
  auto top = mx::squeeze(mx::take_along_axis(logits, mx::expand_dims(largest, -1, s), -1, s), -1, s);
  return mx::add(cross_entropy(logits, largest, {0, {}}, s), mx::astype(top, sums_dtype(logits), s), s);
}

class LinearCrossEntropy : public LinearLoss {
 public:
  LinearCrossEntropy(mx::Stream s, std::vector<HeadLayout> heads, bool keeps, bool node, LinearCrossEntropyOptions options)
      : LinearLoss(s, std::move(heads), keeps, node), options_(options) {}

  const char* name() const override {
    return "LinearCrossEntropy";
  }

 protected:
  mx::array losses(const Arrays& logits, const Arrays& others) const override;
  RowLoss on_cpu(const Arrays& others, int64_t classes) const override;
  std::shared_ptr<LinearLoss> keeping() const override {
    return std::make_shared<LinearCrossEntropy>(where(), heads(), true, is_node(), options_);
  }

 private:
  LinearCrossEntropyOptions options_;
};

mx::array LinearCrossEntropy::losses(const Arrays& logits, const Arrays& others) const {
  auto s = where();
  auto found = cross_entropy(logits[0], others[0], options_.loss, s);
  if (!options_.z_loss) {
    return found;
  }
  auto penalty = mx::multiply(mx::square(log_sums(logits[0], s), s), mx::array(options_.z_loss, found.dtype()), s);
  if (options_.loss.ignored) {
    auto ignored = mx::equal(others[0], mx::array(*options_.loss.ignored), s);
    penalty = mx::where(ignored, mx::array(0, found.dtype()), penalty, s);
  }
  return mx::add(found, penalty, s);
}

// With L = logsumexp(x) and p = softmax(x), the gradient (p - goal) + 2 z L p is (1 + 2 z L) (p - goal) + 2 z L goal.
RowLoss LinearCrossEntropy::on_cpu(const Arrays& others, int64_t classes) const {
  Targets targets(others[0], options_.loss.ignored);
  auto& kernels = row_kernels();
  auto forward = kernels.cross_entropy[static_cast<int>(Element::float32)];
  auto backward = kernels.cross_entropy_gradient[static_cast<int>(Element::float32)];
  auto loss = [=, smoothing = options_.loss.smoothing, z = options_.z_loss](float* const* logits, float* const* out, int64_t row) {
    int64_t target = targets.at(row);
    auto found = forward(logits[0], nullptr, classes, target, smoothing);
    double sum = found.normalizer.shift + std::log(found.normalizer.sum), twice = 2 * z * sum;
    if (out) {
      backward(logits[0], out[0], classes, target, smoothing, found.normalizer, 1 + twice);
    }
    if (out && z && target < classes) {
      out[0][target] += static_cast<float>(twice * (1 - smoothing));
      for (int64_t i = 0; smoothing && i < classes; i++) {
        out[0][i] += static_cast<float>(twice * smoothing / static_cast<double>(classes));
      }
    }
    return found.loss + z * sum * sum;
  };
  return {[=](int64_t row) { return !targets.ignored(row); }, loss};
}

class LinearDivergence : public LinearLoss {
 public:
  LinearDivergence(mx::Stream s, std::vector<HeadLayout> heads, bool keeps, bool node, DivergenceOptions options)
      : LinearLoss(s, std::move(heads), keeps, node), options_(options) {}

  const char* name() const override {
    return "LinearDivergence";
  }

 protected:
  mx::array losses(const Arrays& logits, const Arrays&) const override {
    return divergence(logits[0], mx::astype(logits[1], logits[0].dtype(), where()), options_, where());
  }
  RowLoss on_cpu(const Arrays& others, int64_t classes) const override;
  bool teaches() const override {
    return options_.teacher_gradient;
  }
  std::shared_ptr<LinearLoss> keeping() const override {
    return std::make_shared<LinearDivergence>(where(), heads(), true, is_node(), options_);
  }

 private:
  DivergenceOptions options_;
};

RowLoss LinearDivergence::on_cpu(const Arrays&, int64_t classes) const {
  auto& kernels = row_kernels();
  bool kl = options_.kind == DivergenceKind::kl;
  auto forward = (kl ? kernels.kl : kernels.js)[static_cast<int>(Element::float32)];
  auto backward = (kl ? kernels.kl_gradient : kernels.js_gradient)[static_cast<int>(Element::float32)];
  auto loss = [=, options = options_](float* const* logits, float* const* out, int64_t) {
    RowPair rows{logits[0], logits[1]};
    auto found = forward(rows, {nullptr, nullptr}, classes, options.temperature);
    if (out) {
      backward(rows, {out[0], options.teacher_gradient ? out[1] : nullptr}, classes, options.temperature, found, 1);
    }
    return found.loss;
  };
  return {[](int64_t) { return true; }, loss};
}

// float64 has no products of its own here.
bool has_node(const Arrays& inputs, mx::Stream s) {
  return has_kernels(s) && has_products() && inputs[0].dtype() != mx::float64 && inputs[0].size() > 0;
}

// From how many rows on a GPU unpacks a weight: once, where products would do it for each chunk of rows.
constexpr int64_t many_rows = 128;

Head unpacked(const Head& head, const mx::array& hidden, mx::Stream s) {
  auto rows = static_cast<int64_t>(hidden.size()) / std::max(hidden.shape(-1), 1);
  if (s.device == mx::Device::cpu || !head.scales || rows < many_rows) {
    return head;
  }
  auto found = head;
  auto dtype = head.scales->dtype() == mx::uint8 ? hidden.dtype() : head.scales->dtype();
  auto weight = mx::dequantize(head.weight, *head.scales, head.biases, head.group_size, head.bits, head.mode, std::nullopt, dtype, s);
  found.weight = mx::stop_gradient(weight, s);
  found.scales = found.biases = std::nullopt;
  return found;
}

template <class Loss, class Options>
mx::array applied(const Arrays& inputs, std::vector<HeadLayout> heads, Options options, bool keeps, const mx::array& hidden, mx::Stream s) {
  auto loss = std::make_shared<Loss>(s, std::move(heads), keeps, has_node(inputs, s), options);
  auto losses = Fused::apply(loss, inputs)[0];
  return hidden.ndim() == 2 ? losses : mx::reshape(losses, batch_of(hidden), s);
}

} // namespace

mx::array linear_cross_entropy(
    const mx::array& hidden, const Head& given, const mx::array& targets, const LinearCrossEntropyOptions& options, bool keeps,
    mx::Stream s) {
  Arrays inputs;
  auto head = unpacked(given, hidden, s);
  append(inputs, hidden, head, s);
  inputs.push_back(mx::flatten(mx::atleast_1d(targets, s), s));
  return applied<LinearCrossEntropy>(inputs, {HeadLayout(head)}, options, keeps, hidden, s);
}

mx::array linear_divergence(
    const mx::array& hidden_q, const Head& given_q, const mx::array& hidden_p, const Head& given_p, const DivergenceOptions& options,
    bool keeps, mx::Stream s) {
  Arrays inputs;
  auto head_q = unpacked(given_q, hidden_q, s), head_p = unpacked(given_p, hidden_p, s);
  append(inputs, hidden_q, head_q, s);
  append(inputs, hidden_p, head_p, s);
  return applied<LinearDivergence>(inputs, {HeadLayout(head_q), HeadLayout(head_p)}, options, keeps, hidden_q, s);
}

} // namespace mlxffi
