// The gradient recomputes the probabilities P from the scores and what the forward kept of their rows. With O the output
// and G its cotangent,
//   dV = P^T G,  dP = G V^T,  dS = P (dP - rowsum(G O)),  dQ = scale dS K,  dK = scale dS^T Q.
#include "attention_blocks.h"

namespace mlxffi {

namespace {

// One head: it writes the gradient of its queries, and its own part in those of the keys and values that it shares.
struct Backward {
  AttentionShape shape;
  Heads q, k, v, cotangents, outputs;
  Mask mask;
  NumbersOf kept;
  HeadsTo to_q;
  float scale;

  void operator()(int64_t head, float* to_k, float* to_v, AttentionScratch& scratch) const {
    int64_t kv = shape.kv_of(head);
    std::fill(to_k, to_k + shape.keys * shape.features, 0.0f);
    std::fill(to_v, to_v + shape.keys * shape.value_features, 0.0f);
    auto keys = k.matrix(kv, 0, shape.keys, scratch.k);
    RightHead to_scores(q, k, kv, shape.keys, scratch.k_panels, scratch.k), to_cotangents(cotangents, v, kv, shape.keys, scratch.v_panels, scratch.v);
    for (int64_t block = 0; block < shape.blocks(); block++) {
      int64_t first = block * query_block, count = std::min(query_block, shape.queries - first), seen = mask.seen(first + count - 1);
      scores_of({head, first, count}, to_scores, mask, scale, seen, scratch);
      to_cotangents.multiply({head, first, count}, seen, 1, scratch.cotangents, scratch.g);
      of_block(head, first, count, seen, keys, to_k, to_v, scratch);
    }
  }

  void of_block(int64_t head, int64_t first, int64_t count, int64_t seen, Matrix keys, float* to_k, float* to_v, AttentionScratch& scratch) const {
    int64_t features = shape.features, width = shape.value_features, pitch = HeadPanels::pitch(seen);
    auto queries = q.matrix(head, first, count, scratch.q), g = cotangents.matrix(head, first, count, scratch.g);
    to_probabilities(head, first, count, seen, g, scratch);
    Matrix p{scratch.scores.data(), pitch}, ds{scratch.cotangents.data(), pitch};
    product(seen, width, count, 1, p, Side::transposed, g, Side::as_is, 1, to_v, width);
    product(seen, features, count, 1, ds, Side::transposed, queries, Side::as_is, 1, to_k, features);
    scratch.result.resize(count * features);
    product(count, features, seen, 1, ds, Side::as_is, keys, Side::as_is, 0, scratch.result.data(), features);
    for (int64_t i = 0; i < count; i++) {
      to_q.put(head, first + i, &scratch.result[i * features], 1);
    }
  }

  // Scores become P, the cotangents of P those of the scores.
  void to_probabilities(int64_t head, int64_t first, int64_t count, int64_t seen, Matrix g, AttentionScratch& scratch) const {
    auto& kernels = row_kernels().layers;
    auto o = outputs.matrix(head, first, count, scratch.o);
    int64_t pitch = HeadPanels::pitch(seen);
    for (int64_t i = 0; i < count; i++) {
      float *p = &scratch.scores[i * pitch], *ds = &scratch.cotangents[i * pitch];
      int64_t row = head * shape.queries + first + i, visible = mask.seen(first + i);
      SoftmaxRow softmax{static_cast<float>(kept.number(row, 0)), static_cast<float>(kept.number(row, 1))};
      float mean = kernels.dot(g.data + i * g.stride, o.data + i * o.stride, shape.value_features);
      kernels.softmax_gradient(p, ds, visible, softmax, mean, mask.is_blind(softmax.shift) ? 0 : scale);
      std::fill(p + visible, p + seen, 0.0f);
      std::fill(ds + visible, ds + seen, 0.0f);
    }
  }
};

// q, k, v, [mask], cotangent, output, shifts and sums -> the gradients of q, k and v.
class AttentionGradient : public Fused {
 public:
  AttentionGradient(mx::Stream stream, AttentionOptions options) : Fused(stream), options_(options) {}

  const char* name() const override {
    return "FusedAttentionGradient";
  }
  bool is_equivalent(const Primitive& other) const override {
    return options_ == static_cast<const AttentionGradient&>(other).options_;
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    return {inputs[0].shape(), inputs[1].shape(), inputs[2].shape()};
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override;

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    return {3, inputs[0].dtype()};
  }
  Arrays composed(const Arrays& inputs) const override {
    auto fun = [&](const Arrays& values) {
      auto all = inputs;
      std::copy(values.begin(), values.end(), all.begin());
      return Arrays{composed_attention(all, options_, where())};
    };
    return mx::vjp(fun, {inputs[0], inputs[1], inputs[2]}, {inputs[cotangent_at()]}).second;
  }

 private:
  // Where the cotangent stands: behind the mask, if there is one.
  int cotangent_at() const {
    return options_.masking == Masking::array ? 4 : 3;
  }
  AttentionOptions options_;
};

// Adds up what the heads that share keys contributed to the gradient of each.
void gather(const AttentionShape& shape, const std::vector<float>& parts, const HeadsTo& to, int64_t features) {
  int64_t group = shape.heads / shape.kv_heads;
  parallel_rows(shape.batch * shape.kv_heads * shape.keys, features * group, [&](int64_t begin, int64_t end) {
    std::vector<float> sum(features);
    for (int64_t row = begin; row < end; row++) {
      int64_t kv = row / shape.keys, key = row % shape.keys;
      std::fill(sum.begin(), sum.end(), 0.0f);
      for (int64_t i = 0; i < group; i++) {
        row_kernels().layers.accumulate(&parts[((kv * group + i) * shape.keys + key) * features], sum.data(), features, 1);
      }
      to.put(kv, key, sum.data(), 1);
    }
  });
}

void AttentionGradient::eval_cpu(const Arrays& inputs, Arrays& outputs) {
  AttentionShape shape(inputs);
  auto rest = inputs.begin() + cotangent_at();
  Backward backward{
      shape,          Heads(inputs[0]), Heads(inputs[1]),        Heads(inputs[2]), Heads(rest[0]), Heads(rest[1]), Mask(inputs, options_),
      NumbersOf(rest[2], 1), HeadsTo(outputs[0]), options_.scale};
  HeadsTo to_k(outputs[1]), to_v(outputs[2]);
  on_stream(stream(), [=] {
    int64_t heads = shape.batch * shape.heads, k_size = shape.keys * shape.features, v_size = shape.keys * shape.value_features;
    std::vector<float> k_parts(heads * k_size), v_parts(heads * v_size);
    parallel_for(heads, 1, [&](int64_t begin, int64_t end) {
      AttentionScratch scratch;
      for (int64_t head = begin; head < end; head++) {
        backward(head, &k_parts[head * k_size], &v_parts[head * v_size], scratch);
      }
    });
    gather(shape, k_parts, to_k, shape.features);
    gather(shape, v_parts, to_v, shape.value_features);
  });
}

} // namespace

Arrays attention_gradients(const Arrays& inputs, const AttentionOptions& options, mx::Stream s) {
  return Fused::apply(std::make_shared<AttentionGradient>(s, options), inputs);
}

} // namespace mlxffi
