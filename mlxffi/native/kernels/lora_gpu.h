// A linear layer with a low-rank addition on a GPU: MLX's product, and a kernel for each thing that is beside it.
#pragma once

#include "fused.h"

namespace mlxffi::gpu {

// Whether it is for x, weight, a, b as mlxffi/kernels/lora.h has them, with factors of float32.
bool takes_lora(const Arrays& inputs, mx::Stream s);

// x, weight, a, b -> x weight^T + low b, low = scale x a.
Arrays lora_linear(const Arrays& inputs, float scale, mx::Stream s);

// x, weight, a, b, cotangent, low -> the gradients of a, b and, where it is wanted, x.
Arrays lora_gradients(const Arrays& inputs, float scale, bool wants_x, mx::Stream s);

} // namespace mlxffi::gpu
