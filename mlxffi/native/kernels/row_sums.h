// What is made of the sums of rows, with sums in double.
#pragma once

#include <mlx/array.h>
#include <mlx/stream.h>

namespace mlxffi {

namespace mx = mlx::core;

// exp(x) / sum(exp(x)) of the rows of a float32, float16 or bfloat16 array, in float32, in its own type. On a CPU stream.
mx::array softmax_rows(const mx::array& rows, mx::Stream s);

// log(sum(exp(x))) of the rows of a floating-point array, with sums in double; float64 for float64, else float32. With
// `keepdims` the last axis stays, with size 1. On a CPU stream.
mx::array log_sum_exp(const mx::array& rows, bool keepdims, mx::Stream s);

} // namespace mlxffi
