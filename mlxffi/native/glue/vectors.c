/* Arrays and vectors of arrays as integers: what the generated glue does not cover. */

static int glue_vector_array_free(intptr_t vector) {
  return mlx_vector_array_free((mlx_vector_array){(void *)vector});
}

/* A 0-d array of another dtype: `made` is given up. */
static intptr_t converted(mlx_array made, int dtype) {
  mlx_array result = {0};
  mlx_stream stream = glue_stream(0);
  mlx_astype(&result, made, (mlx_dtype)dtype, stream);
  glue_stream_done(0, stream);
  mlx_array_free(made);
  return (intptr_t)result.ctx;
}

/* Whether a dtype holds an integer as it is. Floating-point dtypes round. */
static bool holds(int dtype, int64_t value) {
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

/* A Python int as a 0-d array in the dtype that it takes beside `array`: that one's (int32 for bool). -1, which is no
 * handle, where the dtype does not hold it. */
static intptr_t glue_beside_int(intptr_t array, int64_t value) {
  int dtype = mlx_array_dtype((mlx_array){(void *)array});
  dtype = dtype == MLX_BOOL ? MLX_INT32 : dtype;
  if (!holds(dtype, value)) {
    return -1;
  }
  switch (dtype) {
    case MLX_FLOAT32:
      return (intptr_t)mlx_array_new_float32((float)value).ctx;
    case MLX_INT32:
      return (intptr_t)mlx_array_new_data(&(int32_t){(int32_t)value}, NULL, 0, MLX_INT32).ctx;
    case MLX_INT64:
      return (intptr_t)mlx_array_new_data(&value, NULL, 0, MLX_INT64).ctx;
    default:
      return converted(mlx_array_new_data(&value, NULL, 0, MLX_INT64), dtype);
  }
}

/* A Python float likewise: in the dtype of `array` where that is floating point or complex, else float32. */
static intptr_t glue_beside_float(intptr_t array, double value) {
  int dtype = mlx_array_dtype((mlx_array){(void *)array});
  switch (dtype) {
    case MLX_FLOAT64:
      return (intptr_t)mlx_array_new_float64(value).ctx;
    case MLX_FLOAT16:
    case MLX_BFLOAT16:
    case MLX_COMPLEX64:
      return converted(mlx_array_new_float32((float)value), dtype);
    default:
      return (intptr_t)mlx_array_new_float32((float)value).ctx;
  }
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
