// The kernels for x86-64 CPUs that also multiply pairs of bfloat16 numbers: those for AVX512, and products.
#include "tables.h"

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c"))), apply_to = function)
#else
// GCC 12's intrinsics of 512 bits begin with a vector that they leave undefined.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c")
#endif

#include "packed_pairs.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace mlxffi {

const RowKernels& avx512bf16_kernels() {
  static const RowKernels kernels = [] {
    auto result = avx512_kernels;
    result.name = "avx512bf16";
    result.products.pairs = {pack_rows, pack_columns, multiply_pairs, split_pairs, nibble_dots};
    if (__builtin_cpu_supports("avx512vnni")) {
      result.products.int8 = vnni_kernels;
    }
    return result;
  }();
  return kernels;
}

} // namespace mlxffi

#endif
