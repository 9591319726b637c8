// Nothing lies between the products but vectors of a few rows, so one node does what eighteen would: launching these takes
// longer than their arithmetic.
#include "decoder_block.h"

#include "attention.h"
#include "attention_query.h"
#include "gate.h"
#include "half_products.h"
#include "recycled.h"
#include "rms_norm.h"

namespace mlxffi {

namespace {

// Where the arrays of a block stand among the inputs of a node.
class BlockLayout {
 public:
  BlockLayout(Arrays& inputs, const DecoderBlock& block)
      : query_(inputs, block.query),
        key_(inputs, block.key),
        value_(inputs, block.value),
        output_(inputs, block.output),
        gate_(inputs, block.gate),
        up_(inputs, block.up),
        down_(inputs, block.down),
        norms_(inputs.size()),
        has_query_norm_(block.query_norm.has_value()),
        has_key_norm_(block.key_norm.has_value()),
        has_freqs_(block.freqs.has_value()) {
    inputs.insert(inputs.end(), {block.attention_norm, block.mlp_norm});
    for (auto& part : {block.query_norm, block.key_norm, block.freqs}) {
      if (part) {
        inputs.push_back(*part);
      }
    }
  }
  bool operator==(const BlockLayout&) const = default;
  DecoderBlock block(const Arrays& inputs) const {
    int place = norms_ + 2;
    auto next = [&](bool there) { return there ? std::optional(inputs[place++]) : std::nullopt; };
    return {inputs[norms_], inputs[norms_ + 1], next(has_query_norm_), next(has_key_norm_), next(has_freqs_),
            query_.layer(inputs), key_.layer(inputs), value_.layer(inputs), output_.layer(inputs), gate_.layer(inputs),
            up_.layer(inputs), down_.layer(inputs)};
  }

 private:
  LinearLayout query_, key_, value_, output_, gate_, up_, down_;
  int norms_;
  bool has_query_norm_, has_key_norm_, has_freqs_;
};

Arrays composed_block(
    const mx::array& x, const DecoderBlock& block, const mx::array& keys, const mx::array& values, const BlockOptions& options, mx::Stream s) {
  int batch = x.shape(0), length = x.shape(1), features = keys.shape(3), last = options.first + length;
  auto heads = [&](const mx::array& y, int count, const LinearLayer& layer, const std::optional<mx::array>& norm) {
    auto parts = mx::reshape(composed_linear(y, layer, s), {batch, length, count, features}, s);
    return mx::transpose(norm ? rms_norm(parts, norm, options.eps, s) : parts, {0, 2, 1, 3}, s);
  };
  auto turned = [&](const mx::array& y) { return rope(y, options.rope, mx::array(options.first), block.freqs, s); };
  auto kept = [&](const mx::array& before, const mx::array& now) {
    return mx::slice_update(before, now, mx::Shape{0, 0, options.first, 0}, mx::Shape{batch, options.key_heads, last, features}, s);
  };
  auto seen = [&](const mx::array& all) { return mx::slice(all, mx::Shape{0, 0, 0, 0}, mx::Shape{batch, options.key_heads, last, features}, s); };
  auto y = rms_norm(x, block.attention_norm, options.eps, s);
  auto q = turned(heads(y, options.heads, block.query, block.query_norm));
  auto k = kept(keys, turned(heads(y, options.key_heads, block.key, block.key_norm)));
  auto v = kept(values, heads(y, options.key_heads, block.value, std::nullopt));
  auto masking = length > 1 ? Masking::causal : Masking::none;
  auto found = attention(q, seen(k), seen(v), {options.attention_scale, masking}, std::nullopt, s);
  auto joined = mx::reshape(mx::transpose(found, {0, 2, 1, 3}, s), {batch, length, options.heads * features}, s);
  auto middle = mx::add(x, composed_linear(joined, block.output, s), s);
  auto z = rms_norm(middle, block.mlp_norm, options.eps, s);
  auto unit = gated(Gate::silu, composed_linear(z, block.gate, s), composed_linear(z, block.up, s), s);
  return {mx::add(middle, composed_linear(unit, block.down, s), s), k, v};
}

// The keys or values of a step and before, on a CPU.
struct KeptHeads {
  char* data;
  int64_t heads, room, features;
  Element element;

  char* at(int64_t batch, int64_t head, int64_t position) const {
    return data + ((batch * heads + head) * room + position) * features * (element == Element::float32 ? 4 : 2);
  }
};

// What eval_cpu needs once the inputs are there.
class BlockRows {
 public:
  BlockRows(const Arrays& inputs, const DecoderBlock& block, const BlockOptions& options, Arrays& outputs)
      : options_(options),
        batch_(inputs[0].shape(0)),
        length_(inputs[0].shape(1)),
        width_(inputs[0].shape(2)),
        features_(inputs[1].shape(3)),
        element_(element_of(inputs[0].dtype())),
        x_(inputs[0]),
        attention_norm_(block.attention_norm),
        mlp_norm_(block.mlp_norm),
        query_norm_(rows_of(block.query_norm)),
        key_norm_(rows_of(block.key_norm)),
        freqs_(block.freqs ? std::optional(NumbersOf(*block.freqs, 1)) : std::nullopt),
        query_(block.query, x_dtype(inputs)),
        key_(block.key, x_dtype(inputs)),
        value_(block.value, x_dtype(inputs)),
        output_(block.output, x_dtype(inputs)),
        gate_(block.gate, x_dtype(inputs)),
        up_(block.up, x_dtype(inputs)),
        down_(block.down, x_dtype(inputs)),
        keys_(kept(outputs[1])),
        values_(kept(outputs[2])),
        out_(outputs[0].data<char>()) {}

