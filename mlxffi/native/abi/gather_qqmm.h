// Products of matrices that indices choose, with both operands packed.
#pragma once

#include "convert.h"

namespace mlxc {

// MLX's gather_qqmm, which MLX's CPU code has not: x is rounded as the mode says, and the products are float32.
mx::array gather_qqmm(
    const mx::array& x, const mx::array& w, const std::optional<mx::array>& w_scales, const std::optional<mx::array>& lhs_indices,
    const std::optional<mx::array>& rhs_indices, std::optional<int> group_size, std::optional<int> bits, const std::string& mode,
    const std::optional<mx::array>& global_scale_x, const std::optional<mx::array>& global_scale_w, bool sorted_indices, mx::StreamOrDevice s);

} // namespace mlxc
