void python_closure(int *status, intptr_t *res, intptr_t input, intptr_t key);
void python_closure_kwargs(int *status, intptr_t *res, intptr_t input, intptr_t kwargs, intptr_t key);
void python_closure_value_and_grad(int *status, intptr_t *values, intptr_t *grads, intptr_t input, intptr_t key);
void python_closure_custom(int *status, intptr_t *res, intptr_t primals, intptr_t cotangents, intptr_t outputs, intptr_t key);
void python_closure_custom_jvp(int *status, intptr_t *res, intptr_t primals, intptr_t tangents, const int *argnums, size_t argnums_num, intptr_t key);
void python_closure_custom_vmap(int *status, intptr_t *res, intptr_t *out_axes, intptr_t input, const int *in_axes, size_t in_axes_num, intptr_t key);
