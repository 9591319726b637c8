/* Arrays and vectors of arrays as integers: what the generated glue does not cover. */

static intptr_t glue_vector_array_pack(const intptr_t *arrays, size_t arrays_num) {
  return (intptr_t)mlx_vector_array_new_data((const mlx_array *)arrays, arrays_num).ctx;
}

/* Fills `arrays` with handles of the caller's own. */
static int glue_vector_array_unpack(intptr_t *arrays, intptr_t vector) {
  mlx_vector_array source = {(void *)vector};
  size_t size = mlx_vector_array_size(source);
  for (size_t i = 0; i < size; i++) {
    mlx_array element = {0};
    if (mlx_vector_array_get(&element, source, i)) {
      while (i--) {
        mlx_array_free((mlx_array){(void *)arrays[i]});
      }
      return 1;
    }
    arrays[i] = (intptr_t)element.ctx;
  }
  return 0;
}

static size_t glue_vector_array_size(intptr_t vector) {
  return mlx_vector_array_size((mlx_vector_array){(void *)vector});
}

static int glue_vector_array_free(intptr_t vector) {
  return mlx_vector_array_free((mlx_vector_array){(void *)vector});
}

/* Fills `arrays` with handles of the caller's own and, to `take` the vector, frees it. Gives its size; where that is
 * more than `capacity`, nothing else is done. After an error the size is SIZE_MAX; a vector to be taken is freed. */
static size_t glue_vector_array_read(intptr_t *arrays, size_t capacity, intptr_t vector, bool take) {
  size_t size = glue_vector_array_size(vector);
  if (size > capacity) {
    return size;
  }
  bool failed = glue_vector_array_unpack(arrays, vector);
  if (take) {
    glue_vector_array_free(vector);
  }
  return failed ? SIZE_MAX : size;
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

/* Python numbers as 0-d arrays: the dtypes that C can name are made at once. */
static intptr_t glue_scalar_int(int64_t value, int dtype) {
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

static intptr_t glue_scalar_float(double value, int dtype) {
  switch (dtype) {
    case MLX_FLOAT32:
      return (intptr_t)mlx_array_new_float32((float)value).ctx;
    case MLX_FLOAT64:
      return (intptr_t)mlx_array_new_float64(value).ctx;
    default:
      return converted(mlx_array_new_float32((float)value), dtype);
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
