// What optimizers do with each array of parameters, as one kernel each on a GPU.
#pragma once

#include "fused.h"

namespace mlxffi {

// How many numbers a step of Adam has (mlxffi_adam()).
inline constexpr int adam_numbers = 10;

// {parameter, m, v} after a step of Adam, of {parameter, gradient, m, v, numbers}: all but the numbers of one shape.
Arrays adam(const Arrays& inputs, mx::Stream s);

// The sum of all squares, [], float64 for float64, else float32.
mx::array sum_of_squares(const mx::array& x, mx::Stream s);

} // namespace mlxffi
