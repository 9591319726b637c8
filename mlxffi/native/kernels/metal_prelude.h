// The words of the shared kernel source, for Metal (compiled at run time through MLX's metal_kernel). Never run by its
// authors: no Apple GPU was at hand (docs/gpu.md). MLX's own preamble brings <metal_stdlib>, using namespace metal and
// bfloat16_t.
#pragma once

namespace mlxffi::gpu {

inline constexpr const char* metal_prelude = R"gpu(
#define FN inline
#define DEVICE device
#define SHARED threadgroup
#define LOCAL thread
#define BLOCK_ARRAY threadgroup
#define UNROLLED _Pragma("clang loop unroll(full)")

namespace mlxffi_losses {

using Half = half;
using Bfloat = bfloat16_t;

FN float as_float(uint bits) {
  return as_type<float>(bits);
}

FN uint as_uint(float x) {
  return as_type<uint>(x);
}

FN uint4 make_uint4(uint a, uint b, uint c, uint d) {
  return uint4(a, b, c, d);
}

FN void half_pair(uint bits, thread float& low, thread float& high) {
  half2 both = as_type<half2>(bits);
  low = float(both.x);
  high = float(both.y);
}

FN uint pack_half(float low, float high) {
  return as_type<uint>(half2(half(low), half(high)));
}

// To the nearest, ties to even, in integers: bfloat16_t is not a type of the language on every system.
FN uint rounded_bfloat(float x) {
  uint bits = as_type<uint>(x);
  return x != x ? 0x7fc0u : (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}

FN uint pack_bfloat(float low, float high) {
  return rounded_bfloat(low) | (rounded_bfloat(high) << 16);
}

FN float exp2_fast(float x) {
  return fast::exp2(x);
}

FN float log2_fast(float x) {
  return fast::log2(x);
}

FN float log2_exact(float x) {
  return precise::log2(x);
}

FN float fused(float a, float b, float c) {
  return fma(a, b, c);
}

FN float larger(float a, float b) {
  return fmax(a, b);
}

FN float smaller(float a, float b) {
  return fmin(a, b);
}

FN float magnitude(float x) {
  return fabs(x);
}

FN float square_root(float x) {
  return sqrt(x);
}

// The loads below need the alignment of one element only, so every row counts as aligned.
template <typename T>
FN uint misalignment(const device T*) {
  return 0;
}

FN uint4 load16(const device float* p) {
  return uint4(*reinterpret_cast<const device packed_uint4*>(p));
}

template <typename T>
FN uint4 load16(const device T* p) {
  const device packed_ushort4* words = reinterpret_cast<const device packed_ushort4*>(p);
  ushort4 low = words[0], high = words[1];
  return uint4(as_type<uint>(low.xy), as_type<uint>(low.zw), as_type<uint>(high.xy), as_type<uint>(high.zw));
}

FN void store16(device float* p, uint4 v) {
  *reinterpret_cast<device packed_uint4*>(p) = packed_uint4(v);
}

template <typename T>
FN void store16(device T* p, uint4 v) {
  device packed_ushort4* words = reinterpret_cast<device packed_ushort4*>(p);
  words[0] = packed_ushort4(as_type<ushort4>(v.xy));
  words[1] = packed_ushort4(as_type<ushort4>(v.zw));
}

FN float simd_xor(float x, uint step) {
  return simd_shuffle_xor(x, ushort(step));
}

FN void block_barrier() {
  threadgroup_barrier(mem_flags::mem_threadgroup);
}

} // namespace mlxffi_losses
)gpu";

// Opens every kernel's body: where this thread stands. The grid's x is the part of a row, y and z are the row. MLX adds
// the attributes that it finds named here to the kernel's parameters.
inline constexpr const char* metal_prologue = R"gpu(
  using namespace mlxffi_losses;
  BLOCK_ARRAY float scratch[SCRATCH];
  const Team team = make_team(
      thread_position_in_threadgroup.x,
      threads_per_threadgroup.x,
      threadgroup_position_in_grid.x,
      threadgroups_per_grid.x,
      scratch);
  const uint row = threadgroup_position_in_grid.z * threadgroups_per_grid.y + threadgroup_position_in_grid.y;
)gpu";

} // namespace mlxffi::gpu
