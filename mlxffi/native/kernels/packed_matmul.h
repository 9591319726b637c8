// Products with packed matrices, as nodes of MLX's graph.
#pragma once

#include <optional>
#include <string>

#include "fused.h"
#include "packing.h"

namespace mlxffi {

// MLX's quantized_matmul, for which MLX has one thread and no vectors on a CPU. A batch of matrices multiplies `x` of any
// batch that goes with it.
mx::array quantized_matmul(
    const mx::array& x, const mx::array& w, const mx::array& scales, const std::optional<mx::array>& biases, bool transpose,
    std::optional<int> group_size, std::optional<int> bits, const std::string& mode, mx::StreamOrDevice s);

// What numbers of nvfp4 are multiplied by for a global scale.
mx::array factor_of(const mx::array& global_scale, mx::Stream s);

// What is left of x once it was packed, in float32.
mx::array rounded(const mx::array& x, Packing packing, const std::optional<mx::array>& global_scale, mx::Stream s);

// MLX's qqmm, which MLX's CPU code has for a single row alone: x is rounded as the mode says, and the product is float32.
mx::array qqmm(
    const mx::array& x, const mx::array& w, const std::optional<mx::array>& w_scales, std::optional<int> group_size, std::optional<int> bits,
    const std::string& mode, const std::optional<mx::array>& global_scale_x, const std::optional<mx::array>& global_scale_w, mx::StreamOrDevice s);

// MLX's gather_qmm: of products with the same matrix this is unpacked once. An index of no matrix gives NaN.
mx::array gather_qmm(
    const mx::array& x, const mx::array& w, const mx::array& scales, const std::optional<mx::array>& biases,
    const std::optional<mx::array>& lhs_indices, const std::optional<mx::array>& rhs_indices, bool transpose, std::optional<int> group_size,
    std::optional<int> bits, const std::string& mode, const std::optional<mx::array>& global_scale, bool sorted_indices, mx::StreamOrDevice s);

} // namespace mlxffi
