// Kernel source that prepares heads for attention: their norms and rotations, forward and backward, shared by CUDA and
// Metal (see gpu_common.h). A warp has one head of one row; the pairs of a head are (i, i + half).
#pragma once

namespace mlxffi::gpu {

// How many features a head may have at most where its norm gets a gradient.
inline constexpr int normed_features = 256;

inline constexpr const char* heads_source = R"gpu(
#define PAIRS 4 // of a lane, in heads whose norms get a gradient

namespace mlxffi_losses {

// What all heads of a kernel share.
struct HeadLayout {
  uint heads;
  uint key_heads;
  uint half_width; // of a head
  float eps;
};

FN HeadLayout head_layout(uint heads, uint key_heads, uint width, float eps) {
  HeadLayout layout;
  layout.heads = heads;
  layout.key_heads = key_heads;
  layout.half_width = width / 2;
  layout.eps = eps;
  return layout;
}

// Cosines of a row's angles, and behind each other their sines for the first and for the second of each pair.
struct Angles {
  const DEVICE float* cosines;
  const DEVICE float* sines;
};

FN Angles angles_of(const DEVICE float* cosines, const DEVICE float* sines, uint place, HeadLayout layout) {
  Angles at;
  at.cosines = cosines + size_t(place) * layout.half_width;
  at.sines = sines + size_t(place) * 2 * layout.half_width;
  return at;
}

// 1 / the root of the mean square of a head.
template <typename T>
FN float scale_of(const DEVICE T* x, HeadLayout layout, Team team) {
  float sum = 0.0f;
  for (uint i = team.lane; i < 2 * layout.half_width; i += team.lanes) {
    float value = float(x[i]);
    sum = fused(value, value, sum);
  }
  return 1.0f / square_root(simd_sum(sum) / float(2 * layout.half_width) + layout.eps);
}

template <typename T, bool NORM>
FN void turn(const DEVICE T* x, const DEVICE T* weight, Angles at, HeadLayout layout, Team team, DEVICE T* out) {
  const uint width = layout.half_width;
  float scale = NORM ? scale_of<T>(x, layout, team) : 1.0f;
  for (uint i = team.lane; i < width; i += team.lanes) {
    float first = scale * float(x[i]), second = scale * float(x[width + i]);
    if (NORM) {
      first *= float(weight[i]);
      second *= float(weight[width + i]);
    }
    out[i] = T(fused(first, at.cosines[i], second * at.sines[i]));
    out[width + i] = T(fused(second, at.cosines[i], first * at.sines[width + i]));
  }
}

// A pair of cotangents, turned back, times the weight.
template <typename T, bool NORM>
FN void turned_back(
    const DEVICE T* cotangent, const DEVICE T* weight, Angles at, uint width, uint i, LOCAL float& first, LOCAL float& second) {
  float a = float(cotangent[i]), b = float(cotangent[width + i]);
  first = fused(a, at.cosines[i], b * at.sines[width + i]);
  second = fused(b, at.cosines[i], a * at.sines[i]);
  if (NORM) {
    first *= float(weight[i]);
    second *= float(weight[width + i]);
  }
}

// With r the scale of x and h what comes back, the gradient is r (h - r^2 x mean(h x)).
template <typename T, bool NORM>
FN void turn_back(
    const DEVICE T* x, const DEVICE T* cotangent, const DEVICE T* weight, Angles at, HeadLayout layout, Team team, DEVICE T* out) {
  const uint width = layout.half_width;
  float scale = 1.0f, part = 0.0f, first, second;
  if (NORM) {
    scale = scale_of<T>(x, layout, team);
    for (uint i = team.lane; i < width; i += team.lanes) {
      turned_back<T, NORM>(cotangent, weight, at, width, i, first, second);
      part = fused(first, float(x[i]), fused(second, float(x[width + i]), part));
    }
    part = simd_sum(part) / float(2 * width) * scale * scale;
  }
  for (uint i = team.lane; i < width; i += team.lanes) {
    turned_back<T, NORM>(cotangent, weight, at, width, i, first, second);
    if (NORM) {
      first = scale * fused(-part, float(x[i]), first);
      second = scale * fused(-part, float(x[width + i]), second);
    }
    out[i] = T(first);
    out[width + i] = T(second);
  }
}

// What a head adds to the gradient of its norm's weight: of each pair that a lane has, two numbers.
template <typename T>
FN void add_share(
    const DEVICE T* x, const DEVICE T* cotangent, Angles at, HeadLayout layout, Team team, LOCAL float (&sums)[2 * PAIRS]) {
  const float scale = scale_of<T>(x, layout, team);
  UNROLLED for (uint k = 0; k < PAIRS; ++k) {
    const uint i = team.lane + k * team.lanes;
    if (i < layout.half_width) {
      float first, second;
      turned_back<T, false>(cotangent, x, at, layout.half_width, i, first, second);
      sums[2 * k] = fused(first, scale * float(x[i]), sums[2 * k]);
      sums[2 * k + 1] = fused(second, scale * float(x[layout.half_width + i]), sums[2 * k + 1]);
    }
  }
}

FN void write_shares(LOCAL const float (&sums)[2 * PAIRS], HeadLayout layout, Team team, DEVICE float* out) {
  UNROLLED for (uint k = 0; k < PAIRS; ++k) {
    const uint i = team.lane + k * team.lanes;
    if (i < layout.half_width) {
      out[i] = sums[2 * k];
      out[layout.half_width + i] = sums[2 * k + 1];
    }
  }
}

template <typename T>
FN void copy_head(const DEVICE T* x, HeadLayout layout, Team team, DEVICE T* out) {
  for (uint i = team.lane; i < 2 * layout.half_width; i += team.lanes) {
    out[i] = x[i];
  }
}

} // namespace mlxffi_losses
)gpu";

