// Slices written at places along the first axis: `x.at[rows].add`, `x[rows] = y`, gradients of lookups.
#pragma once

#include <vector>

#include <mlx/array.h>
#include <mlx/primitives.h>

namespace mlxffi {

namespace mx = mlx::core;

// Adds or puts slices as MLX's Scatter does, on the stream, in the array's own memory where nobody needs that any more. Each
// place gets its slices one after the other. False for another reduction, sums of halves, where there is more than one index array, where
// slices are not whole or are of few numbers, and where the numbers lie otherwise than side by side.
bool scatter(const mx::Scatter& scatter, const std::vector<mx::array>& inputs, mx::array& out, mx::Stream s);

} // namespace mlxffi
