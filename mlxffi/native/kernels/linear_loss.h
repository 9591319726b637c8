// A loss over the logits of output layers, which are made and used a chunk of rows at a time and never stored whole.
//
// A row's gradient is its cotangent times what it is for a cotangent of 1. So where a gradient will be asked for, each
// chunk gives its losses and, from the same logits, the gradients of its hidden states, which later are only scaled.
// Weights get theirs from logits that are made again. On a CPU this is a node with an evaluation of its own, since MLX
// would make the logits of several chunks at once; elsewhere, and for float64, a graph.
#pragma once

#include <functional>
#include <memory>
#include <numeric>

#include "fused.h"
#include "head.h"

namespace mlxffi {

// What the logits of a chunk may take, in bytes: enough rows for the products to run at full speed.
inline constexpr int64_t chunk_on_cpu = int64_t(64) << 20, chunk_on_gpu = int64_t(256) << 20;
inline constexpr int64_t fewest_rows = 128;

// How many rows a chunk has.
inline int64_t rows_at_once(int64_t bytes, int64_t row) {
  return std::clamp(bytes / row / fewest_rows, int64_t(1), int64_t(1) << 20) * fewest_rows;
}

// The losses of rows by their logits on a CPU, as float32.
struct RowLoss {
  // Whether a row counts. What does not has a loss and a gradient of 0.
  std::function<bool(int64_t row)> counts;
  // `logits` and, where gradients for a cotangent of 1 are wanted, `out` have a row for each head; `out` may be `logits`.
  std::function<double(float* const* logits, float* const* out, int64_t row)> loss;
};

// Some rows with their hidden states and logits, one block for each head.
struct Chunk {
  std::vector<int64_t> rows;
  std::vector<float*> hidden, logits;
};

// Inputs: those of each head one after the other, then what else the loss takes for each row. Outputs: the losses, and
// the gradients of hidden states that are kept.
class LinearLoss : public Fused, public std::enable_shared_from_this<LinearLoss> {
 public:
  LinearLoss(mx::Stream s, std::vector<HeadLayout> heads, bool keeps, bool node)
      : Fused(s), heads_(std::move(heads)), keeps_(keeps), node_(node) {}

  bool is_equivalent(const Primitive& other) const override {
    return this == &other;
  }
  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    std::vector<mx::Shape> shapes{{inputs[0].shape(0)}};
    for (int place : kept()) {
      shapes.push_back(inputs[place].shape());
    }
    return shapes;
  }
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override;
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& outputs) override;
  std::pair<Arrays, std::vector<int>> vmap(const Arrays& inputs, const std::vector<int>& axes) override;
  Arrays composed(const Arrays& inputs) const override;

  // The places of a head's arrays that learn and have no rows: a weight that is not packed, a bias.
  std::vector<int> parameters() const;
  // Their gradients, from the loss's inputs and the cotangent: as a graph, and as the evaluation of a node.
  Arrays parameter_gradients(const Arrays& inputs, const mx::array& cotangent) const;
  void eval_parameters(mx::Stream s, const Arrays& inputs, Arrays& outputs) const;
  bool is_node() const override {
    return node_;
  }

 protected:
  // The losses of rows by their logits, one array for each head.
  virtual mx::array losses(const Arrays& logits, const Arrays& others) const = 0;
  virtual RowLoss on_cpu(const Arrays& others, int64_t classes) const = 0;
  // Whether the second head gets gradients.
  virtual bool teaches() const {
    return false;
  }
  // The same, but keeping gradients.
  virtual std::shared_ptr<LinearLoss> keeping() const = 0;

  const std::vector<HeadLayout>& heads() const {
    return heads_;
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
  int first_of(size_t head) const {
    return std::accumulate(heads_.begin(), heads_.begin() + head, 0, [](int sum, auto& one) { return sum + one.size(); });
  }
  Arrays others(const Arrays& inputs) const {
    return {inputs.begin() + first_of(heads_.size()), inputs.end()};
  }
  std::vector<int> kept() const;
  bool has_rows(int place) const;
  Arrays chunk(const Arrays& inputs, int begin, int end, const Arrays& after) const;
  std::vector<Arrays> over_chunks(const Arrays& inputs, const Body& body) const;
  std::vector<HeadRows> rows_of(const Arrays& inputs) const;
  Arrays chunk_memory(const std::vector<HeadRows>& heads, int64_t rows) const;
  void over_chunks(
      const std::vector<HeadRows>& heads, Arrays memory, const std::vector<int64_t>& rows, const std::function<void(Chunk&)>& body) const;
  void losses_of(
      const std::vector<HeadRows>& heads, const RowLoss& loss, Chunk& chunk, bool gradients,
      const std::function<void(int64_t, double)>& put) const;

  std::vector<HeadLayout> heads_;
  bool keeps_, node_;
};

} // namespace mlxffi
