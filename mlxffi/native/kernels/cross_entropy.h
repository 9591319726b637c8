// Cross-entropy from class indices.
#pragma once

#include "composed.h"

namespace mlxffi {

// The loss at each place of the batch: float32, or float64 for float64 logits. `logits` are floating point [..., V],
// `targets` integers [...].
mx::array cross_entropy(const mx::array& logits, const mx::array& targets, const CrossEntropyOptions& options, mx::Stream s);

} // namespace mlxffi
