// Stand-ins for the words of Metal that the kernels' text uses, so that a C++ compiler takes it (see metal.py).
#pragma once

#include <cmath>
#include <cstring>

#include "metal_block.h"

typedef unsigned int uint;
typedef unsigned short ushort;
typedef _Float16 half;

template <typename To, typename From>
To as_type(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}

// Declares a vector type as its two halves and as its numbers.
#define FOUR(name, number, pair)  \
  struct pair {                   \
    number x, y;                  \
  };                              \
  struct name {                   \
    union {                       \
      struct {                    \
        number x, y, z, w;        \
      };                          \
      struct {                    \
        pair xy, zw;              \
      };                          \
    };                            \
    name() {}                     \
    name(number a, number b, number c, number d) : x(a), y(b), z(c), w(d) {} \
  };                              \
  struct packed_##name {          \
    number values[4];             \
    packed_##name() {}            \
    explicit packed_##name(name v) { \
      memcpy(values, &v, sizeof values); \
    }                             \
    operator name() const {       \
      return as_type<name>(*this); \
    }                             \
  };

FOUR(ushort4, ushort, ushort2)
FOUR(uint4, uint, uint2)

struct uint3 {
  uint x, y, z;
};

struct half2 {
  half x, y;
  half2() {}
  half2(half a, half b) : x(a), y(b) {}
};

struct bfloat16_t {
  ushort bits;
  bfloat16_t() {}
  explicit bfloat16_t(float x) {
    uint all = as_type<uint>(x);
    bits = ushort((all + 0x7fff + ((all >> 16) & 1)) >> 16);
  }
  operator float() const {
    return as_type<float>(uint(bits) << 16);
  }
};

namespace fast {
inline float exp2(float x) {
  return ::exp2f(x);
}
inline float log2(float x) {
  return ::log2f(x);
}
} // namespace fast

namespace precise {
inline float log2(float x) {
  return ::log2f(x);
}
} // namespace precise

inline float simd_shuffle_xor(float x, ushort step) {
  return block::exchanged(x)[block::lane() ^ step];
}
inline float simd_max(float x) {
  for (int step = 1; step < 32; step *= 2) {
    x = std::fmax(x, simd_shuffle_xor(x, step));
  }
  return x;
}
inline float simd_sum(float x) {
  for (int step = 1; step < 32; step *= 2) {
    x += simd_shuffle_xor(x, step);
  }
  return x;
}

struct mem_flags {
  enum { mem_threadgroup };
};
inline void threadgroup_barrier(int) {
  block::all().meet();
}

#define device
#define thread
#define threadgroup