// Opens all bodies: settings are eps, the numbers of heads, of their keys and of features of each; rows of x follow the
// rows of cosines again and again. OPTION says whether there are norms.
inline constexpr const char* heads_head = R"gpu(
  const HeadLayout layout = head_layout(uint(settings[1]), uint(settings[2]), uint(settings[3]), settings[0]);
  const uint features = 2 * layout.half_width, turned = layout.heads + layout.key_heads;
  const uint every = turned + layout.key_heads;
  const uint rows = size_of(x_shape, x_ndim - 1), positions = uint(settings[4]);
)gpu";

inline constexpr const char* heads_row = R"gpu(
  const Angles at = angles_of(cosines, sines, row % positions, layout);
  const DEVICE T* own = x + size_t(row) * every * features;
)gpu";

inline constexpr const char* no_keys_head = R"gpu(
  DEVICE T* const keys = queries;
)gpu";

inline constexpr const char* heads_forward_body = R"gpu(
  for (uint head = team.index / team.lanes; row < rows && head < turned; head += team.width / team.lanes) {
    const bool is_query = head < layout.heads;
    const size_t to = is_query ? size_t(row) * layout.heads + head : size_t(row) * layout.key_heads + head - layout.heads;
    const DEVICE T* weight = is_query ? query_norm : key_norm;
    turn<T, OPTION>(own + head * features, weight, at, layout, team, (is_query ? queries : keys) + to * features);
  }
)gpu";

inline constexpr const char* heads_backward_body = R"gpu(
  for (uint head = team.index / team.lanes; row < rows && head < every; head += team.width / team.lanes) {
    DEVICE T* out = gradient + (size_t(row) * every + head) * features;
    if (head >= turned) {
      copy_head<T>(of_values + (size_t(row) * layout.key_heads + head - turned) * features, layout, team, out);
      continue;
    }
    const bool is_query = head < layout.heads;
    const size_t from = is_query ? size_t(row) * layout.heads + head : size_t(row) * layout.key_heads + head - layout.heads;
    const DEVICE T* weight = is_query ? query_norm : key_norm;
    const DEVICE T* cotangent = (is_query ? of_queries : of_keys) + from * features;
    turn_back<T, OPTION>(own + head * features, cotangent, weight, at, layout, team, out);
  }
)gpu";

// Each warp has a row of sums for some of the heads of each `blocks`-th row: of norms of queries, and behind them of keys if
// there are any.
inline constexpr const char* heads_norms_body = R"gpu(
  const uint blocks = uint(settings[5]);
  float of_query_norm[2 * PAIRS], of_key_norm[2 * PAIRS];
  UNROLLED for (uint k = 0; k < 2 * PAIRS; ++k) {
    of_query_norm[k] = of_key_norm[k] = 0.0f;
  }
  for (uint r = row; r < rows; r += blocks) {
    const Angles at = angles_of(cosines, sines, r % positions, layout);
    const DEVICE T* own = x + size_t(r) * every * features;
    for (uint head = team.warp; head < turned; head += team.warps) {
      const DEVICE T* in = own + head * features;
      if (head < layout.heads) {
        const DEVICE T* cotangent = of_queries + (size_t(r) * layout.heads + head) * features;
        add_share<T>(in, cotangent, at, layout, team, of_query_norm);
      } else {
        const DEVICE T* cotangent = of_keys + (size_t(r) * layout.key_heads + head - layout.heads) * features;
        add_share<T>(in, cotangent, at, layout, team, of_key_norm);
      }
    }
  }
  const uint kinds = layout.key_heads > 0 ? 2 : 1;
  DEVICE float* out = sums + (size_t(row) * team.warps + team.warp) * kinds * features;
  if (row < blocks) {
    write_shares(of_query_norm, layout, team, out);
    if (kinds == 2) {
      write_shares(of_key_norm, layout, team, out + features);
    }
  }
)gpu";

} // namespace mlxffi::gpu
