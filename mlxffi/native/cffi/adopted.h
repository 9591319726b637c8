intptr_t glue_array_adopt(void *data, const int *shape, size_t shape_num, int dtype, intptr_t key);
size_t glue_dropped_count(void);
size_t glue_dropped(intptr_t *keys, size_t capacity);
