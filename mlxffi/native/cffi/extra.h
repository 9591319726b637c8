intptr_t glue_vector_array_pack(const intptr_t *arrays, size_t arrays_num);
intptr_t glue_vector_array_of(intptr_t array);
void glue_stop_others(void);
int glue_vector_array_free(intptr_t vector);
size_t glue_vector_array_take(intptr_t *arrays, size_t capacity, intptr_t vector);

void glue_arrays_free(const intptr_t *arrays, size_t arrays_num);
int glue_array_assign(intptr_t arr, intptr_t src);
size_t glue_array_sizes(int *sizes, size_t capacity, intptr_t arr);
intptr_t glue_beside_int(intptr_t array, int64_t value);
intptr_t glue_beside_float(intptr_t array, double value);
intptr_t glue_with_int(intptr_t function, intptr_t array, int64_t value);
intptr_t glue_with_float(intptr_t function, intptr_t array, double value);
intptr_t glue_array_copy_data(const void *data, const int *shape, size_t shape_num, int dtype);
const void *glue_array_data(intptr_t arr);
