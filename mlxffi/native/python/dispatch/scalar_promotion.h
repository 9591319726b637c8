/* Python numbers beside arrays: each takes the array's dtype where that can hold its kind. */

#ifndef MLXFFI_SCALAR_PROMOTION_H
#define MLXFFI_SCALAR_PROMOTION_H

#include <stdbool.h>
#include <stdint.h>

#include "mlx/c/mlx.h"
#include "mlxffi/mlxffi.h"

/* A 0-d array of another dtype: `made` is given up. */
static inline mlx_array converted(mlx_array made, int dtype) {
  mlx_array result = {0};
  mlx_stream stream = mlxffi_default_stream();
  mlx_astype(&result, made, (mlx_dtype)dtype, stream);
  mlx_array_free(made);
  return result;
}

/* Whether a dtype holds an integer as it is. Floating-point dtypes round. */
static inline bool holds(int dtype, int64_t value) {
  switch (dtype) {
    case MLX_UINT8:
      return value >= 0 && value <= UINT8_MAX;
    case MLX_UINT16:
      return value >= 0 && value <= UINT16_MAX;
    case MLX_UINT32:
      return value >= 0 && value <= UINT32_MAX;
    case MLX_UINT64:
      return value >= 0;
    case MLX_INT8:
      return value >= INT8_MIN && value <= INT8_MAX;
    case MLX_INT16:
      return value >= INT16_MIN && value <= INT16_MAX;
    case MLX_INT32:
      return value >= INT32_MIN && value <= INT32_MAX;
    case MLX_FLOAT16:
      return value >= -65504 && value <= 65504;
    default:
      return true;
  }
}

/* A Python int as a 0-d array in the dtype that it takes beside one of `dtype`: that one (int32 for bool). False where
 * the dtype does not hold it; after an error the array is empty. */
static inline bool beside_int(mlx_array *made, int dtype, int64_t value) {
  dtype = dtype == MLX_BOOL ? MLX_INT32 : dtype;
  if (!holds(dtype, value)) {
    return false;
  }
  switch (dtype) {
    case MLX_FLOAT32:
      *made = mlx_array_new_float32((float)value);
      return true;
    case MLX_INT32:
      *made = mlx_array_new_data(&(int32_t){(int32_t)value}, NULL, 0, MLX_INT32);
      return true;
    case MLX_INT64:
      *made = mlx_array_new_data(&value, NULL, 0, MLX_INT64);
      return true;
    default:
      *made = converted(mlx_array_new_data(&value, NULL, 0, MLX_INT64), dtype);
      return true;
  }
}

/* A Python float likewise: in that dtype where it is floating point, else float32. */
static inline mlx_array beside_float(int dtype, double value) {
  switch (dtype) {
    case MLX_FLOAT64:
      return mlx_array_new_float64(value);
    case MLX_FLOAT16:
    case MLX_BFLOAT16:
      return converted(mlx_array_new_float32((float)value), dtype);
    default:
      return mlx_array_new_float32((float)value);
  }
}

#endif
