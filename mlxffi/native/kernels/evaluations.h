// Which kernels of ours compute one of MLX's operations.
#pragma once

#include <functional>

#include "elementwise_blocks.h"
#include "fused.h"

namespace mlxffi {

// Computes outputs on a stream; false where it cannot with inputs that lie as these do.
using Evaluation = std::function<bool(const Arrays& inputs, Arrays& outputs, mx::Stream s)>;

Evaluation by_blocks(std::shared_ptr<const Blocks> blocks);

// Whether a node is one of MLX's operations on numbers at the same place that there are kernels for, if not for every type.
bool is_elementwise(const mx::array& node);

// Some quotients of integers end the process in MLX's code.
bool divides_integers(const mx::array& node);

// The evaluation of a node; none where there are no kernels for it. Of numbers however few, lest results differ between sizes.
// Of one thread at a time.
Evaluation evaluation_of(const mx::array& node);

} // namespace mlxffi
