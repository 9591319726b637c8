// A linear layer with a low-rank addition.
#pragma once

#include "fused.h"

namespace mlxffi {

// x weight^T + scale (x a) b, for x [..., in], weight [out, in], a [in, rank] and b [rank, out]; fused on a CPU for
// float32.
mx::array lora_linear(const mx::array& x, const mx::array& weight, const mx::array& a, const mx::array& b, float scale, mx::Stream s);

} // namespace mlxffi
