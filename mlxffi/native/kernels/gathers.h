// Lookups along one axis: `take`, indexing by an array, `take_along_axis`.
#pragma once

#include <mlx/array.h>
#include <mlx/stream.h>

namespace mlxffi {

namespace mx = mlx::core;

// Puts the slices of `a` at the indices along an axis into `out`, as MLX's Gather does with slices of this size, on the
// stream. False where slices are not whole but for the axis, or the numbers lie otherwise than side by side.
bool gather(int axis, const mx::Shape& slice, const mx::array& a, const mx::array& indices, mx::array& out, mx::Stream s);

// Puts the numbers of `a` at the indices along an axis into `out`, one at each place of the indices, as MLX's GatherAxis
// does, on the stream. False where the numbers lie otherwise than side by side.
bool gather_along(int axis, const mx::array& a, const mx::array& indices, mx::array& out, mx::Stream s);

} // namespace mlxffi
