intptr_t glue_vector_array_pack(const intptr_t *arrays, size_t arrays_num);
int glue_vector_array_free(intptr_t vector);

int glue_vector_array_unpack(intptr_t *arrays, intptr_t vector);
size_t glue_vector_array_size(intptr_t vector);
size_t glue_vector_array_read(intptr_t *arrays, size_t capacity, intptr_t vector, bool take);

intptr_t glue_scalar_int(int64_t value, int dtype);
intptr_t glue_scalar_float(double value, int dtype);
intptr_t glue_array_copy_data(const void *data, const int *shape, size_t shape_num, int dtype);
const void *glue_array_data(intptr_t arr);
