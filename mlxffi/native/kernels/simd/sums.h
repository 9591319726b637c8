// Sums of float32 numbers in double.
#pragma once

#include "elementwise.h"

namespace mlxffi {
namespace {

double sum(const float* numbers, int64_t size) {
  // Several sums, so that neighbours do not wait for each other.
  constexpr int several = 4, width = lanes<double>;
  Doubles sums[several] = {};
  double rest = 0;
  each_part<several * width>(size, [&](int64_t i, int count) MLXFFI_INLINED {
    if (count == several * width) {
      MLXFFI_UNROLLED
      for (int k = 0; k < several; k++) {
        sums[k] += get_wide(numbers + i + k * width, width);
      }
    } else {
      for (int k = 0; k < count; k++) {
        rest += numbers[i + k];
      }
    }
  });
  return rest + sum_of<double>((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

void add_to_sums(const float* numbers, double* sums, int64_t size) {
  each<double>(size, [&](int64_t i, int count) MLXFFI_INLINED {
    put(sums + i, get(sums + i, count) + get_wide(numbers + i, count), count * sizeof(double));
  });
}

} // namespace
} // namespace mlxffi
