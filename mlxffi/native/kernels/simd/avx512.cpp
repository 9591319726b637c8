// The kernels for x86-64 CPUs with AVX512.
#include "tables.h"

#if defined(__x86_64__)

// Before the target changes: what these define may be shared with code for any CPU.
#include <immintrin.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), apply_to = function)
#else
// GCC 12's intrinsics of 512 bits begin with a vector that they leave undefined.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")
#endif

#define MLXFFI_VECTOR_BYTES 64
#include "kernels.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace mlxffi {

const RowKernels avx512_kernels = MLXFFI_ROW_KERNELS("avx512");

} // namespace mlxffi

#endif
