#include "attention_blocks.h"
#include "attention_query.h"

namespace mlxffi {

namespace {

// Parts that each thread has, to share them evenly.
constexpr int64_t parts_of_thread = 8;

// q, k, v, [mask] -> the attention, and for the gradient shift and sum of each row of scores [..., 2].
class Attention : public Fused {
 public:
  Attention(mx::Stream stream, AttentionOptions options) : Fused(stream), options_(options) {}

  const char* name() const override {
    return "FusedAttention";
  }
  bool is_equivalent(const Primitive& other) const override {
    return options_ == static_cast<const Attention&>(other).options_;
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    auto shape = inputs[0].shape(), kept = shape;
    shape[3] = inputs[2].shape(3);
    kept[3] = 2;
    return {shape, kept};
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override;
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& outputs) override;

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    return {inputs[0].dtype(), mx::float32};
  }
  Arrays composed(const Arrays& inputs) const override {
    return {composed_attention(inputs, options_, where())};
  }

 private:
  AttentionOptions options_;
};

// One block of queries of one head.
struct Forward {
  AttentionShape shape;
  Heads q, k, v;
  Mask mask;
  HeadsTo out;
  NumbersTo kept;
  float scale;

  void operator()(int64_t head, int64_t block, AttentionScratch& scratch) const {
    int64_t first = block * query_block, count = std::min(query_block, shape.queries - first);
    // A causal mask cuts off the keys behind the last query; those behind the others are left out one by one.
    int64_t seen = mask.seen(first + count - 1), kv = shape.kv_of(head), width = shape.value_features, pitch = HeadPanels::pitch(seen);
    RightHead keys(q, k, kv, seen, scratch.k_panels, scratch.k);
    scores_of({head, first, count}, keys, mask, scale, seen, scratch);
    std::vector<SoftmaxRow> rows(count);
    for (int64_t i = 0; i < count; i++) {
      float* row = &scratch.scores[i * pitch];
      int64_t visible = mask.seen(first + i);
      rows[i] = row_kernels().layers.softmax(row, visible);
      std::fill(row + visible, row + seen, 0.0f);
    }
    scratch.result.resize(count * width);
    product(
        count, width, seen, 1, {scratch.scores.data(), pitch}, Side::as_is, v.matrix(kv, 0, seen, scratch.v), Side::as_is, 0,
        scratch.result.data(), width);
    for (int64_t i = 0; i < count; i++) {
      put(head, first + i, &scratch.result[i * width], 1 / rows[i].sum, rows[i]);
    }
  }
  void put(int64_t head, int64_t query, const float* result, float factor, SoftmaxRow row) const {
    out.put(head, query, result, factor);
    int64_t place = 2 * (head * shape.queries + query);
    kept.put(place, row.shift);
    kept.put(place + 1, row.sum);
  }
};

// Runs body(i, scratch) for `count` parts, spread over threads.
template <class Body>
void over_parts(mx::Stream stream, int64_t count, int64_t grain, Body body) {
  on_stream(stream, [=] {
    parallel_for(count, grain, [&](int64_t begin, int64_t end) {
      AttentionScratch scratch;
      for (int64_t i = begin; i < end; i++) {
        body(i, scratch);
      }
    });
  });
}

// The only query, which sees all keys, of the heads that share a key-value head.
struct OneQuery {
  Forward all;
  Element element;

