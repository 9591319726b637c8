// Kernel source of gated units, shared by CUDA and Metal: a thread has a chunk (see gpu_chunks.h).
#pragma once

namespace mlxffi::gpu {

inline constexpr const char* gate_source = R"gpu(
namespace mlxffi_losses {

// x sigmoid(p) and its slope; p is x for silu, and for gelu sqrt(8 / pi) (x + 0.044715 x^3).
struct Activation {
  float value;
  float slope;
};

template <bool GELU>
FN Activation activation(float x) {
  const float linear = GELU ? 1.5957691216057308f : 1.0f, cubic = GELU ? 0.07135481282f : 0.0f;
  float square = x * x;
  float share = 1.0f / (1.0f + exp2_fast(-LOG2E * x * fused(cubic, square, linear)));
  float steepness = fused(3.0f * cubic, square, linear);
  return Activation{x * share, fused(x * share * (1.0f - share), steepness, share)};
}

template <typename T, bool GELU>
FN void gate_forward(const DEVICE T* gate, const DEVICE T* up, uint left, DEVICE T* out) {
  float x[Format<T>::N], u[Format<T>::N];
  load(gate, left, x);
  load(up, left, u);
  UNROLLED for (int k = 0; k < Format<T>::N; ++k) {
    x[k] = activation<GELU>(x[k]).value * u[k];
  }
  store(out, left, x);
}

template <typename T, bool GELU>
FN void gate_backward(
    const DEVICE T* gate, const DEVICE T* up, const DEVICE T* cotangent, uint left, DEVICE T* to_gate, DEVICE T* to_up) {
  float x[Format<T>::N], u[Format<T>::N], g[Format<T>::N];
  load(gate, left, x);
  load(up, left, u);
  load(cotangent, left, g);
  UNROLLED for (int k = 0; k < Format<T>::N; ++k) {
    Activation here = activation<GELU>(x[k]);
    x[k] = g[k] * u[k] * here.slope;
    u[k] = g[k] * here.value;
  }
  store(to_gate, left, x);
  store(to_up, left, u);
}

} // namespace mlxffi_losses
)gpu";

inline constexpr const char* gate_forward_body = R"gpu(
  const size_t size = size_t(rows_of(gate_shape, gate_ndim)) * uint(gate_shape[gate_ndim - 1]);
  const size_t i = (size_t(place.block) * place.threads + place.index) * Format<T>::N;
  if (i < size) {
    gate_forward<T, GELU>(gate + i, up + i, uint(size - i), out + i);
  }
)gpu";

inline constexpr const char* gate_backward_body = R"gpu(
  const size_t size = size_t(rows_of(gate_shape, gate_ndim)) * uint(gate_shape[gate_ndim - 1]);
  const size_t i = (size_t(place.block) * place.threads + place.index) * Format<T>::N;
  if (i < size) {
    gate_backward<T, GELU>(gate + i, up + i, cotangent + i, uint(size - i), to_gate + i, to_up + i);
  }
)gpu";

} // namespace mlxffi::gpu
