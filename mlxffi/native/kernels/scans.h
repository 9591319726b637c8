// Running sums, products, extremes and logarithms of sums of exponentials, of several rows or columns side by side.
#pragma once

#include <mlx/array.h>
#include <mlx/primitives.h>
#include <mlx/stream.h>

namespace mlxffi {

namespace mx = mlx::core;

// Puts the running results along an axis into `out`, on the stream, each made of the one before. False where there is no
// kernel, a result leaves its own number out, or there are too few rows or columns to go through side by side.
bool scan(const mx::Scan& scan, const mx::array& a, mx::array& out, mx::Stream s);

// Running sums of float32 numbers along the last axis, in double, or of float16 or bfloat16 ones along another, in float32, each
// rounded once; of an array that is not empty. The axis is counted from the front. On a CPU stream.
mx::array wide_cumsum(const mx::array& a, int axis, bool reverse, mx::Stream s);

} // namespace mlxffi
