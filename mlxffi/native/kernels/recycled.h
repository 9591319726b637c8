// Memory for large results.
#pragma once

#include <mlx/array.h>

namespace mlxffi {

// Gives an array memory for its elements. Of large pieces the last few that arrays gave back are used again: MLX keeps
// none on the CPU, and the first touch of fresh memory costs several times what a kernel takes to fill it.
void allocate(mlx::core::array& array);

} // namespace mlxffi
