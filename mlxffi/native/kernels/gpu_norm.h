// Kernel source of RMSNorm, shared by CUDA and Metal: a warp has a row (see gpu_chunks.h).
#pragma once

namespace mlxffi::gpu {

inline constexpr const char* norm_source = R"gpu(
namespace mlxffi_losses {

template <typename T, bool WEIGHTED>
FN void load_weight(const DEVICE T* weight, uint left, LOCAL float (&w)[Format<T>::N]) {
  if (WEIGHTED) {
    load(weight, left, w);
    return;
  }
  UNROLLED for (int k = 0; k < Format<T>::N; ++k) {
    w[k] = 1.0f;
  }
}

// y = r x w, r = 1 / sqrt(mean(x^2) + eps).
template <typename T, bool WEIGHTED>
FN void norm_forward(
    const DEVICE T* x, const DEVICE T* weight, float eps, uint length, uint lane, DEVICE T* y, DEVICE float* scale) {
  enum { N = Format<T>::N };
  float v[N], w[N], squares = 0.0f;
  for (uint i = lane * N; i < length; i += WARP * N) {
    load(x + i, length - i, v);
    UNROLLED for (int k = 0; k < N; ++k) {
      squares = fused(v[k], v[k], squares);
    }
  }
  float r = inverse_root(simd_sum(squares) / float(length) + eps);
  if (lane == 0) {
    *scale = r;
  }
  for (uint i = lane * N; i < length; i += WARP * N) {
    if (length > WARP * N) { // else it is still here
      load(x + i, length - i, v);
    }
    load_weight<T, WEIGHTED>(weight + i, length - i, w);
    UNROLLED for (int k = 0; k < N; ++k) {
      v[k] *= r * w[k];
    }
    store(y + i, length - i, v);
  }
}

// dx = r (g w - x r^2 mean(g w x)).
template <typename T, bool WEIGHTED>
FN void norm_backward(
    const DEVICE T* x, const DEVICE T* weight, const DEVICE T* g, float r, uint length, uint lane, DEVICE T* dx) {
  enum { N = Format<T>::N };
  float v[N], w[N], c[N], along = 0.0f;
  for (uint i = lane * N; i < length; i += WARP * N) {
    load(x + i, length - i, v);
    load(g + i, length - i, c);
    load_weight<T, WEIGHTED>(weight + i, length - i, w);
    UNROLLED for (int k = 0; k < N; ++k) {
      along = fused(c[k] * w[k], v[k], along);
    }
  }
  float back = r * r * (simd_sum(along) / float(length));
  for (uint i = lane * N; i < length; i += WARP * N) {
    if (length > WARP * N) { // else they are still here
      load(x + i, length - i, v);
      load(g + i, length - i, c);
      load_weight<T, WEIGHTED>(weight + i, length - i, w);
    }
    UNROLLED for (int k = 0; k < N; ++k) {
      v[k] = r * (c[k] * w[k] - v[k] * back);
    }
    store(dx + i, length - i, v);
  }
}

} // namespace mlxffi_losses
)gpu";

// Bodies; EPS is the bits of eps. Without a weight, x stands in its place and is not read.
inline constexpr const char* norm_forward_body = R"gpu(
  const uint length = x_shape[x_ndim - 1], row = place.block * place.warps + place.warp;
  if (row < rows_of(x_shape, x_ndim)) {
    const size_t start = size_t(row) * length;
    norm_forward<T, WEIGHTED>(x + start, weight, as_float(EPS), length, place.lane, y + start, scale + row);
  }
)gpu";

inline constexpr const char* norm_backward_body = R"gpu(
  const uint length = x_shape[x_ndim - 1], row = place.block * place.warps + place.warp;
  if (row < rows_of(x_shape, x_ndim)) {
    const size_t start = size_t(row) * length;
    norm_backward<T, WEIGHTED>(x + start, weight, cotangent + start, scale[row], length, place.lane, gradient + start);
  }
)gpu";

} // namespace mlxffi::gpu
