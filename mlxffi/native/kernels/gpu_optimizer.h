// Kernel source of optimizers: an update of arrays in one pass, and the sums of arrays' squares, shared by CUDA and Metal
// (see gpu_common.h).
#pragma once

namespace mlxffi::gpu {

inline constexpr const char* optimizer_source = R"gpu(
namespace mlxffi_losses {

// The numbers of mlxffi_adam().
struct Adam {
  bool applied;
  float scale, rate, kept, beta_1, fresh_1, beta_2, fresh_2, correction, eps;

  FN void read(const DEVICE float* numbers) {
    applied = numbers[0] != 0.0f;
    scale = numbers[1];
    rate = numbers[2];
    kept = numbers[3];
    beta_1 = numbers[4];
    fresh_1 = numbers[5];
    beta_2 = numbers[6];
    fresh_2 = numbers[7];
    correction = numbers[8];
    eps = numbers[9];
  }

  FN void step(LOCAL float& w, float gradient, LOCAL float& m, LOCAL float& v) const {
    if (applied) {
      float g = gradient * scale;
      m = fused(beta_1, m, fresh_1 * g);
      v = fused(beta_2, v, fresh_2 * (g * g));
      w = fused(w, kept, -rate * (m / fused(square_root(v), correction, eps)));
    }
  }
};

// A parameter, its gradient and its moments, and where they are written.
template <typename T, typename G, typename M>
struct AdamArrays {
  const DEVICE T* w;
  const DEVICE G* g;
  const DEVICE M* m;
  const DEVICE M* v;
  DEVICE T* new_w;
  DEVICE M* new_m;
  DEVICE M* new_v;
};

template <typename T, typename G, typename M>
FN void adam(AdamArrays<T, G, M> at, uint length, Adam rule, Team team) {
  const uint whole = length / 8 * 8;
  for (uint i = team.index * 8; i < whole; i += team.width * 8) {
    Eight w, g, m, v;
    w.load<T>(at.w + i, 8);
    g.load<G>(at.g + i, 8);
    m.load<M>(at.m + i, 8);
    v.load<M>(at.v + i, 8);
    UNROLLED for (int k = 0; k < 8; ++k) {
      rule.step(w.x[k], g.x[k], m.x[k], v.x[k]);
    }
    w.store<T>(at.new_w + i, 8);
    m.store<M>(at.new_m + i, 8);
    v.store<M>(at.new_v + i, 8);
  }
  for (uint e = whole + team.index; e < length; e += team.width) {
    float w = float(at.w[e]), m = float(at.m[e]), v = float(at.v[e]);
    rule.step(w, float(at.g[e]), m, v);
    at.new_w[e] = T(w);
    at.new_m[e] = M(m);
    at.new_v[e] = M(v);
  }
}

// From pointers that know their types.
template <typename T, typename G, typename M>
FN AdamArrays<T, G, M> adam_arrays(
    const DEVICE T* w, const DEVICE G* g, const DEVICE M* m, const DEVICE M* v, DEVICE T* new_w, DEVICE M* new_m,
    DEVICE M* new_v) {
  AdamArrays<T, G, M> at;
  at.w = w;
  at.g = g;
  at.m = m;
  at.v = v;
  at.new_w = new_w;
  at.new_m = new_m;
  at.new_v = new_v;
  return at;
}

struct Squares {
  float sum;

  template <int N>
  FN void absorb(LOCAL const float (&x)[N]) {
    UNROLLED for (int k = 0; k < N; ++k) {
      sum = fused(x[k], x[k], sum);
    }
  }
};

} // namespace mlxffi_losses
)gpu";

// Each row of blocks has an array, of those whose names end with numbers, for which # stands.
inline constexpr const char* adam_head = R"gpu(
  auto at = adam_arrays(w#, g#, m#, v#, new_w#, new_m#, new_v#);
  uint length = 0;
)gpu";

inline constexpr const char* adam_choice = R"gpu(
  if (row == #) {
    at = adam_arrays(w#, g#, m#, v#, new_w#, new_m#, new_v#);
    length = size_of(w#_shape, w#_ndim);
  }
)gpu";

inline constexpr const char* adam_body = R"gpu(
  Adam rule;
  rule.read(settings);
  adam(at, length, rule, team);
)gpu";

inline constexpr const char* squares_head = R"gpu(
  const DEVICE T* x = x#;
  uint length = 0;
)gpu";

inline constexpr const char* squares_choice = R"gpu(
  if (row == #) {
    x = x#;
    length = size_of(x#_shape, x#_ndim);
  }
)gpu";

// A sum of each block.
inline constexpr const char* squares_body = R"gpu(
  Squares squares;
  squares.sum = 0.0f;
  sweep<T, 4>(x, length, team, squares);
  float total[1] = {squares.sum};
  reduce<false>(total, team);
  if (team.lane == 0 && team.warp == 0) {
    const uint width = team.warps * team.lanes;
    sums[row * (team.width / width) + team.index / width] = total[0];
  }
)gpu";

} // namespace mlxffi::gpu
