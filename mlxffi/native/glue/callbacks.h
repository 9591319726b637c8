int glue_ignore_errors(void);
int glue_error_kind(void);
const char *glue_error_text(void);
void glue_clear_error(void);

intptr_t glue_new_closure(intptr_t key);
intptr_t glue_new_closure_kwargs(intptr_t key);
intptr_t glue_new_closure_value_and_grad(intptr_t key);
intptr_t glue_new_closure_custom(intptr_t key);
intptr_t glue_new_closure_custom_jvp(intptr_t key);
intptr_t glue_new_closure_custom_vmap(intptr_t key);

intptr_t glue_array_adopt(void *data, const int *shape, size_t shape_num, int dtype, intptr_t key);
size_t glue_dropped_count(void);
size_t glue_dropped(intptr_t *keys, size_t capacity);
void glue_stop_callbacks(void);
