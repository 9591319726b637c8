// Matrix products, by the fastest way that the CPU has.
#pragma once

#include "fused.h"

namespace mlxffi {

// MLX's matmul. On a CPU MLX multiplies float16 and bfloat16 element by element; here large products of them are summed
// in float32 and rounded once: by the BLAS, those of bfloat16 by instructions of the CPU that has them. Few rows have kernels of their own in any precision.
mx::array matmul(const mx::array& a, const mx::array& b, mx::StreamOrDevice s);

} // namespace mlxffi
