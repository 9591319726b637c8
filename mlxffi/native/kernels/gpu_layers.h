// Parts of layers on a GPU, one kernel each: what evaluates a node of MLX's graph (see fused.h).
//
// Inputs are of float32, float16 or bfloat16, but for what is said to be float32, and have at least `least` rows and
// features. They need not be contiguous. Sums are float32, always in the same order.
#pragma once

#include <memory>
#include <vector>

#include <mlx/array.h>
#include <mlx/primitives.h>

namespace mlxffi::gpu {

namespace mx = mlx::core;
using Arrays = std::vector<mx::array>;
using Node = std::shared_ptr<mx::Primitive>;

// Fewer rows or features are for others; on Metal, arrays of fewer elements lie in another address space.
constexpr int least = 8;

// Whether the kernels take rows of an array on a stream, which may be a CPU's.
bool takes_rows(const mx::array& x, mx::Stream s);

// {x, [weight]} -> {x r weight, r}, r = 1 / sqrt(mean(x^2) + eps) of each row, float32.
Node rms_norm(const Arrays& inputs, float eps, mx::Stream s);
// {x, [weight], cotangent, r} -> {gradient of x}.
Node rms_norm_backward(const Arrays& inputs, mx::Stream s);

// {gate, up} -> {activation(gate) up}, and with the cotangent {gradient of gate, of up}.
Node gate(const Arrays& inputs, bool gelu, mx::Stream s);
Node gate_backward(const Arrays& inputs, bool gelu, mx::Stream s);

// Factors of low-rank additions, [features, rank] or, where the rank is not `last`, [rank, features].
struct LowRank {
  int rank;
  int count = 1; // of factors
  bool last = true;
  bool each = false; // whether there are as many x, one for each factor, not one for all

  bool operator==(const LowRank&) const = default;
};
// Of all factors of one x together.
constexpr int most_rank = 24;

// {x..., factors...} -> {scale x factor, float32, [rows, count rank]: of all factors one behind the other}.
Node low_rank_down(const Arrays& inputs, LowRank factors, float scale, mx::Stream s);
// {y..., low, factors...} -> {y + low factor...}, where several factors of one y are added up; low is float32.
Node low_rank_up(const Arrays& inputs, LowRank factors, mx::Stream s);
// {x..., low} -> {x^T low of some rows [parts, all gradients as the factors lie, one behind the other], float32}; low is
// float32.
int outer_parts(const mx::array& x);
Node low_rank_outer(const Arrays& inputs, LowRank factors, mx::Stream s);

} // namespace mlxffi::gpu