  void run() {
    for (auto layer : {&query_, &key_, &value_, &output_, &gate_, &up_, &down_}) {
      layer->prepare();
    }
    auto from = x_.data();
    std::vector<float> x(from, from + rows() * width_), y(rows() * width_);
    attend(x, y);
    feed_forward(x, y);
    narrow(x.data(), out_, rows() * width_);
  }

 private:
  using Floats = std::vector<float>;

  static mx::Dtype x_dtype(const Arrays& inputs) {
    return inputs[0].dtype();
  }
  static std::optional<FloatRows> rows_of(const std::optional<mx::array>& row) {
    return row ? std::optional(FloatRows(*row)) : std::nullopt;
  }
  KeptHeads kept(mx::array& array) const {
    return {array.data<char>(), array.shape(1), array.shape(2), array.shape(3), element_};
  }
  int64_t rows() const {
    return batch_ * length_;
  }
  void narrow(const float* from, char* to, int64_t size) const {
    row_kernels().layers.narrow[static_cast<int>(element_)](from, to, size, 1);
  }
  // What single operations would leave of numbers between them.
  void round(Floats& numbers) const {
    if (element_ != Element::float32) {
      std::vector<char> halves(2 * numbers.size());
      narrow(numbers.data(), halves.data(), numbers.size());
      row_kernels().layers.widen[static_cast<int>(element_)](halves.data(), numbers.data(), numbers.size());
    }
  }
  void normalize(const float* x, FloatRows& weight, int64_t count, int64_t size, float* out) const {
    auto factors = weight.data();
    for (int64_t i = 0; i < count; i++) {
      row_kernels().layers.norm[static_cast<int>(Element::float32)](x + i * size, factors, out + i * size, size, options_.eps);
    }
  }
  // x += y, rounded as a sum of the dtype is.
  void add(Floats& x, Floats& y) const {
    row_kernels().layers.accumulate(y.data(), x.data(), x.size(), 1);
    round(x);
  }

  void attend(Floats& x, Floats& y) {
    Floats q(rows() * options_.heads * features_), k(rows() * options_.key_heads * features_), v(k.size()), joined(q.size());
    normalize(x.data(), attention_norm_, rows(), width_, y.data());
    round(y);
    multiply(y.data(), rows(), {{query_, q.data()}, {key_, k.data()}, {value_, v.data()}});
    turn(q, options_.heads, query_norm_);
    turn(k, options_.key_heads, key_norm_);
    keep(k, keys_);
    keep(v, values_);
    attention(q, joined);
    round(joined);
    multiply(joined.data(), rows(), {{output_, y.data()}});
    add(x, y);
  }

  void feed_forward(Floats& x, Floats& y) {
    Floats gate(rows() * gate_.out()), up(gate.size());
    normalize(x.data(), mlp_norm_, rows(), width_, y.data());
    round(y);
    multiply(y.data(), rows(), {{gate_, gate.data()}, {up_, up.data()}});
    row_kernels().layers.swiglu[static_cast<int>(Element::float32)](gate.data(), up.data(), gate.data(), gate.size());
    round(gate);
    multiply(gate.data(), rows(), {{down_, y.data()}});
    add(x, y);
  }

  // Heads [batch, length, heads, features], normalized where they are, turned by their positions.
  void turn(Floats& x, int64_t heads, std::optional<FloatRows>& norm) {
    if (norm) {
      normalize(x.data(), *norm, rows() * heads, features_, x.data());
    }
    auto& angles = turns<float>(radians(options_.rope, freqs_), {double(options_.first)}, length_);
    int64_t half = options_.rope.dims / 2;
    auto rotate = row_kernels().layers.rotate[static_cast<int>(Element::float32)];
    for (int64_t i = 0; i < rows() * heads; i++) {
      float* row = &x[i * features_];
      int64_t place = i / heads % length_ * half;
      rotate(row, row, features_, half, options_.rope.traditional, &angles.cosines[place], &angles.sines[place]);
    }
  }

  void keep(const Floats& x, const KeptHeads& to) const {
    for (int64_t i = 0; i < rows() * to.heads; i++) {
      int64_t row = i / to.heads;
      narrow(&x[i * features_], to.at(row / length_, i % to.heads, options_.first + row % length_), features_);
    }
  }

