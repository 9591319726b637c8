// A warp, and a block, of one thread.
#pragma once

inline float simd_max(float x) {
  return x;
}
inline float simd_sum(float x) {
  return x;
}

struct mem_flags {
  enum { mem_threadgroup };
};
inline void threadgroup_barrier(int) {}
