// What optimizers do with arrays of parameters, as one kernel for many on a GPU.
#pragma once

#include "fused.h"

namespace mlxffi {

// How many numbers a step of Adam has (mlxffi_adam()).
inline constexpr int adam_numbers = 10;

// Parameters, m and v after a step of Adam, those of each list together.
struct AdamArrays {
  Arrays parameters, gradients, m, v; // as many each, at one place of one shape
};
Arrays adam(const AdamArrays& arrays, const mx::array& numbers, mx::Stream s);

// The sum of all squares, [], float64 where an array is, else float32.
mx::array sum_of_squares(const Arrays& arrays, mx::Stream s);

} // namespace mlxffi