  // For each position the heads that share keys together.
  void attention(Floats& q, Floats& out) const {
    int64_t together = options_.heads / options_.key_heads, seen = options_.first + length_;
    int64_t grain = std::max<int64_t>(1, least_scores / (seen * together));
    parallel_for(rows() * options_.key_heads, grain, [&](int64_t begin, int64_t end) {
      std::vector<float> scores(together * seen);
      std::vector<SoftmaxRow> softmax(together);
      for (int64_t i = begin; i < end; i++) {
        int64_t row = i / options_.key_heads, head = i % options_.key_heads;
        int64_t visible = options_.first + row % length_ + 1, place = i * together * features_;
        auto keys = keys_.at(row / length_, head, 0), values = values_.at(row / length_, head, 0);
        SharedHeads shared{{keys, features_, visible}, {values, features_, visible}, element_, features_, features_, options_.attention_scale};
        shared.attend({&q[place], features_, together}, scores.data(), &out[place], softmax.data());
      }
    });
  }

  BlockOptions options_;
  int64_t batch_, length_, width_, features_;
  Element element_;
  FloatRows x_, attention_norm_, mlp_norm_;
  std::optional<FloatRows> query_norm_, key_norm_;
  std::optional<NumbersOf> freqs_;
  LinearRows query_, key_, value_, output_, gate_, up_, down_;
  KeptHeads keys_, values_;
  char* out_;
};

// x, keys, values, and the arrays of the block -> the block's result, keys, values.
class FusedBlock : public Fused {
 public:
  FusedBlock(mx::Stream stream, BlockOptions options, BlockLayout layout) : Fused(stream), options_(options), layout_(layout) {}

  const char* name() const override {
    return "FusedDecoderBlock";
  }
  bool is_equivalent(const Primitive& other) const override {
    auto& same = static_cast<const FusedBlock&>(other);
    return options_ == same.options_ && layout_ == same.layout_;
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    return {inputs[0].shape(), inputs[1].shape(), inputs[2].shape()};
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override;

 protected:
  std::vector<mx::Dtype> output_dtypes(const Arrays& inputs) const override {
    return {inputs[0].dtype(), inputs[1].dtype(), inputs[2].dtype()};
  }
  Arrays composed(const Arrays& inputs) const override {
    return composed_block(inputs[0], layout_.block(inputs), inputs[1], inputs[2], options_, where());
  }

 private:
  BlockOptions options_;
  BlockLayout layout_;
};

// The rows of an array, where they are to be copied to, and nothing where that is their own memory.
struct Copied {
  Copied(const mx::array& from, mx::array& to) : rows(from), to(to.data<char>()), bytes(rows.length() * from.itemsize()) {
    is_same = from.data<char>() == this->to;
  }
  void run() const {
    std::vector<char> scratch;
    for (int64_t row = 0; row < rows.count() && !is_same; row++) {
      std::copy_n(static_cast<const char*>(rows.row(row, scratch)), bytes, to + row * bytes);
    }
  }
  RowsOf rows;
  char* to;
  int64_t bytes;
  bool is_same;
};

void FusedBlock::eval_cpu(const Arrays& inputs, Arrays& outputs) {
  release_siblings(inputs, outputs);
  allocate(outputs[0]);
  allocate_like(inputs[1], outputs[1]);
  allocate_like(inputs[2], outputs[2]);
  Copied keys(inputs[1], outputs[1]), values(inputs[2], outputs[2]);
  auto rows = std::make_shared<BlockRows>(inputs, layout_.block(inputs), options_, outputs);
  on_stream(stream(), [=] {
    keys.run();
    values.run();
    rows->run();
  });
}

bool layer_fits(const LinearLayer& layer, mx::Dtype dtype) {
  auto fits = [&](const std::optional<mx::array>& part) { return !part || part->dtype() == dtype || part->dtype() == mx::float32; };
  return (layer.scales || layer.weight.dtype() == dtype) && fits(layer.bias) && fits(layer.a) && fits(layer.b);
}

bool is_fused(const mx::array& x, const DecoderBlock& block, const mx::array& keys, const mx::array& values, mx::Stream s) {
  auto dtype = x.dtype();
  bool known = dtype == mx::float32 || dtype == mx::float16 || dtype == mx::bfloat16;
  bool dtypes = known && keys.dtype() == dtype && values.dtype() == dtype && block.attention_norm.dtype() == dtype && block.mlp_norm.dtype() == dtype;
  for (auto layer : {&block.query, &block.key, &block.value, &block.output, &block.gate, &block.up, &block.down}) {
    dtypes = dtypes && layer_fits(*layer, dtype);
  }
  return dtypes && x.size() > 0 && has_kernels(s);
}

} // namespace

Arrays decoder_block(
    const mx::array& x, const DecoderBlock& block, const mx::array& keys, const mx::array& values, const BlockOptions& options, mx::Stream s) {
  if (!is_fused(x, block, keys, values, s)) {
    return composed_block(x, block, keys, values, options, s);
  }
  Arrays inputs{x, keys, values};
  BlockLayout layout(inputs, block);
  return Fused::apply(std::make_shared<FusedBlock>(s, options, layout), inputs);
}

} // namespace mlxffi
