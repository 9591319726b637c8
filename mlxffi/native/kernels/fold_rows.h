// Kernels that make one number of a row, or of each column. Halves are widened: what is made of them is float32.
#pragma once

#include <cstdint>

#include "elementwise_rows.h"

namespace mlxffi {

// The fold of a row that is not empty.
using RowFold = void (*)(const void* row, int64_t size, void* out);
// The place of the first extreme of a row that is not empty, a NaN where there is one, and that number in `value`. Where the
// numbers change meanwhile, it may be the place before the row's.
using PlaceOfRow = int64_t (*)(const void* row, int64_t size, void* value);
// Puts the numbers of a row that are more extreme into `best`, and the row's index where these stand into `places`.
using PlacesOfColumns = void (*)(const void* row, int64_t size, uint32_t index, void* best, uint32_t* places);

// Running results of so many rows of `length` numbers, which follow one another, or from their ends.
using ScanRows = void (*)(const char* from, char* to, int64_t rows, int64_t length, bool reverse);

// NULL where there is no kernel.
struct FoldKernels {
  RowFold (*row)(Operation operation, TypeOfNumbers type);
  // Folds the numbers of a row, in[1], into one each, in[0] and `out`.
  NumbersKernel (*into)(Operation operation, TypeOfNumbers type);
  PlaceOfRow (*place)(bool largest, TypeOfNumbers type);
  PlacesOfColumns (*places)(bool largest, TypeOfNumbers type);
  // Logarithms of sums of exponentials of float32.
  ScanRows log_sums;
};

} // namespace mlxffi
