/* What Fourier transforms are given, as C takes it. */

#ifndef MLXFFI_FFT_H
#define MLXFFI_FFT_H

#include "dispatch/arguments.h"

/* A normalisation by its name; false after an exception, here and below. */
bool read_norm(Value *norm);

/* How many points a transform has along an axis, where that is not given: as many as the array; `half` says that it is
 * half of a symmetric one. */
bool size_along(Value *size, const Value *axis, mlx_array a, bool half);

/* The same along several. */
bool sizes_along(Value *sizes, const Value *axes, mlx_array a, bool half);

#endif
