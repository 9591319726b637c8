// Kernel source shared by CUDA and Metal: teams of threads, rows of values, the running log-sum-exp.
//
// The text is written in the words that cuda_prelude.h and metal_prelude.h define: FN (a function of the GPU), DEVICE,
// SHARED and LOCAL (address spaces, which only Metal spells out), Half and Bfloat, load16, store16, as_float, exp2_fast
// and so on. Everything else is the C++ that both languages have: no lambdas, no exceptions, no 64-bit floats.
#pragma once

namespace mlxffi::gpu {

inline constexpr const char* common_source = R"gpu(
#define LOG2E 1.4426950408889634f
#define LN2 0.6931471805599453f
#define MINUS_INFINITY as_float(0xff800000u)
#define PLUS_INFINITY as_float(0x7f800000u)
// A base that is finite whatever the scale, for rows (or parts of rows) that are all -inf.
#define LOWEST_BASE -3.0e38f
// A chunk whose sums stay below this needs no new base. Far below float32's limit, for a small sum's logarithm is exact
// to more digits.
#define ROOM 1.0e6f
// What a reduction needs of shared memory: 3 values from each of 32 warps.
#define SCRATCH 96

namespace mlxffi_losses {

// The threads that share one row: a block, or where nothing is summed all blocks of that row.
struct Team {
  uint index; // of this thread in the team
  uint width; // the team's threads
  uint lane; // of this thread in its warp
  uint lanes;
  uint warp;
  uint warps; // in this block
  SHARED float* scratch;
};

FN Team make_team(uint place, uint block_width, uint part, uint parts, SHARED float* scratch) {
  Team team;
  team.index = part * block_width + place;
  team.width = parts * block_width;
  team.lanes = 32;
  team.lane = place % 32;
  team.warp = place / 32;
  team.warps = block_width / 32;
  team.scratch = scratch;
  return team;
}

template <bool MAX>
FN float warp_reduce(float x) {
  return MAX ? simd_max(x) : simd_sum(x);
}

// Every thread of the block gets the maximum (or sum) of each value; the order of the terms is always the same.
template <bool MAX, int K>
FN void reduce(LOCAL float (&v)[K], Team team) {
  for (int k = 0; k < K; ++k) {
    float partial = warp_reduce<MAX>(v[k]);
    if (team.lane == 0) {
      team.scratch[k * 32 + team.warp] = partial;
    }
  }
  block_barrier();
  for (int k = 0; k < K; ++k) {
    float none = MAX ? MINUS_INFINITY : 0.0f;
    v[k] = warp_reduce<MAX>(team.lane < team.warps ? team.scratch[k * 32 + team.lane] : none);
  }
  block_barrier(); // scratch is free again
}

// The sum over lanes whose numbers differ in the bits from `first` up to below `end`, powers of two: over groups of `end`
// lanes that stand together with first 1, over the places in groups of `first` lanes with end 32.
FN float lanes_sum(float x, uint first, uint end) {
  for (uint step = first; step < end; step *= 2) {
    x += simd_xor(x, step);
  }
  return x;
}

// How many numbers the first axes have.
template <typename S>
FN uint size_of(S shape, int axes) {
  uint size = 1;
  for (int i = 0; i < axes; ++i) {
    size *= uint(shape[i]);
  }
  return size;
}

// --- sixteen bytes of a row ---

template <typename T>
struct Format;

template <>
struct Format<float> {
  enum { N = 4 };
  FN static void unpack(uint4 bits, LOCAL float (&x)[4]) {
    x[0] = as_float(bits.x);
    x[1] = as_float(bits.y);
    x[2] = as_float(bits.z);
    x[3] = as_float(bits.w);
  }
  FN static uint4 pack(LOCAL const float (&x)[4]) {
    return make_uint4(as_uint(x[0]), as_uint(x[1]), as_uint(x[2]), as_uint(x[3]));
  }
};

template <>
struct Format<Half> {
  enum { N = 8 };
  FN static void unpack(uint4 bits, LOCAL float (&x)[8]) {
    half_pair(bits.x, x[0], x[1]);
    half_pair(bits.y, x[2], x[3]);
    half_pair(bits.z, x[4], x[5]);
    half_pair(bits.w, x[6], x[7]);
  }
  FN static uint4 pack(LOCAL const float (&x)[8]) {
    return make_uint4(
        pack_half(x[0], x[1]), pack_half(x[2], x[3]), pack_half(x[4], x[5]), pack_half(x[6], x[7]));
  }
};

template <>
struct Format<Bfloat> {
  enum { N = 8 };
  // A bfloat16 is the upper half of a float32.
  FN static void unpack(uint4 bits, LOCAL float (&x)[8]) {
    x[0] = as_float(bits.x << 16);
    x[1] = as_float(bits.x & 0xffff0000u);
    x[2] = as_float(bits.y << 16);
    x[3] = as_float(bits.y & 0xffff0000u);
    x[4] = as_float(bits.z << 16);
    x[5] = as_float(bits.z & 0xffff0000u);
    x[6] = as_float(bits.w << 16);
    x[7] = as_float(bits.w & 0xffff0000u);
  }
  FN static uint4 pack(LOCAL const float (&x)[8]) {
    return make_uint4(
        pack_bfloat(x[0], x[1]), pack_bfloat(x[2], x[3]), pack_bfloat(x[4], x[5]), pack_bfloat(x[6], x[7]));
  }
};

// Eight numbers as they lie in memory, which take fewer registers than as float32.
template <typename A>
struct Packed {
  enum { N = Format<A>::N };
  uint4 bits[8 / N];

