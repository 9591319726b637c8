// Losses over the logits of an output layer, which are made and used some rows at a time and never stored whole.
#pragma once

#include "composed.h"
#include "head.h"

namespace mlxffi {

struct LinearCrossEntropyOptions {
  CrossEntropyOptions loss;
  // Adds z_loss logsumexp(logits)^2.
  double z_loss;
};

// The loss at each place of the batch: `hidden` is floating point [..., C], `targets` integers [...]. `keeps`: a gradient
// will be asked for, and what can be computed of it comes with the losses.
mx::array linear_cross_entropy(
    const mx::array& hidden, const Head& head, const mx::array& targets, const LinearCrossEntropyOptions& options, bool keeps,
    mx::Stream s);

// The divergence of a student from a teacher, which has a head of its own, as wide.
mx::array linear_divergence(
    const mx::array& hidden_q, const Head& head_q, const mx::array& hidden_p, const Head& head_p, const DivergenceOptions& options,
    bool keeps, mx::Stream s);

} // namespace mlxffi
