// Kernel source of gated units, forward and backward, shared by CUDA and Metal (see gpu_common.h): of a gate and what it
// multiplies as two arrays, or one behind the other in each row.
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

// How many chunks of 16 bytes rows have; none where one of them does not begin at such a boundary.
template <typename T>
FN uint common_chunks(const DEVICE T* a, const DEVICE T* b, const DEVICE T* c, uint length) {
  bool aligned = misalignment(a) == 0 && misalignment(b) == 0 && misalignment(c) == 0;
  return aligned ? length / Format<T>::N : 0;
}

template <typename T, bool GELU>
FN void gate_forward(const DEVICE T* gates, const DEVICE T* ups, uint length, Team team, DEVICE T* out) {
  enum { N = Format<T>::N };
  uint chunks = common_chunks<T>(gates, ups, out, length);
  for (uint i = team.index; i < chunks; i += team.width) {
    float gate[N], up[N];
    Format<T>::unpack(load16(gates + i * N), gate);
    Format<T>::unpack(load16(ups + i * N), up);
    UNROLLED for (int k = 0; k < N; ++k) {
      gate[k] = Gate<GELU>::unit(gate[k], up[k]);
    }
    store16(out + i * N, Format<T>::pack(gate));
  }
  for (uint e = chunks * N + team.index; e < length; e += team.width) {
    out[e] = T(Gate<GELU>::unit(float(gates[e]), float(ups[e])));
  }
}

template <typename T, bool GELU>
FN void gate_backward(
    const DEVICE T* gates, const DEVICE T* ups, const DEVICE T* cotangent, uint length, Team team, DEVICE T* of_gates,
    DEVICE T* of_ups) {
  enum { N = Format<T>::N };
  bool aligned = misalignment(of_gates) == 0 && misalignment(of_ups) == 0;
  uint chunks = aligned ? common_chunks<T>(gates, ups, cotangent, length) : 0;
  for (uint i = team.index; i < chunks; i += team.width) {
    float gate[N], up[N], slope[N];
    Format<T>::unpack(load16(gates + i * N), gate);
    Format<T>::unpack(load16(ups + i * N), up);
    Format<T>::unpack(load16(cotangent + i * N), slope);
    UNROLLED for (int k = 0; k < N; ++k) {
      gate[k] = Gate<GELU>::slopes(gate[k], up[k], slope[k]);
    }
    store16(of_gates + i * N, Format<T>::pack(gate));
    store16(of_ups + i * N, Format<T>::pack(slope));
  }
  for (uint e = chunks * N + team.index; e < length; e += team.width) {
    float slope = float(cotangent[e]);
    of_gates[e] = T(Gate<GELU>::slopes(float(gates[e]), float(ups[e]), slope));
    of_ups[e] = T(slope);
  }
}

} // namespace mlxffi_losses
)gpu";

// Bodies; OPTION says whether the activation is gelu's. Pairs are rows of a gate and what it multiplies, one behind the other.
inline constexpr const char* pairs_forward_body = R"gpu(
  const uint length = pairs_shape[1] / 2;
  if (row < uint(pairs_shape[0])) {
    const DEVICE T* pair = pairs + size_t(row) * 2 * length;
    gate_forward<T, OPTION>(pair, pair + length, length, team, units + size_t(row) * length);
  }
)gpu";

inline constexpr const char* pairs_backward_body = R"gpu(
  const uint length = pairs_shape[1] / 2;
  if (row < uint(pairs_shape[0])) {
    const size_t first = size_t(row) * length;
    const DEVICE T* pair = pairs + 2 * first;
    DEVICE T* out = gradient + 2 * first;
    gate_backward<T, OPTION>(pair, pair + length, cotangents + first, length, team, out, out + length);
  }
)gpu";

inline constexpr const char* gate_forward_body = R"gpu(
  const uint length = gates_shape[1];
  if (row < uint(gates_shape[0])) {
    const size_t first = size_t(row) * length;
    gate_forward<T, OPTION>(gates + first, ups + first, length, team, units + first);
  }
)gpu";

inline constexpr const char* gate_backward_body = R"gpu(
  const uint length = gates_shape[1];
  if (row < uint(gates_shape[0])) {
    const size_t first = size_t(row) * length;
    gate_backward<T, OPTION>(
        gates + first, ups + first, cotangents + first, length, team, of_gates + first, of_ups + first);
  }
)gpu";

} // namespace mlxffi::gpu
