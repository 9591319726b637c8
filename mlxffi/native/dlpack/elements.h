/* The memory of an array, for both bindings. */

#ifndef MLXFFI_DLPACK_ELEMENTS_H
#define MLXFFI_DLPACK_ELEMENTS_H

#include "mlx/c/mlx.h"

/* The first element of a computed array; NULL for an empty one, or after an error. */
static inline const void *elements_of(mlx_array array) {
  switch (mlx_dtype_size(mlx_array_dtype(array))) {
    case 1:
      return mlx_array_data_uint8(array);
    case 2:
      return mlx_array_data_uint16(array);
    case 4:
      return mlx_array_data_uint32(array);
    default:
      return mlx_array_data_uint64(array);
  }
}

#endif
