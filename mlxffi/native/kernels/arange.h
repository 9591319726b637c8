// Numbers in steps: `arange`, and what MLX composes of it.
#pragma once

#include <mlx/array.h>
#include <mlx/primitives.h>
#include <mlx/stream.h>

namespace mlxffi {

namespace mx = mlx::core;

// Fills `out` as MLX's Arange does, on the stream. Floats are computed in double and rounded once: MLX adds the step up.
void arange(const mx::Arange& arange, mx::array& out, mx::Stream s);

} // namespace mlxffi
