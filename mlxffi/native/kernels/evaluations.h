// Which kernels of ours compute one of MLX's operations.
#pragma once

#include <functional>

#include "elementwise_blocks.h"
#include "fused.h"

namespace mlxffi {

// Computes outputs on a stream; false where it cannot with inputs that lie as these do.
using Evaluation = std::function<bool(const Arrays& inputs, Arrays& outputs, mx::Stream s)>;

Evaluation by_blocks(std::shared_ptr<const Blocks> blocks);

// Some quotients of integers end the process in MLX's code: of these ours computes even few.
bool divides_integers(const mx::array& node);

// How many numbers are computed by our kernels: as many as repay their preparation where MLX would do it, or any.
enum class Sizes { worth_scheduling, any };

// The evaluation of a node; none where there are no kernels for it.
Evaluation evaluation_of(const mx::array& node, Sizes sizes);

} // namespace mlxffi
