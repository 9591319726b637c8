// Attention: softmax(scale q k^T + mask) v.
#pragma once

#include "fused.h"

namespace mlxffi {

enum class Masking { none, causal, array };

struct AttentionOptions {
  float scale;
  Masking masking;

  bool operator==(const AttentionOptions&) const = default;
};

// MLX's fast::scaled_dot_product_attention without sinks; fused on a CPU for float32, float16 and bfloat16. `mask`
// belongs to Masking::array.
mx::array attention(
    const mx::array& q, const mx::array& k, const mx::array& v, const AttentionOptions& options, const std::optional<mx::array>& mask, mx::Stream s);

} // namespace mlxffi
