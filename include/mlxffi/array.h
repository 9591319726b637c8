#ifndef MLXFFI_ARRAY_H
#define MLXFFI_ARRAY_H

#include <stdbool.h>
#include <stdint.h>

#include "mlx/c/array.h"
#include "mlx/c/string.h"
#include "mlx/c/vector.h"

/**
 * What a binding needs to know of an array beyond mlx/c/array.h.
 */

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Cut an array off the graph that computed it, so that its inputs can be freed.
 *
 * The array must have been evaluated; its data stays.
 * Returns 0, or 1 after an error: the array has not been evaluated.
 */
int mlxffi_array_detach(const mlx_array arr);

/**
 * The first element of an evaluated array, whatever its dtype.
 *
 * `*data` is borrowed while the array's buffer lives; walk it with mlx_array_strides(). NULL for an array of size 0.
 * Returns 0, or 1 after an error: the array has not been evaluated.
 */
int mlxffi_array_data(const void **data, const mlx_array arr);

/**
 * A readable form of an array, as mlx_array_tostring() writes it, with some digits after the point.
 *
 * `precision`: at most 4,096; -1 shows up to six digits altogether.
 * Returns 0, or 1 after an error: the array cannot be evaluated.
 */
int mlxffi_array_text(mlx_string *str, const mlx_array arr, int precision);

/** Whether an array is a tracer, the stand-in for an argument while a transform runs the function. */
int mlxffi_array_is_tracer(bool *res, const mlx_array arr);

/** Whether two handles stand for the same array (one node of one graph), not merely equal values. */
int mlxffi_array_is_same(bool *res, const mlx_array a, const mlx_array b);

#ifdef __cplusplus
}
#endif

#endif /* MLXFFI_ARRAY_H */
