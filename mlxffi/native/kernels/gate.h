// Gated units of feed-forward layers.
#pragma once

#include "fused.h"

namespace mlxffi {

enum class Gate { silu, gelu_tanh };

// activation(gate) * up; fused for floating point arrays of one shape and dtype.
mx::array gated(Gate activation, const mx::array& gate, const mx::array& up, mx::Stream s);
// The same of both as halves of the last axis of one array.
mx::array gated_halves(Gate activation, const mx::array& pairs, mx::Stream s);

} // namespace mlxffi
