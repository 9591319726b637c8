// An output layer: what makes logits of hidden states.
#pragma once

#include <memory>
#include <string>

#include "packing.h"
#include "pair_product.h"
#include "products.h"

namespace mlxffi {

// logits = hidden weight^T + bias, or cap tanh(that / cap).
struct Head {
  // [V, C], or packed as mx::quantize does it.
  mx::array weight;
  std::optional<mx::array> scales, biases;
  int group_size, bits;
  std::string mode;
  // [V].
  std::optional<mx::array> bias;
  // 0: none.
  double soft_cap;
};

// A head without its arrays, which stand among the inputs of a node: hidden [rows, C], weight, then scales, biases and
// bias where there are any.
struct HeadLayout {
  bool packed, shifted, biased;
  Packing packing;
  double soft_cap;

  explicit HeadLayout(const Head& head);
  int size() const {
    return 2 + packed + shifted + biased;
  }
};

// Adds a head's arrays, with the hidden states' batch as rows, and both in one dtype.
void append(std::vector<mx::array>& inputs, const mx::array& hidden, const Head& head, mx::Stream s);

// The logits by single operations; the inputs of the head stand from `first` on.
mx::array logits_of(const std::vector<mx::array>& inputs, int first, const HeadLayout& head, mx::Stream s);

// The same on a CPU, in float32, of which a weight that is anything else is widened or unpacked a tile at a time.
class HeadRows {
 public:
  HeadRows(const std::vector<mx::array>& inputs, int first, const HeadLayout& head);

  int64_t classes() const {
    return classes_;
  }
  int64_t features() const {
    return features_;
  }
  double soft_cap() const {
    return soft_cap_;
  }
  // Some of the hidden states, side by side.
  void hidden(const std::vector<int64_t>& rows, float* out) const;
  // [rows, V] of hidden states [rows, C].
  void logits(const float* hidden, int64_t rows, float* out) const;
  // What the gradients [rows, V] of the logits, less their cap, are for the hidden states: [rows, C].
  void back(const float* gradients, int64_t rows, float* out) const;
  // Turns gradients of capped logits of a row into those of the logits themselves, in the logits' place.
  void uncap(const float* gradients, float* logits) const;

 private:
  // Calls body(rows of the weight in float32, the first one's number, how many).
  void over_tiles(const std::function<void(Matrix, int64_t, int64_t)>& body) const;
  void widen(int64_t begin, int64_t end, float* out) const;
  void logits_by_pairs(const float* hidden, int64_t rows, float* out) const;
  void back_by_pairs(const float* gradients, int64_t rows, float* out) const;

  RowsOf hidden_;
  Element element_;
  int64_t classes_, features_;
  double soft_cap_;
  const float* weight_;
  // The weight of bfloat16 that is multiplied in pairs; no data for others.
  HalfMatrix pairs_{nullptr, 0};
  std::optional<RowsOf> rows_;
  std::optional<PackedMatrices> packed_;
  std::optional<RowsOf> bias_;
  Element bias_element_ = Element::float32;
};

} // namespace mlxffi
