// Products of bytes for x86-64 CPUs that add up four of them with one instruction.
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
#pragma clang attribute push(__attribute__((target("avx512vnni,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512vnni,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")
#endif

#define MLXFFI_VECTOR_BYTES 32
#define MLXFFI_VNNI
#include "int8_dots.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace mlxffi {

const ByWidth vnni_kernels = int8_kernels;

} // namespace mlxffi

#endif
