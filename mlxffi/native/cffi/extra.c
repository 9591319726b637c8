/* Arrays and vectors of arrays as integers: what the generated glue does not cover. */

#include "convert/scalar_promotion.h"

static int glue_vector_array_free(intptr_t vector) {
  return mlx_vector_array_free((mlx_vector_array){(void *)vector});
}

/* A Python int as a 0-d array beside `array`; -1, which is no handle, where its dtype does not hold it. */
static intptr_t glue_beside_int(intptr_t array, int64_t value) {
  mlx_array made = {0};
  return beside_int(&made, mlx_array_dtype((mlx_array){(void *)array}), value) ? (intptr_t)made.ctx : -1;
}

/* A Python float as a 0-d array beside `array`. */
static intptr_t glue_beside_float(intptr_t array, double value) {
  return (intptr_t)beside_float(mlx_array_dtype((mlx_array){(void *)array}), value).ctx;
}

/* A new array with a copy of the elements, which lie in row order. */
static intptr_t glue_array_copy_data(const void *data, const int *shape, size_t shape_num, int dtype) {
  return (intptr_t)mlx_array_new_data(data, shape, (int)shape_num, (mlx_dtype)dtype).ctx;
}

/* The first element of an evaluated array; NULL for an empty one, or after an error. */
static const void *glue_array_data(intptr_t arr) {
  mlx_array array = {(void *)arr};
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
