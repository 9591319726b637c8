// RMSNorm: each row over its root mean square, times a weight.
#pragma once

#include "fused.h"

namespace mlxffi {

// MLX's fast::rms_norm; fused on a CPU for floating point rows and a weight, if any, of their dtype.
mx::array rms_norm(const mx::array& x, const std::optional<mx::array>& weight, float eps, mx::Stream s);

// The gradients of x, added to `sum` if there is one, and where it is wanted of the weight; where a GPU has one kernel for
// that.
std::optional<Arrays> rms_norm_gradients(
    const mx::array& x,
    const mx::array& weight,
    const mx::array& cotangent,
    const std::optional<mx::array>& sum,
    bool of_weight,
    float eps,
    mx::Stream s);

} // namespace mlxffi
