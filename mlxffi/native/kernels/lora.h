// Linear layers with low-rank additions.
#pragma once

#include "fused.h"

namespace mlxffi {

// x weight^T + scale (x a) b, for x [..., in], weight [out, in], a [in, rank] and b [rank, out]; fused for factors of
// float32.
mx::array lora_linear(const mx::array& x, const mx::array& weight, const mx::array& a, const mx::array& b, float scale, mx::Stream s);

// Layers with one input: as many weights as a and b.
struct LoraLayers {
  Arrays weights, a, b;
};

// lora_linear for each layer; on a GPU, where they have one rank, their additions in one kernel.
Arrays lora_linears(const mx::array& x, const LoraLayers& layers, float scale, mx::Stream s);

// x, weight, a, b -> the same by single operations.
mx::array composed_lora(const Arrays& inputs, float scale, mx::Stream s);

} // namespace mlxffi
