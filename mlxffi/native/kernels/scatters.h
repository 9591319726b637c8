// Slices written at places along the first axes, and numbers along any: `x.at[rows].add`, `x[rows] = y`, `put_along_axis`,
// gradients of lookups.
#pragma once

#include <vector>

#include <mlx/array.h>
#include <mlx/primitives.h>

namespace mlxffi {

namespace mx = mlx::core;

// Writes slices as MLX's Scatter does, on the stream, in the array's own memory where nobody needs that any more. Each
// place gets its slices one after the other. False for products, extremes of floats, sums of halves, indices along other axes than the
// first, slices that are not whole but for these, and where the numbers lie otherwise than side by side.
bool scatter(const mx::Scatter& scatter, const std::vector<mx::array>& inputs, mx::array& out, mx::Stream s);

// Adds or puts numbers as MLX's ScatterAxis does, in the same way. False for sums of halves, complex numbers and truth
// values, for indices of fewer than 32 bits, and where the numbers lie otherwise than side by side.
bool scatter_along(bool adds, int axis, const std::vector<mx::array>& inputs, mx::array& out, mx::Stream s);

} // namespace mlxffi
