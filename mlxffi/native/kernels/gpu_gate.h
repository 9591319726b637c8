// Kernel source of gated units whose gate and what it multiplies lie one behind the other in each row, forward and
// backward, shared by CUDA and Metal (see gpu_common.h).
#pragma once

namespace mlxffi::gpu {

inline constexpr const char* gate_source = R"gpu(
namespace mlxffi_losses {

// activation(g) = g sigmoid(g (a + b g^2)): with a = 1 and b = 0 it is silu.
template <bool GELU>
struct Gate {
  FN static float linear() {
    return GELU ? 1.5957691216057308f : 1.0f;
  }
  FN static float cubic() {
    return GELU ? 0.044715f * 1.5957691216057308f : 0.0f;
  }
  FN static float share(float g) {
    float argument = GELU ? g * fused(cubic() * g, g, linear()) : g;
    return 1.0f / (1.0f + exp2_fast(-LOG2E * argument));
  }
  FN static float unit(float g, float up) {
    return g * share(g) * up;
  }
  // The cotangent becomes the gradient of what is multiplied; returned is that of the gate.
  FN static float slopes(float g, float up, LOCAL float& cotangent) {
    float part = share(g);
    float bend = part * (1.0f - part); // 0 far out, where what it is multiplied by may be infinite
    float slope = bend == 0.0f ? part : fused(g * bend, GELU ? fused(3.0f * cubic() * g, g, linear()) : 1.0f, part);
    float of_gate = cotangent * up * slope;
    cotangent *= g * part;
    return of_gate;
  }
};

// How many chunks of 16 bytes all halves have; none where one of them does not begin at such a boundary.
template <typename T>
FN uint common_chunks(const DEVICE T* pair, const DEVICE T* other, uint length) {
  bool aligned = misalignment(pair) == 0 && misalignment(pair + length) == 0 && misalignment(other) == 0;
  return aligned ? length / Format<T>::N : 0;
}

template <typename T, bool GELU>
FN void gate_forward(const DEVICE T* pair, uint length, Team team, DEVICE T* out) {
  enum { N = Format<T>::N };
  uint chunks = common_chunks<T>(pair, out, length);
  for (uint i = team.index; i < chunks; i += team.width) {
    float gate[N], up[N];
    Format<T>::unpack(load16(pair + i * N), gate);
    Format<T>::unpack(load16(pair + length + i * N), up);
    UNROLLED for (int k = 0; k < N; ++k) {
      gate[k] = Gate<GELU>::unit(gate[k], up[k]);
    }
    store16(out + i * N, Format<T>::pack(gate));
  }
  for (uint e = chunks * N + team.index; e < length; e += team.width) {
    out[e] = T(Gate<GELU>::unit(float(pair[e]), float(pair[length + e])));
  }
}

template <typename T, bool GELU>
FN void gate_backward(const DEVICE T* pair, const DEVICE T* cotangent, uint length, Team team, DEVICE T* out) {
  enum { N = Format<T>::N };
  bool aligned = misalignment(out) == 0 && misalignment(out + length) == 0;
  uint chunks = aligned ? common_chunks<T>(pair, cotangent, length) : 0;
  for (uint i = team.index; i < chunks; i += team.width) {
    float gate[N], up[N], slope[N];
    Format<T>::unpack(load16(pair + i * N), gate);
    Format<T>::unpack(load16(pair + length + i * N), up);
    Format<T>::unpack(load16(cotangent + i * N), slope);
    UNROLLED for (int k = 0; k < N; ++k) {
      gate[k] = Gate<GELU>::slopes(gate[k], up[k], slope[k]);
    }
    store16(out + i * N, Format<T>::pack(gate));
    store16(out + length + i * N, Format<T>::pack(slope));
  }
  for (uint e = chunks * N + team.index; e < length; e += team.width) {
    float slope = float(cotangent[e]);
    out[e] = T(Gate<GELU>::slopes(float(pair[e]), float(pair[length + e]), slope));
    out[length + e] = T(slope);
  }
}

} // namespace mlxffi_losses
)gpu";

// Bodies; OPTION says whether the activation is gelu's.
inline constexpr const char* gate_forward_body = R"gpu(
  const uint length = pairs_shape[1] / 2;
  if (row < uint(pairs_shape[0])) {
    gate_forward<T, OPTION>(pairs + size_t(row) * 2 * length, length, team, units + size_t(row) * length);
  }
)gpu";

inline constexpr const char* gate_backward_body = R"gpu(
  const uint length = pairs_shape[1] / 2;
  if (row < uint(pairs_shape[0])) {
    const size_t first = size_t(row) * length;
    gate_backward<T, OPTION>(pairs + 2 * first, cotangents + first, length, team, gradient + 2 * first);
  }
)gpu";

} // namespace mlxffi::gpu
