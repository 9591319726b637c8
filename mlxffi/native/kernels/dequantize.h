// Packed matrices unpacked, as a node of MLX's graph.
#pragma once

#include <optional>
#include <string>

#include "fused.h"

namespace mlxffi {

// MLX's dequantize, which MLX composes of a dozen operations on a CPU. The numbers are rounded once.
mx::array dequantize(
    const mx::array& w, const mx::array& scales, const std::optional<mx::array>& biases, std::optional<int> group_size,
    std::optional<int> bits, const std::string& mode, const std::optional<mx::array>& global_scale, std::optional<mx::Dtype> dtype,
    mx::StreamOrDevice s);

} // namespace mlxffi
