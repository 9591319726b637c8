// The words of the shared kernel source, for CUDA (compiled at run time by NVRTC through MLX's cuda_kernel).
#pragma once

namespace mlxffi::gpu {

inline constexpr const char* cuda_prelude = R"gpu(
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#define FN __device__ __forceinline__
#define DEVICE
#define SHARED
#define LOCAL
#define BLOCK_ARRAY __shared__
#define UNROLLED _Pragma("unroll")

namespace mlxffi_losses {

using uint = unsigned int;
using Half = __half;
using Bfloat = __nv_bfloat16;

FN float as_float(uint bits) {
  return __uint_as_float(bits);
}

FN uint as_uint(float x) {
  return __float_as_uint(x);
}

FN void half_pair(uint bits, float& low, float& high) {
  float2 both = __half22float2(*reinterpret_cast<const __half2*>(&bits));
  low = both.x;
  high = both.y;
}

FN uint pack_half(float low, float high) {
  __half2 both = __floats2half2_rn(low, high);
  return *reinterpret_cast<const uint*>(&both);
}

FN uint pack_bfloat(float low, float high) {
  __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const uint*>(&both);
}

FN float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

FN float log2_fast(float x) {
  float y;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

FN float log2_exact(float x) {
  return log2f(x);
}

FN float fused(float a, float b, float c) {
  return fmaf(a, b, c);
}

FN float larger(float a, float b) {
  return fmaxf(a, b);
}

FN float smaller(float a, float b) {
  return fminf(a, b);
}

FN float magnitude(float x) {
  return fabsf(x);
}

FN float square_root(float x) {
  return sqrtf(x);
}

FN uint misalignment(const void* p) {
  return uint(reinterpret_cast<unsigned long long>(p) & 15);
}

// No thread reads another's bytes: the logits go past the L1 cache.
FN uint4 load16(const void* p) {
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(p));
  return v;
}

FN void store16(void* p, uint4 v) {
  __stcs(reinterpret_cast<uint4*>(p), v);
}

FN float simd_max(float x) {
  for (int step = 16; step > 0; step /= 2) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, step));
  }
  return x;
}

FN float simd_sum(float x) {
  for (int step = 16; step > 0; step /= 2) {
    x += __shfl_xor_sync(0xffffffffu, x, step);
  }
  return x;
}

FN float simd_xor(float x, uint step) {
  return __shfl_xor_sync(0xffffffffu, x, step);
}

FN void block_barrier() {
  __syncthreads();
}

} // namespace mlxffi_losses
)gpu";

// Opens every kernel's body: where this thread stands. The grid's x is the part of a row, y and z are the row.
inline constexpr const char* cuda_prologue = R"gpu(
  using namespace mlxffi_losses;
  BLOCK_ARRAY float scratch[SCRATCH];
  const Team team = make_team(threadIdx.x, blockDim.x, blockIdx.x, gridDim.x, scratch);
  const uint row = blockIdx.z * gridDim.y + blockIdx.y;
)gpu";

} // namespace mlxffi::gpu
