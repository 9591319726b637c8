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
