// Products of float16 or bfloat16 matrices that indices choose.
#pragma once

#include "fused.h"

namespace mlxffi {

// MLX's GatherMM, which on a CPU knows float32 alone: a (..., m, k), b (..., k, n) and the indices of both. All rows that a
// matrix of b multiplies are one product, with sums of float32 that are rounded once.
void gather_halves(const Arrays& inputs, mx::array& out, mx::Stream s);

} // namespace mlxffi
