// The arithmetic of a model's layers on one row, or on a run of elements, in the manner of rows.h. The mathematics
// stands in docs/fused.md.
#pragma once

#include <cstdint>

namespace mlxffi {

// --- for every Element: rows hold such elements ---

// Writes x / rms(x) * weight, and returns 1 / rms(x); `weight` may be NULL, `out` may be x.
using NormForward = double (*)(const void* x, const void* weight, void* out, int64_t size, double eps);
// Writes the gradient of x, by `scale` = 1 / rms(x); `out` may be x or `cotangent`.
using NormBackward = void (*)(const void* x, const void* weight, const void* cotangent, void* out, int64_t size, double scale);
// Adds cotangent * x * scale, the row's part in the gradient of the weight, to `sum`.
using NormWeight = void (*)(const void* x, const void* cotangent, double* sum, int64_t size, double scale);
// Turns pairs of the first 2 * `half` elements by angles whose cosines and sines (in Lanes) are given; `out` may be x.
using Rotation = void (*)(const void* x, void* out, int64_t size, int64_t half, bool neighbours, const void* cosines, const void* sines);
// Writes a(gate) * up; `out` may be one of them.
using GateForward = void (*)(const void* gate, const void* up, void* out, int64_t size);
// Writes the gradients of gate and up; these may stand where the inputs are.
using GateBackward = void (*)(const void* gate, const void* up, const void* cotangent, void* to_gate, void* to_up, int64_t size);

// --- attention, in float32 ---

// exp(x - shift), their sum, and the shift: the largest of a row.
struct SoftmaxRow {
  float shift, sum;
};
// Replaces scores by exp(score - shift).
using SoftmaxForward = SoftmaxRow (*)(float* scores, int64_t size);
// Replaces scores by probabilities p, and their cotangents g by p (g - mean) * scale.
using SoftmaxBackward = void (*)(float* scores, float* cotangents, int64_t size, SoftmaxRow, float mean, float scale);
// To and from float32.
using Widen = void (*)(const void* from, float* to, int64_t size);
using Narrow = void (*)(const float* from, void* to, int64_t size, float factor);
using Dot = float (*)(const float* a, const float* b, int64_t size);
// to += from * factor.
using Accumulate = void (*)(const float* from, float* to, int64_t size, float factor);
// The sum of numbers, in double; and numbers that are added to as many such sums.
using Sum = double (*)(const float* numbers, int64_t size);
using AddToSums = void (*)(const float* numbers, double* sums, int64_t size);

struct LayerKernels {
  NormForward norm[4];
  NormBackward norm_gradient[4];
  NormWeight norm_weight[4];
  Rotation rotate[4];
  GateForward swiglu[4], geglu[4];
  GateBackward swiglu_gradient[4], geglu_gradient[4];
  SoftmaxForward softmax;
  SoftmaxBackward softmax_gradient;
  Widen widen[4];
  Narrow narrow[4];
  Dot dot;
  Accumulate accumulate;
  Sum sum;
  AddToSums add_to_sums;
};

} // namespace mlxffi
