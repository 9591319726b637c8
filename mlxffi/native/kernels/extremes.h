// Where the largest or smallest number of each row or column stands.
#pragma once

#include <mlx/array.h>
#include <mlx/stream.h>

namespace mlxffi {

namespace mx = mlx::core;

// Puts the place of the extreme along an axis into `out`, on the stream: the first of equals, or of NaNs where there are some.
// False where there is no kernel, or the numbers lie otherwise than it takes them.
bool place_extremes(bool largest, int axis, const mx::array& a, mx::array& out, mx::Stream s);

} // namespace mlxffi
