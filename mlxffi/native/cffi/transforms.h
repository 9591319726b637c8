/* Each packs its arguments, runs one function of MLX, which may call back, and gives the arrays of the result out. They
 * return how many those are, and -1 after an error. Where `capacity` is less, out[0] is a vector that holds them. */
intptr_t glue_run_closure(intptr_t fun, const intptr_t *inputs, size_t inputs_num, intptr_t *out, size_t capacity);
intptr_t glue_run_value_and_grad(intptr_t fun, const intptr_t *inputs, size_t inputs_num, intptr_t *out, size_t capacity);
intptr_t glue_run_vjp(intptr_t fun, const intptr_t *primals, size_t primals_num, const intptr_t *cotangents, size_t cotangents_num, intptr_t *out, size_t capacity);
intptr_t glue_run_jvp(intptr_t fun, const intptr_t *primals, size_t primals_num, const intptr_t *tangents, size_t tangents_num, intptr_t *out, size_t capacity);
/* The axes are one for each input and each output; one output axis stands for all. */
intptr_t glue_run_vmap(intptr_t fun, const intptr_t *inputs, size_t inputs_num, const int *in_axes, size_t in_axes_num, const int *out_axes, size_t out_axes_num, intptr_t *out, size_t capacity);
