#include "cross_entropy.h"

#include <cstring>

#include "gpu.h"
#include "targets.h"

namespace mlxffi {

namespace {

mx::array flat(const mx::array& array, mx::Stream s) {
  return mx::flatten(mx::atleast_1d(array, s), s);
}

mx::array as_rows(const mx::array& logits, mx::Stream s) {
  return mx::reshape(logits, {-1, logits.shape(-1)}, s);
}

// gpu.h takes int32 targets and knows of no ignored ones: class 0 stands in, and a factor of 0 takes it out again.
mx::array targets_for_gpu(const mx::array& targets, const CrossEntropyOptions& options, mx::Stream s) {
  auto usable = targets;
  if (options.ignored) {
    usable = mx::where(mx::equal(targets, mx::array(*options.ignored), s), mx::array(0, targets.dtype()), targets, s);
  }
  return flat(mx::astype(usable, mx::int32, s), s);
}

mx::array without_ignored(const mx::array& values, const mx::array& targets, const CrossEntropyOptions& options, mx::Stream s) {
  if (!options.ignored) {
    return values;
  }
  return mx::where(mx::equal(targets, mx::array(*options.ignored), s), mx::array(0, values.dtype()), values, s);
}

// logits, targets, cotangent, and what the forward kept for each row -> the gradient of the logits.
class CrossEntropyGradient : public Fused {
 public:
  CrossEntropyGradient(mx::Stream stream, CrossEntropyOptions options) : Fused(stream), options_(options) {}

  const char* name() const override {
    return "FusedCrossEntropyGradient";
  }
  bool is_equivalent(const Primitive& other) const override {
    return options_ == static_cast<const CrossEntropyGradient&>(other).options_;
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override;

 protected:
  Arrays composed(const Arrays& inputs) const override {
    return {composed_cross_entropy_gradient(inputs[0], inputs[1], inputs[2], options_, where())};
  }
  Arrays as_graph(const Arrays& inputs) const override;
  std::shared_ptr<Fused> again() const override {
    return std::make_shared<CrossEntropyGradient>(where(), options_);
  }

 private:
  CrossEntropyOptions options_;
};

void CrossEntropyGradient::eval_cpu(const Arrays& inputs, Arrays& outputs) {
  RowsOf logits(inputs[0]);
  Targets targets(inputs[1], options_.ignored);
  NumbersOf cotangents(inputs[2]), kept(inputs[3], 1);
  allocate_like(inputs[0], outputs[0]);
  auto out = outputs[0].data<char>();
  size_t stride = logits.length() * outputs[0].itemsize();
  auto kernel = row_kernels().cross_entropy_gradient[static_cast<int>(element_of(inputs[0].dtype()))];
  over_rows(stream(), logits.count(), logits.length(), [=, smoothing = options_.smoothing](int64_t begin, int64_t end) {
    std::vector<char> scratch;
    for (int64_t row = begin; row < end; row++) {
      double cotangent = targets.ignored(row) ? 0 : cotangents.number(row);
      if (cotangent == 0) {
        std::memset(out + row * stride, 0, stride);
        continue;
      }
      Normalizer normalizer{kept.number(row, 0), kept.number(row, 1)};
      kernel(logits.row(row, scratch), out + row * stride, logits.length(), targets.at(row), smoothing, normalizer, cotangent);
    }
  });
}

Arrays CrossEntropyGradient::as_graph(const Arrays& inputs) const {
  auto cotangent = flat(without_ignored(inputs[2], inputs[1], options_, where()), where());
  auto targets = targets_for_gpu(inputs[1], options_, where());
  auto smoothing = static_cast<float>(options_.smoothing);
  auto gradient = gpu::cross_entropy_backward(
      as_rows(inputs[0], where()), targets, flat(inputs[3], where()), cotangent, smoothing, where());
  return {mx::reshape(gradient, inputs[0].shape(), where())};
}

// logits, targets -> the losses, and for the gradient: on a CPU shift and sum of each row [..., 2], on a GPU its
// logarithm of the sum of exponentials [...].
class CrossEntropy : public Fused {
 public:
  CrossEntropy(mx::Stream stream, CrossEntropyOptions options) : Fused(stream), options_(options) {}

  const char* name() const override {
    return "FusedCrossEntropy";
  }
  bool is_equivalent(const Primitive& other) const override {
    return options_ == static_cast<const CrossEntropy&>(other).options_;
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    auto batch = batch_of(inputs[0]), kept = batch;
    if (where().device == mx::Device::cpu) {
      kept.push_back(2);
    }
    return {batch, kept};
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override;
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& outputs) override;

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    return {2, sums_dtype(inputs[0])};
  }
  Arrays composed(const Arrays& inputs) const override {
    return {composed_cross_entropy(inputs[0], inputs[1], options_, where())};
  }
  Arrays as_graph(const Arrays& inputs) const override;
  std::shared_ptr<Fused> again() const override {
    return std::make_shared<CrossEntropy>(where(), options_);
  }

 private:
  CrossEntropyOptions options_;
};

void CrossEntropy::eval_cpu(const Arrays& inputs, Arrays& outputs) {
  RowsOf logits(inputs[0]);
  Targets targets(inputs[1], options_.ignored);
  NumbersTo losses(outputs[0]), kept(outputs[1]);
  auto kernel = row_kernels().cross_entropy[static_cast<int>(element_of(inputs[0].dtype()))];
  over_rows(stream(), logits.count(), logits.length(), [=, smoothing = options_.smoothing](int64_t begin, int64_t end) {
    std::vector<char> scratch;
    for (int64_t row = begin; row < end; row++) {
      CrossEntropyRow result{0, {0, 1}};
      if (!targets.ignored(row)) {
        result = kernel(logits.row(row, scratch), logits.following(row, end), logits.length(), targets.at(row), smoothing);
      }
      losses.put(row, result.loss);
      kept.put(2 * row, result.normalizer.shift);
      kept.put(2 * row + 1, result.normalizer.sum);
    }
  });
}

Arrays CrossEntropy::as_graph(const Arrays& inputs) const {
  auto batch = batch_of(inputs[0]);
  auto results = gpu::cross_entropy_forward(
      as_rows(inputs[0], where()), targets_for_gpu(inputs[1], options_, where()), static_cast<float>(options_.smoothing), where());
  auto losses = without_ignored(mx::reshape(results[0], batch, where()), inputs[1], options_, where());
  return {losses, mx::reshape(results[1], batch, where())};
}

// The cotangent of what is kept for the gradient is always 0: nobody but the gradient sees it, which differentiates
// through the logits alone.
Arrays CrossEntropy::vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& outputs) {
  Arrays results;
  for (int argnum : argnums) {
    if (argnum == 0) {
      auto gradient = std::make_shared<CrossEntropyGradient>(where(), options_);
      results.push_back(Fused::apply(gradient, {primals[0], primals[1], cotangents[0], outputs[1]})[0]);
    } else {
      results.push_back(mx::zeros_like(primals[argnum], where()));
    }
  }
  return results;
}

} // namespace

mx::array cross_entropy(const mx::array& logits, const mx::array& targets, const CrossEntropyOptions& options, mx::Stream s) {
  if (s.device == mx::Device::gpu && logits.size() == 0) {
    return composed_cross_entropy(logits, targets, options, s);
  }
  return Fused::apply(std::make_shared<CrossEntropy>(s, options), {logits, targets})[0];
}

} // namespace mlxffi
