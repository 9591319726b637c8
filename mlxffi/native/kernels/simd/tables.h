// The kernels of each instruction set that this build has.
#pragma once

#include "../rows.h"

namespace mlxffi {

extern const RowKernels baseline_kernels;
#if defined(__x86_64__)
extern const RowKernels avx2_kernels;
extern const RowKernels avx512_kernels;
const RowKernels& avx512bf16_kernels();
// What takes the place of `int8`.
extern const ByWidth vnni_kernels;
#elif defined(__aarch64__)
const RowKernels& neonbf16_kernels();
#endif

} // namespace mlxffi
