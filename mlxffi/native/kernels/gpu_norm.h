// Kernel source of the gradients of RMSNorm, shared by CUDA and Metal (see gpu_common.h). A thread has eight columns.
#pragma once

namespace mlxffi::gpu {

inline constexpr const char* norm_source = R"gpu(
namespace mlxffi_losses {

struct Eight {
  float x[8];

  FN void clear() {
    UNROLLED for (int k = 0; k < 8; ++k) {
      x[k] = 0.0f;
    }
  }
};

// A row: with r = 1 / rms and h the cotangent times the weight, its gradient is r (h - r^2 x mean(h x)), and it adds r x
// times the cotangent to the weight's.
template <typename T>
FN void norm_row(
    const DEVICE T* x, const DEVICE T* cotangent, LOCAL const Eight& weight, uint length, float eps, Team team, DEVICE T* out,
    LOCAL Eight& shares) {
  const uint i = team.index * 8;
  Eight a, g;
  a.clear();
  g.clear();
  if (i < length) {
    load_eight<T>(x + i, a.x);
    load_eight<T>(cotangent + i, g.x);
  }
  float means[2] = {0.0f, 0.0f};
  UNROLLED for (int k = 0; k < 8; ++k) {
    means[0] = fused(a.x[k], a.x[k], means[0]);
    means[1] = fused(a.x[k], g.x[k] * weight.x[k], means[1]);
  }
  reduce<false>(means, team);
  const float scale = 1.0f / square_root(means[0] / float(length) + eps);
  const float part = means[1] / float(length) * scale * scale;
  UNROLLED for (int k = 0; k < 8; ++k) {
    shares.x[k] = fused(g.x[k], scale * a.x[k], shares.x[k]);
    g.x[k] = scale * fused(-part, a.x[k], g.x[k] * weight.x[k]);
  }
  if (i < length) {
    store_eight<T>(out + i, g.x);
  }
}

} // namespace mlxffi_losses
)gpu";

// settings are eps and the number of blocks, of which each has every so many-th row; sums are their parts in the gradient of
// the weight.
inline constexpr const char* norm_backward_body = R"gpu(
  const uint rows = size_of(x_shape, x_ndim - 1), length = uint(x_shape[x_ndim - 1]), blocks = uint(settings[1]);
  Eight weights, shares;
  weights.clear();
  shares.clear();
  if (team.index * 8 < length) {
    load_eight<T>(weight + team.index * 8, weights.x);
  }
  for (uint r = row; r < rows && row < blocks; r += blocks) {
    const size_t first = size_t(r) * length;
    norm_row<T>(x + first, cotangents + first, weights, length, settings[0], team, gradient + first, shares);
  }
  if (row < blocks && team.index * 8 < length) {
    store_eight<float>(sums + size_t(row) * length + team.index * 8, shares.x);
  }
)gpu";

} // namespace mlxffi::gpu
