// A linear layer with a low-rank addition.
#pragma once

#include "linear_layer.h"

namespace mlxffi {

// x weight^T + scale (x a) b, for a layer without bias; fused on a CPU for x and a weight of one dtype of float32, float16
// and bfloat16, or a packed weight, where a and b are float32.
mx::array lora_linear(const mx::array& x, const LinearLayer& layer, mx::Stream s);

} // namespace mlxffi
