// Kernel source of the gradients of RMSNorm, and of sums of columns, shared by CUDA and Metal (see gpu_common.h). A thread
// has eight columns of a norm's rows.
#pragma once

namespace mlxffi::gpu {

inline constexpr const char* norm_source = R"gpu(
#define COLUMNS 32 // of a block
#define MOST_LINES 32
#define AHEAD 8

namespace mlxffi_losses {

// A thread's part of a row: of x, of the cotangent, and of what the gradient is added to.
template <typename T>
struct NormPart {
  Packed<T> x;
  Packed<T> cotangent;
  Packed<T> others;

  FN void load(const DEVICE T* all, const DEVICE T* cotangents, const DEVICE T* sum, bool has_sum, size_t place, bool there) {
    x.load(all + place, there ? 8 : 0);
    cotangent.load(cotangents + place, there ? 8 : 0);
    others.load(sum + place, there && has_sum ? 8 : 0);
  }
};

// With r = 1 / rms and h the cotangent times the weight, a row's gradient is r (h - r^2 x mean(h x)), and it adds r x
// times the cotangent to the weight's.
template <typename T>
FN Eight norm_gradient(LOCAL const NormPart<T>& row, LOCAL const Eight& weight, uint length, float eps, Team team, LOCAL Eight& shares) {
  const Eight x = unpacked<T>(row.x), cotangent = unpacked<T>(row.cotangent);
  float means[2] = {0.0f, 0.0f};
  UNROLLED for (int k = 0; k < 8; ++k) {
    means[0] = fused(x.x[k], x.x[k], means[0]);
    means[1] = fused(x.x[k], cotangent.x[k] * weight.x[k], means[1]);
  }
  reduce<false>(means, team);
  const float scale = 1.0f / square_root(means[0] / float(length) + eps);
  const float part = means[1] / float(length) * scale * scale;
  const Eight others = unpacked<T>(row.others);
  Eight gradient;
  UNROLLED for (int k = 0; k < 8; ++k) {
    shares.x[k] = fused(cotangent.x[k], scale * x.x[k], shares.x[k]);
    gradient.x[k] = fused(scale, fused(-part, x.x[k], cotangent.x[k] * weight.x[k]), others.x[k]);
  }
  return gradient;
}

} // namespace mlxffi_losses
)gpu";

// settings are eps, the number of blocks, and whether there are other gradients, which this one is added to. A block has a row;
// where OPTION says that the weight's gradient is wanted, it has every so many-th one, and a row of sums: their part in that.
// A row is loaded before the one ahead of it is added up.
inline constexpr const char* norm_backward_body = R"gpu(
  const uint rows = size_of(x_shape, x_ndim - 1), length = uint(x_shape[x_ndim - 1]), blocks = OPTION ? uint(settings[1]) : rows;
  const uint i = team.index * 8;
  const bool there = i < length, has_others = settings[2] != 0.0f;
  Eight weights, shares;
  weights.load<T>(weight + i, there ? 8 : 0);
  shares.clear();
  NormPart<T> now, next;
  if (row < blocks) {
    next.load(x, cotangents, others, has_others, size_t(row) * length + i, there);
  }
  for (uint r = row; r < rows && row < blocks; r += blocks) {
    now = next;
    if (r + blocks < rows) {
      next.load(x, cotangents, others, has_others, size_t(r + blocks) * length + i, there);
    }
    const Eight found = norm_gradient<T>(now, weights, length, settings[0], team, shares);
    found.store<T>(gradient + size_t(r) * length + i, there ? 8 : 0);
  }
  if (OPTION && row < blocks) {
    shares.store<float>(sums + size_t(row) * length + i, there ? 8 : 0);
  }
)gpu";

// The sums of columns of float32 [n, m], in T: a lane has a column, a warp every so many-th row of it.
inline constexpr const char* column_sums_body = R"gpu(
  BLOCK_ARRAY float lines[MOST_LINES * COLUMNS];
  const uint rows = uint(parts_shape[0]), columns = uint(parts_shape[1]), column = row * COLUMNS + team.lane;
  float sums[AHEAD];
  UNROLLED for (uint k = 0; k < AHEAD; ++k) {
    sums[k] = 0.0f;
  }
  for (uint r = team.warp; column < columns && r < rows; r += AHEAD * team.warps) {
    UNROLLED for (uint k = 0; k < AHEAD; ++k) {
      const uint place = r + k * team.warps;
      sums[k] += place < rows ? parts[size_t(place) * columns + column] : 0.0f;
    }
  }
  float sum = 0.0f;
  UNROLLED for (uint k = 0; k < AHEAD; ++k) {
    sum += sums[k];
  }
  lines[team.warp * COLUMNS + team.lane] = sum;
  block_barrier();
  if (team.warp == 0 && column < columns) {
    float total = 0.0f;
    for (uint warp = 0; warp < team.warps; ++warp) {
      total += lines[warp * COLUMNS + team.lane];
    }
    totals[column] = T(total);
  }
)gpu";

} // namespace mlxffi::gpu