  // In loads of 16 bytes where they begin at such a boundary. Of fewer than eight, the others are 0.
  FN void load(const DEVICE A* from, uint count) {
    const bool whole = count >= 8 && misalignment(from) == 0;
    UNROLLED for (int k = 0; k < 8 / N; ++k) {
      if (whole) {
        bits[k] = load16(from + k * N);
      } else {
        float part[N];
        UNROLLED for (int j = 0; j < N; ++j) {
          part[j] = uint(k * N + j) < count ? float(from[k * N + j]) : 0.0f;
        }
        bits[k] = Format<A>::pack(part);
      }
    }
  }
  FN void unpack(LOCAL float (&x)[8]) const {
    UNROLLED for (int k = 0; k < 8 / N; ++k) {
      float part[N];
      Format<A>::unpack(bits[k], part);
      UNROLLED for (int j = 0; j < N; ++j) {
        x[k * N + j] = part[j];
      }
    }
  }
};

// Eight numbers of a thread.
struct Eight {
  float x[8];

  FN void clear() {
    UNROLLED for (int k = 0; k < 8; ++k) {
      x[k] = 0.0f;
    }
  }
  template <typename A>
  FN void load(const DEVICE A* from, uint count) {
    Packed<A> packed;
    packed.load(from, count);
    packed.unpack(x);
  }
  // In stores of 16 bytes where they begin at such a boundary; of fewer than eight, no others are written.
  template <typename A>
  FN void store(DEVICE A* to, uint count) const {
    enum { N = Format<A>::N };
    const bool whole = count >= 8 && misalignment(to) == 0;
    UNROLLED for (int k = 0; k < 8; k += N) {
      float part[N];
      UNROLLED for (int j = 0; j < N; ++j) {
        part[j] = x[k + j];
        if (!whole && uint(k + j) < count) {
          to[k + j] = A(x[k + j]);
        }
      }
      if (whole) {
        store16(to + k, Format<A>::pack(part));
      }
    }
  }
};

template <typename A>
FN Eight unpacked(LOCAL const Packed<A>& packed) {
  Eight numbers;
  packed.unpack(numbers.x);
  return numbers;
}

// Elements before the first one at which both rows can be read 16 bytes at a time; all of them where there is none.
template <typename T>
FN uint lead(const DEVICE T* a, const DEVICE T* b, uint length) {
  uint over = misalignment(a);
  if (over != misalignment(b)) {
    return length;
  }
  uint missing = over == 0 ? 0 : (16 - over) / uint(sizeof(T));
  return missing < length ? missing : length;
}

// --- reading rows ---
// A visitor's absorb takes the same few values of each row. UNROLL chunks are loaded before the first is used, so that
// enough bytes are on their way. What lies before and after the aligned middle goes one by one.

template <typename T, int UNROLL, typename Visitor>
FN void sweep(const DEVICE T* x, uint length, Team team, LOCAL Visitor& visitor) {
  enum { N = Format<T>::N };
  uint head = lead<T>(x, x, length);
  uint vectors = (length - head) / N;
  for (uint e = team.index; e < length - vectors * N; e += team.width) {
    float one[1] = {float(x[e < head ? e : e + vectors * N])};
    visitor.absorb(one);
  }
  uint i = team.index;
  for (; i + (UNROLL - 1) * team.width < vectors; i += UNROLL * team.width) {
    uint4 bits[UNROLL];
    UNROLLED for (int u = 0; u < UNROLL; ++u) {
      bits[u] = load16(x + head + (i + u * team.width) * N);
    }
    UNROLLED for (int u = 0; u < UNROLL; ++u) {
      float values[N];
      Format<T>::unpack(bits[u], values);
      visitor.absorb(values);
    }
  }
  for (; i < vectors; i += team.width) {
    float values[N];
    Format<T>::unpack(load16(x + head + i * N), values);
    visitor.absorb(values);
  }
}

// REVERSE goes from the end: what was read last is still in the cache.
template <typename T, int UNROLL, bool REVERSE, typename Visitor>
FN void sweep_pair(const DEVICE T* q, const DEVICE T* p, uint length, Team team, LOCAL Visitor& visitor) {
  enum { N = Format<T>::N };
  uint head = lead<T>(q, p, length);
  uint vectors = (length - head) / N;
  for (uint e = team.index; e < length - vectors * N; e += team.width) {
    uint j = e < head ? e : e + vectors * N;
    float one[1] = {float(q[j])}, other[1] = {float(p[j])};
    visitor.absorb(one, other);
  }
  uint i = team.index;
  for (; i + (UNROLL - 1) * team.width < vectors; i += UNROLL * team.width) {
    uint4 a[UNROLL], b[UNROLL];
    UNROLLED for (int u = 0; u < UNROLL; ++u) {
      uint at = i + u * team.width;
      uint j = head + (REVERSE ? vectors - 1 - at : at) * N;
      a[u] = load16(q + j);
      b[u] = load16(p + j);
    }
    UNROLLED for (int u = 0; u < UNROLL; ++u) {
      float x[N], y[N];
      Format<T>::unpack(a[u], x);
      Format<T>::unpack(b[u], y);
      visitor.absorb(x, y);
    }
  }
  for (; i < vectors; i += team.width) {
    uint j = head + (REVERSE ? vectors - 1 - i : i) * N;
    float x[N], y[N];
    Format<T>::unpack(load16(q + j), x);
    Format<T>::unpack(load16(p + j), y);
    visitor.absorb(x, y);
  }
}

// A row of zeros, for a row that does not count.
template <typename T>
FN void fill_zero(DEVICE T* out, uint length, Team team) {
  enum { N = Format<T>::N };
  uint head = lead<T>(out, out, length);
  uint vectors = (length - head) / N;
  for (uint e = team.index; e < length - vectors * N; e += team.width) {
    out[e < head ? e : e + vectors * N] = T(0.0f);
  }
  for (uint i = team.index; i < vectors; i += team.width) {
    store16(out + head + i * N, make_uint4(0, 0, 0, 0));
  }
}

// --- log-sum-exp of a row ---
// sum = sum of 2^(scale x - base) over what was absorbed. base follows the maximum only when it must: as long as a
// chunk's terms have room in float32, an old base serves as well as a new one, and no maximum is looked for.

struct LogSum {
  float scale; // log2(e) / temperature
  float base;
  float top; // the maximum at the last change of base, or below
  float sum;

