/* Arrays and vectors of arrays as integers: what the generated glue does not cover. */

#include "dlpack/elements.h"

#include <string.h>

/* From here on no other thread gets through this module. CPython stops daemon threads itself, when they want the GIL; PyPy
 * lets them go on while the process ends. */
static void glue_stop_others(void) {
#ifdef PYPY_VERSION
  hold();
#endif
}

/* --- vectors --- */

static intptr_t glue_vector_array_pack(const intptr_t *arrays, size_t arrays_num) {
  HOLD;
  return (intptr_t)mlx_vector_array_new_data((const mlx_array *)arrays, arrays_num).ctx;
}

/* The same of one array, which needs no list. */
static intptr_t glue_vector_array_of(intptr_t array) {
  return glue_vector_array_pack(&array, 1);
}

/* The arrays of a vector; 0 stands for one that there was no memory for. */
static void shared(intptr_t *arrays, mlx_vector_array source, size_t size) {
  memset(arrays, 0, size * sizeof *arrays);
  for (size_t i = 0; i < size; i++) {
    mlx_vector_array_get((mlx_array *)&arrays[i], source, i);
  }
}

/* The size of a vector. Where that is within `capacity`, the vector is freed, and its arrays become the caller's. */
static size_t glue_vector_array_take(intptr_t *arrays, size_t capacity, intptr_t vector) {
  HOLD;
  mlx_vector_array source = {(void *)vector};
  size_t size = mlx_vector_array_size(source);
  if (size <= capacity) {
    shared(arrays, source, size);
    mlx_vector_array_free(source);
  }
  return size;
}

/* --- arrays --- */

static void glue_arrays_free(const intptr_t *arrays, size_t arrays_num) {
  HOLD;
  for (size_t i = 0; i < arrays_num; i++) {
    mlx_array_free((mlx_array){(void *)arrays[i]});
  }
}

/* Puts other content under a handle, which others may hold; an empty one keeps none. */
static int glue_array_assign(intptr_t arr, intptr_t src) {
  HOLD;
  return arr && mlx_array_set(&(mlx_array){(void *)arr}, (mlx_array){(void *)src});
}

/* The number of axes; where that is within `capacity`, their sizes. SIZE_MAX after an error. */
static size_t glue_array_sizes(int *sizes, size_t capacity, intptr_t arr) {
  HOLD;
  mlx_array array = glue_own(arr);
  if (!array.ctx) {
    return SIZE_MAX;
  }
  size_t ndim = mlx_array_ndim(array);
  if (ndim && ndim <= capacity) {
    memcpy(sizes, mlx_array_shape(array), ndim * sizeof *sizes);
  }
  glue_let_go(array);
  return ndim;
}

/* A Python number as a 0-d array in the dtype that it takes beside `array`, for the dtypes that most arrays have; -1, which
 * is no handle, where that is another, or does not hold it. */
static intptr_t glue_beside_int(intptr_t array, int64_t value) {
  HOLD;
  switch (mlx_array_dtype((mlx_array){(void *)array})) {
    case MLX_FLOAT32:
      return (intptr_t)mlx_array_new_float32((float)value).ctx;
    case MLX_BOOL:
    case MLX_INT32:
      return value == (int32_t)value ? (intptr_t)mlx_array_new_data(&(int32_t){(int32_t)value}, NULL, 0, MLX_INT32).ctx : -1;
    default:
      return -1;
  }
}

static intptr_t glue_beside_float(intptr_t array, double value) {
  HOLD;
  switch (mlx_array_dtype((mlx_array){(void *)array})) {
    case MLX_FLOAT16:
    case MLX_BFLOAT16:
    case MLX_FLOAT64:
    case MLX_COMPLEX64:
      return -1;
    default:
      return (intptr_t)mlx_array_new_float32((float)value).ctx;
  }
}

typedef intptr_t Binary(intptr_t, intptr_t, intptr_t);

/* What a binary function of the glue makes of an array and a number beside it, which is freed; -1 where that is none. */
static intptr_t with_number(intptr_t function, intptr_t array, intptr_t number) {
  if (number == 0 || number == -1) {
    return number;
  }
  intptr_t result = ((Binary *)function)(array, number, 0);
  mlx_array_free((mlx_array){(void *)number});
  return result;
}

static intptr_t glue_with_int(intptr_t function, intptr_t array, int64_t value) {
  HOLD;
  return with_number(function, array, glue_beside_int(array, value));
}

static intptr_t glue_with_float(intptr_t function, intptr_t array, double value) {
  HOLD;
  return with_number(function, array, glue_beside_float(array, value));
}

/* A new array with a copy of the elements, which lie in row order. */
static intptr_t glue_array_copy_data(const void *data, const int *shape, size_t shape_num, int dtype) {
  HOLD;
  return (intptr_t)mlx_array_new_data(data, shape, (int)shape_num, (mlx_dtype)dtype).ctx;
}

/* The first element of an evaluated array; NULL for an empty one, or after an error. */
static const void *glue_array_data(intptr_t arr) {
  HOLD;
  return elements_of((mlx_array){(void *)arr});
}