  void operator()(int64_t kv, AttentionScratch& scratch) const {
    auto& shape = all.shape;
    int64_t together = shape.heads / shape.kv_heads, first = kv * together, width = shape.value_features;
    std::vector<float> q(together * shape.features);
    for (int64_t i = 0; i < together; i++) {
      std::copy_n(all.q.matrix(first + i, 0, 1, scratch.q).data, shape.features, &q[i * shape.features]);
    }
    scratch.scores.resize(together * shape.keys);
    scratch.result.resize(together * width);
    std::vector<SoftmaxRow> rows(together);
    SharedHeads shared{all.k.block(kv), all.v.block(kv), element, shape.features, width, all.scale};
    shared.attend({q.data(), shape.features, together}, scratch.scores.data(), scratch.result.data(), rows.data());
    for (int64_t i = 0; i < together; i++) {
      all.put(first + i, 0, &scratch.result[i * width], 1, rows[i]);
    }
  }
};

void Attention::eval_cpu(const Arrays& inputs, Arrays& outputs) {
  AttentionShape shape(inputs);
  Forward forward{
      shape, Heads(inputs[0]), Heads(inputs[1]), Heads(inputs[2]), Mask(inputs, options_), HeadsTo(outputs[0]), NumbersTo(outputs[1]), options_.scale};
  if (shape.queries == 1 && options_.masking != Masking::array && forward.k.are_even() && forward.v.are_even()) {
    int64_t grain = std::max<int64_t>(1, least_scores * shape.kv_heads / (shape.keys * shape.heads));
    return over_parts(stream(), shape.batch * shape.kv_heads, grain, OneQuery{forward, element_of(inputs[0].dtype())});
  }
  // Blocks of a head one after the other find its keys prepared.
  int64_t blocks = shape.blocks(), count = shape.batch * shape.heads * blocks;
  int64_t together = std::clamp<int64_t>(count / (parts_of_thread * thread_count()), 1, blocks);
  over_parts(stream(), count, together, [=](int64_t i, AttentionScratch& scratch) {
    forward(i / blocks, i % blocks, scratch);
  });
}

Arrays Attention::vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& outputs) {
  // A mask's own gradient is rare enough to be composed.
  if (std::find(argnums.begin(), argnums.end(), 3) != argnums.end()) {
    return Fused::vjp(primals, {cotangents[0]}, argnums, outputs);
  }
  auto inputs = primals;
  inputs.insert(inputs.end(), {cotangents[0], outputs[0], outputs[1]});
  auto gradients = attention_gradients(inputs, options_, where());
  Arrays results;
  for (int argnum : argnums) {
    results.push_back(gradients[argnum]);
  }
  return results;
}

bool heads_fit(const mx::array& q, const mx::array& k, const mx::array& v) {
  if (q.ndim() != 4 || k.ndim() != 4 || v.ndim() != 4 || q.size() == 0 || k.size() == 0 || v.size() == 0) {
    return false;
  }
  bool batches = q.shape(0) == k.shape(0) && k.shape(0) == v.shape(0), heads = k.shape(1) == v.shape(1) && q.shape(1) % k.shape(1) == 0;
  return batches && heads && k.shape(2) == v.shape(2) && q.shape(3) == k.shape(3);
}

bool dtypes_fit(const mx::array& q, const mx::array& k, const mx::array& v) {
  bool known = q.dtype() == mx::float32 || q.dtype() == mx::float16 || q.dtype() == mx::bfloat16;
  return known && k.dtype() == q.dtype() && v.dtype() == q.dtype();
}

// Causal queries outnumber the keys where some see none; MLX's operations know what becomes of them.
bool mask_fits(const mx::array& q, const mx::array& k, const AttentionOptions& options, const std::optional<mx::array>& mask) {
  if (options.masking == Masking::causal) {
    return q.shape(2) <= k.shape(2);
  }
  if (options.masking == Masking::none) {
    return true;
  }
  mx::Shape wanted{q.shape(0), q.shape(1), q.shape(2), k.shape(2)};
  bool spreads = mask->ndim() <= 4;
  for (int i = 1; spreads && i <= static_cast<int>(mask->ndim()); i++) {
    spreads = mask->shape(-i) == 1 || mask->shape(-i) == wanted[4 - i];
  }
  return spreads && (mask->dtype() == mx::bool_ || mask->dtype() == q.dtype());
}

} // namespace

mx::array attention(
    const mx::array& q, const mx::array& k, const mx::array& v, const AttentionOptions& options, const std::optional<mx::array>& mask, mx::Stream s) {
  Arrays inputs{q, k, v};
  if (mask) {
    inputs.push_back(*mask);
  }
  bool fits = has_kernels(s) && has_products() && heads_fit(q, k, v) && dtypes_fit(q, k, v);
  if (!fits || !mask_fits(q, k, options, mask)) {
    return composed_attention(inputs, options, s);
  }
  if (mask) {
    inputs[3] = mx::broadcast_to(*mask, {q.shape(0), q.shape(1), q.shape(2), k.shape(2)}, s);
  }
  return Fused::apply(std::make_shared<Attention>(s, options), inputs)[0];
}

} // namespace mlxffi
