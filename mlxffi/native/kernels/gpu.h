// The fused losses, gated units, heads and optimizers on a GPU: one kernel a pass, through MLX's cuda_kernel (CUDA) or
// metal_kernel (Metal).
//
// Every function builds a lazy node on the stream s, which must be a GPU's. Logits are [n, V] of float32, float16 or
// bfloat16 with n >= 1 and V >= 1 (the caller answers empty batches); they need not be contiguous. What is kept for
// each row ("rows") is float32, in the units of the scaled logits (logits / temperature).
// Rows are independent, and every kernel is deterministic.
#pragma once

#include <optional>

#include "composed.h"
#include "heads.h"

namespace mlxffi::gpu {

// {loss [n], lse [n]}: loss = lse - (1 - smoothing) x[target] - smoothing * mean(x). A target outside 0..V-1 has the
// loss NaN, and the gradient NaN unless its cotangent is 0.
Arrays cross_entropy_forward(const mx::array& logits, const mx::array& targets, float smoothing, mx::Stream s);

// cotangent * (softmax(x) - (1 - smoothing) onehot(target) - smoothing / V), in the logits' dtype. A row whose
// cotangent is 0 is not read: its gradient is 0.
mx::array cross_entropy_backward(
    const mx::array& logits,
    const mx::array& targets,
    const mx::array& lse,
    const mx::array& cotangent,
    float smoothing,
    mx::Stream s);

// kl: {KL(p||q), lse_q, lse_p}; js: {JS, lse_q, lse_p, KL(q||m), KL(p||m)} with m = (p + q) / 2. All [n] float32.
// q are the student's logits, p the teacher's; both are divided by temperature first.
Arrays divergence_forward(DivergenceKind kind, const mx::array& q, const mx::array& p, float temperature, mx::Stream s);

// {dq} or, with teacher_gradient, {dq, dp}, in the logits' dtype; rows is what divergence_forward returned.
Arrays divergence_backward(
    DivergenceKind kind,
    const mx::array& q,
    const mx::array& p,
    const Arrays& rows,
    const mx::array& cotangent,
    float temperature,
    bool teacher_gradient,
    mx::Stream s);

// activation(gate) up, [n, V], of both as two arrays; and their gradients by cotangents [n, V]. The activation is silu, or
// gelu by tanh.
mx::array gate_forward(const mx::array& gates, const mx::array& ups, bool gelu, mx::Stream s);
Arrays gate_backward(const mx::array& gates, const mx::array& ups, const mx::array& cotangents, bool gelu, mx::Stream s);

// The same, [n, V / 2], of pairs [n, V]: in each row the gate and behind it what it multiplies. And the gradient of the pairs.
mx::array pairs_forward(const mx::array& pairs, bool gelu, mx::Stream s);
mx::array pairs_backward(const mx::array& pairs, const mx::array& cotangents, bool gelu, mx::Stream s);

// Whether there are kernels for heads of so many features.
bool has_heads(int features);

// {queries, keys} or {queries}, [..., heads, features], of the inputs of heads.cpp.
Arrays heads_forward(const Arrays& inputs, HeadCounts counts, bool has_norms, float eps, mx::Stream s);

// The gradient of the first of these, by the cotangents behind them. Where there are norms, behind it parts of which the sum
// is the gradients of their weights, float32 [heads_parts, kinds, features].
Arrays heads_backward(const Arrays& inputs, HeadCounts counts, bool has_norms, float eps, mx::Stream s);
int heads_parts(const mx::array& x, HeadCounts counts);

// The sums of columns of float32 [n, m], in a dtype.
mx::array column_sums(const mx::array& parts, mx::Dtype dtype, mx::Stream s);

// The gradients of RMSNorm by a cotangent, added to `sum` if there is one: of x [..., V], and where it is wanted of the weight
// [V]. For V of some sizes.
Arrays norm_backward(
    const mx::array& x,
    const mx::array& weight,
    const mx::array& cotangent,
    const std::optional<mx::array>& sum,
    bool of_weight,
    float eps,
    mx::Stream s);
bool has_norm_backward(int features);

// What one kernel does for many arrays of one dtype, which may have any shapes: how many at most, and which.
int arrays_of_adam();
int arrays_of_squares();
bool is_one_of_many(const mx::array& x);

// All new parameters, all m and all v, of the inputs of optimizer.cpp.
Arrays adam(const Arrays& inputs, mx::Stream s);

// float32 [].
mx::array sum_of_squares(const Arrays& arrays, mx::Stream s);

} // namespace mlxffi::gpu
