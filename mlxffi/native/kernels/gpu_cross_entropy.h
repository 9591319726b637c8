// Kernel source of cross-entropy, forward and backward, shared by CUDA and Metal (see gpu_common.h).
#pragma once

namespace mlxffi::gpu {

inline constexpr const char* cross_entropy_source = R"gpu(
namespace mlxffi_losses {

template <bool SMOOTH>
struct CrossEntropySums {
  LogSum soft;
  float plain; // the sum of the logits, which smoothing needs

  FN void start() {
    soft.start(LOG2E);
    plain = 0.0f;
  }

  template <int N>
  FN void absorb(LOCAL const float (&x)[N]) {
    soft.absorb(x);
    if (SMOOTH) {
      float added = 0.0f;
      UNROLLED for (int k = 0; k < N; ++k) {
        added += x[k];
      }
      plain += added;
    }
  }

  // All threads agree on the maximum, then on the sums that belong to it.
  FN void settle(Team team) {
    float tops[1] = {soft.top};
    reduce<true>(tops, team);
    soft.raise(tops[0]);
    float sums[2] = {soft.sum, plain};
    reduce<false>(sums, team);
    soft.sum = sums[0];
    plain = sums[1];
  }
};

template <typename T>
FN void cross_entropy_ending(
    const DEVICE T* x, int target, float smoothing, uint length, LogSum soft, float plain, DEVICE float* loss,
    DEVICE float* lse) {
  float gap = LN2 * soft.gap();
  *lse = soft.top + gap;
  if (target < 0 || uint(target) >= length) {
    *loss = as_float(0x7fc00000u);
    return;
  }
  float picked = soft.top - float(x[target]); // exact where it matters, unlike lse - x[target]
  if (smoothing > 0.0f) {
    float average = soft.top - plain / float(length);
    picked = (1.0f - smoothing) * picked + smoothing * average;
  }
  *loss = picked + gap;
}

// loss and lse of one row: one read of the logits.
template <typename T, bool SMOOTH, int UNROLL>
FN void cross_entropy_forward(
    const DEVICE T* x, int target, float smoothing, uint length, Team team, DEVICE float* loss, DEVICE float* lse) {
  CrossEntropySums<SMOOTH> sums;
  sums.start();
  sweep<T, UNROLL>(x, length, team, sums);
  sums.settle(team);
  if (team.index == 0) {
    cross_entropy_ending(x, target, SMOOTH ? smoothing : 0.0f, length, sums.soft, sums.plain, loss, lse);
  }
}

// cotangent (softmax(x) - (1 - smoothing) onehot(target) - smoothing / V), a few elements at a time.
struct CrossEntropySlope {
  float lse;
  float cotangent;
  float everywhere; // smoothing / V
  float at_target; // 1 - smoothing
  uint target;

  template <int N>
  FN void map(LOCAL const float (&x)[N], LOCAL float (&out)[N], uint first) const {
    UNROLLED for (int k = 0; k < N; ++k) {
      out[k] = cotangent * (exp2_fast((x[k] - lse) * LOG2E) - everywhere);
    }
    if (target - first < uint(N)) { // one chunk a row; unsigned, so false where the target lies before it
      UNROLLED for (int k = 0; k < N; ++k) {
        if (first + k == target) {
          float probability = exp2_fast((x[k] - lse) * LOG2E);
          out[k] = cotangent * ((probability - at_target) - everywhere);
        }
      }
    }
  }
};

template <typename T, typename Slope>
FN void map_chunk(uint4 bits, DEVICE T* out, uint first, LOCAL const Slope& slope) {
  float values[Format<T>::N], slopes[Format<T>::N];
  Format<T>::unpack(bits, values);
  slope.map(values, slopes, first);
  store16(out + first, Format<T>::pack(slopes));
}

template <typename T, int UNROLL, typename Slope>
FN void map_row(const DEVICE T* x, DEVICE T* out, uint length, Team team, LOCAL const Slope& slope) {
  enum { N = Format<T>::N };
  uint head = lead<T>(x, out, length);
  uint vectors = (length - head) / N;
  for (uint e = team.index; e < length - vectors * N; e += team.width) {
    uint j = e < head ? e : e + vectors * N;
    float one[1] = {float(x[j])}, slopes[1];
    slope.map(one, slopes, j);
    out[j] = T(slopes[0]);
  }
  uint i = team.index;
  for (; i + (UNROLL - 1) * team.width < vectors; i += UNROLL * team.width) {
    uint4 bits[UNROLL];
    UNROLLED for (int u = 0; u < UNROLL; ++u) {
      bits[u] = load16(x + head + (i + u * team.width) * N);
    }
    UNROLLED for (int u = 0; u < UNROLL; ++u) {
      map_chunk(bits[u], out, head + (i + u * team.width) * N, slope);
    }
  }
  for (; i < vectors; i += team.width) {
    map_chunk(load16(x + head + i * N), out, head + i * N, slope);
  }
}

// The gradient of one row: one read, one write; a row that does not count is not read.
template <typename T, int UNROLL>
FN void cross_entropy_backward(
    const DEVICE T* x, int target, float lse, float cotangent, float smoothing, uint length, Team team, DEVICE T* out) {
  if (cotangent == 0.0f) {
    fill_zero(out, length, team);
    return;
  }
  CrossEntropySlope slope;
  slope.lse = lse;
  bool valid = target >= 0 && uint(target) < length;
  slope.cotangent = valid ? cotangent : as_float(0x7fc00000u);
  slope.everywhere = smoothing / float(length);
  slope.at_target = 1.0f - smoothing;
  slope.target = uint(target);
  map_row<T, UNROLL>(x, out, length, team, slope);
}

} // namespace mlxffi_losses
)gpu";

// Bodies; settings holds the smoothing, OPTION says whether there is any.
inline constexpr const char* cross_entropy_forward_body = R"gpu(
  const uint length = logits_shape[1];
  if (row < uint(logits_shape[0])) {
    cross_entropy_forward<T, OPTION, UNROLL>(
        logits + size_t(row) * length, targets[row], settings[0], length, team, loss + row, lse + row);
  }
)gpu";

inline constexpr const char* cross_entropy_backward_body = R"gpu(
  const uint length = logits_shape[1];
  if (row < uint(logits_shape[0])) {
    cross_entropy_backward<T, UNROLL>(
        logits + size_t(row) * length, targets[row], lse[row], cotangent[row], settings[0], length, team,
        gradient + size_t(row) * length);
  }
)gpu";

} // namespace mlxffi::gpu
