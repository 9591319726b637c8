// The kernels for AArch64 CPUs that multiply matrices of bfloat16 numbers, which also add up four products of bytes with one
// instruction: those for every CPU, and products.
#include "tables.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("bf16,dotprod"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("arch=armv8.2-a+bf16+dotprod")
#endif

#define MLXFFI_VECTOR_BYTES 16
#define MLXFFI_DOT_PRODUCTS
#include "int8_dots.h"
#include "neon_pairs.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace mlxffi {

const RowKernels& neonbf16_kernels() {
  static const RowKernels kernels = [] {
    auto result = baseline_kernels;
    result.name = "neonbf16";
    result.products.pairs = {pack_rows, pack_columns, multiply_pairs, nullptr, nullptr};
    result.products.int8 = int8_kernels;
    return result;
  }();
  return kernels;
}

} // namespace mlxffi

#endif
