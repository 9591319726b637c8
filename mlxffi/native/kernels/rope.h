// Rotary position embedding.
#pragma once

#include "fused.h"

namespace mlxffi {

struct RopeOptions {
  int dims;
  bool traditional;
  std::optional<float> base;
  float scale;

  bool operator==(const RopeOptions&) const = default;
};

// MLX's fast::rope; fused on a CPU for floating point arrays of three and more axes.
mx::array rope(
    const mx::array& x, const RopeOptions& options, const mx::array& offset, const std::optional<mx::array>& freqs, mx::Stream s);

} // namespace mlxffi
