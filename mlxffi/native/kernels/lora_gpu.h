// Linear layers with low-rank additions on a GPU: MLX's products, and a kernel for each thing that is beside them.
#pragma once

#include "lora.h"

namespace mlxffi::gpu {

// Whether the kernels take x [rows, in] and layers with factors of float32.
bool takes_loras(const mx::array& x, const LoraLayers& layers, mx::Stream s);

// x weight^T + scale (x a) b for each layer.
Arrays lora_linears(const mx::array& x, const LoraLayers& layers, float scale, mx::Stream s);

} // namespace mlxffi::gpu
