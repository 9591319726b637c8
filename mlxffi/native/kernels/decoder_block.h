// A block of a decoder of Llama's kind, for the few rows of a step of generation.
#pragma once

#include "linear_layer.h"
#include "rope.h"

namespace mlxffi {

struct BlockOptions {
  int heads, key_heads;
  // How many positions the keys hold already, which is the position of the first row.
  int first;
  float eps, attention_scale;
  RopeOptions rope;

  bool operator==(const BlockOptions&) const = default;
};

struct DecoderBlock {
  // [C]; those of queries and keys, [D], are for each head.
  mx::array attention_norm, mlp_norm;
  std::optional<mx::array> query_norm, key_norm;
  // [D / 2].
  std::optional<mx::array> freqs;
  LinearLayer query, key, value, output, gate, up, down;
};

// x (batch, positions, C), keys and values (batch, key heads, room, D) -> x + attention + feed-forward network of it, and
// the keys and values with those of x from `first` on, in the same memory where nobody else needs that. A position sees
// all before it and itself.
Arrays decoder_block(
    const mx::array& x, const DecoderBlock& block, const mx::array& keys, const mx::array& values, const BlockOptions& options, mx::Stream s);

} // namespace mlxffi
