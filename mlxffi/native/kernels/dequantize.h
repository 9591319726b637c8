// Packed matrices unpacked, as a node of MLX's graph.
#pragma once

#include <optional>
#include <string>

#include "fused.h"
#include "packing.h"

namespace mlxffi {

// Packed matrices of 2 axes or more (numbers, scales and, in affine mode, biases) that a kernel unpacks on a CPU.
mx::array unpacked(Arrays packed, Packing packing, mx::Dtype dtype, mx::Stream s);

// MLX's dequantize, which MLX composes of a dozen operations on a CPU. The numbers are rounded once.
mx::array dequantize(
    const mx::array& w, const mx::array& scales, const std::optional<mx::array>& biases, std::optional<int> group_size,
    std::optional<int> bits, const std::string& mode, const std::optional<mx::array>& global_scale, std::optional<mx::Dtype> dtype,
    mx::StreamOrDevice s);

} // namespace mlxffi
