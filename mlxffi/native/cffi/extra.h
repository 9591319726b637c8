int glue_vector_array_free(intptr_t vector);

intptr_t glue_beside_int(intptr_t array, int64_t value);
intptr_t glue_beside_float(intptr_t array, double value);
intptr_t glue_array_copy_data(const void *data, const int *shape, size_t shape_num, int dtype);
const void *glue_array_data(intptr_t arr);
