intptr_t python_closure(intptr_t input, intptr_t key);
intptr_t python_closure_kwargs(intptr_t input, intptr_t kwargs, intptr_t key);
intptr_t python_closure_value_and_grad(intptr_t *grads, intptr_t input, intptr_t key);
intptr_t python_closure_custom(intptr_t primals, intptr_t cotangents, intptr_t outputs, intptr_t key);
intptr_t python_closure_custom_jvp(intptr_t primals, intptr_t tangents, const int *argnums, size_t argnums_num, intptr_t key);
intptr_t python_closure_custom_vmap(intptr_t *out_axes, intptr_t input, const int *in_axes, size_t in_axes_num, intptr_t key);
