// The Kullback-Leibler and Jensen-Shannon divergences between the distributions of two sets of logits.
#pragma once

#include "composed.h"

namespace mlxffi {

// The divergence at each place of the batch: float32, or float64 for float64 logits. `q`, the student's logits, and `p`,
// the teacher's, are floating point [..., V] of one dtype.
mx::array divergence(const mx::array& q, const mx::array& p, const DivergenceOptions& options, mx::Stream s);

} // namespace mlxffi
