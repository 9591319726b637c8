// Matrix products of half precision, by way of float32.
#pragma once

#include "fused.h"

namespace mlxffi {

// MLX's matmul. On a CPU MLX multiplies float16 and bfloat16 element by element; here large products of them are made by
// the BLAS, in float32, and rounded once.
mx::array matmul(const mx::array& a, const mx::array& b, mx::StreamOrDevice s);

} // namespace mlxffi
