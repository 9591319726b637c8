// Lookups along axes: `take`, indexing by arrays, `take_along_axis`.
#pragma once

#include <vector>

#include <mlx/array.h>
#include <mlx/stream.h>

namespace mlxffi {

namespace mx = mlx::core;

// Puts the slices of `a` at the indices along an axis into `out`, as MLX's Gather does with slices of this size, on the
// stream. False where slices are not whole but for the axis, or the numbers lie otherwise than side by side.
bool gather(int axis, const mx::Shape& slice, const mx::array& a, const mx::array& indices, mx::array& out, mx::Stream s);

// The same with an array of indices for each of several axes, which are the first. False also where they are others.
bool gather_at_points(const std::vector<int>& axes, const mx::Shape& slice, const std::vector<mx::array>& inputs, mx::array& out, mx::Stream s);

// Puts the numbers of `a` at the indices along an axis into `out`, one at each place of the indices, as MLX's GatherAxis
// does, on the stream. False where the numbers lie otherwise than side by side.
bool gather_along(int axis, const mx::array& a, const mx::array& indices, mx::array& out, mx::Stream s);

} // namespace mlxffi
