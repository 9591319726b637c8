// Arrays that are put together.
#pragma once

#include "fused.h"

namespace mlxffi {

// MLX's concatenate along an axis: whole rows are copied, on all cores.
void concatenate(int axis, const Arrays& inputs, mx::array& out, mx::Stream s);

} // namespace mlxffi