  FN void start(float log2_scale) {
    scale = log2_scale;
    base = LOWEST_BASE;
    top = MINUS_INFINITY;
    sum = 0.0f;
  }

  FN float term(float x) const {
    return exp2_fast(fused(x, scale, -base));
  }

  // Moves to a maximum of at least `to`; the factor is what older sums are multiplied by.
  FN float raise(float to) {
    top = larger(top, to);
    float raised = larger(top * scale, LOWEST_BASE);
    float factor = exp2_fast(base - raised);
    base = raised;
    sum *= factor;
    return factor;
  }

  template <int N>
  FN void absorb(LOCAL const float (&x)[N]) {
    float added = 0.0f;
    UNROLLED for (int k = 0; k < N; ++k) {
      added += term(x[k]);
    }
    if (!(added < ROOM)) { // too large, or not a number: there are larger values here than base was made for
      raise(largest(x));
      added = 0.0f;
      UNROLLED for (int k = 0; k < N; ++k) {
        added += term(x[k]);
      }
    }
    sum += added;
  }

  template <int N>
  FN static float largest(LOCAL const float (&x)[N]) {
    float most = x[0];
    UNROLLED for (int k = 1; k < N; ++k) {
      most = larger(most, x[k]);
    }
    return most;
  }

  // log2 of the sum of 2^(scale (x - top)): what is left after taking the maximum out exactly. base is a rounded
  // product, and the difference is put back here, or logits of 10,000 would lose three digits.
  FN float gap() const {
    float rounding = top > LOWEST_BASE ? fused(top, scale, -base) : 0.0f;
    return log2_exact(sum) - rounding;
  }
};

} // namespace mlxffi_losses
)gpu";

// Opens the bodies of kernels that make no sums, where others make some beside the gradient.
inline constexpr const char* no_sums_head = R"gpu(
  DEVICE float* const sums = nullptr;
)gpu";

} // namespace mlxffi::gpu
