// The losses and their gradients as MLX's operations: what derivatives that have no kernel are taken of.
#pragma once

#include "fused.h"

namespace mlxffi {

struct CrossEntropyOptions {
  double smoothing;
  // Targets of this value do not count: loss and gradient are 0.
  std::optional<int> ignored;

  bool operator==(const CrossEntropyOptions&) const = default;
};

enum class DivergenceKind { kl, js };

struct DivergenceOptions {
  DivergenceKind kind;
  double temperature;
  bool teacher_gradient;

  bool operator==(const DivergenceOptions&) const = default;
};

mx::array composed_cross_entropy(const mx::array& logits, const mx::array& targets, const CrossEntropyOptions& options, mx::Stream s);
mx::array composed_cross_entropy_gradient(
    const mx::array& logits, const mx::array& targets, const mx::array& cotangent, const CrossEntropyOptions& options, mx::Stream s);

mx::array composed_divergence(const mx::array& q, const mx::array& p, const DivergenceOptions& options, mx::Stream s);
// {dq}, or {dq, dp} with a teacher gradient.
Arrays composed_divergence_gradients(
    const mx::array& q, const mx::array& p, const mx::array& cotangent, const DivergenceOptions& options, mx::Stream s);

} // namespace mlxffi
