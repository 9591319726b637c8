/* Functions of Python that C calls: one for each kind of closure, set by mlxffi/_closures.py. Handles of arrays that go
 * in are the callee's own; those of several vectors stand one after the other. What comes back is the handle of a vector;
 * 0 stands for a failure. */
extern "Python" intptr_t python_closure(intptr_t *inputs, size_t inputs_num, intptr_t key);
extern "Python" intptr_t python_closure_kwargs(intptr_t *inputs, size_t inputs_num, intptr_t named, intptr_t key);
extern "Python" intptr_t python_closure_custom(intptr_t *arrays, size_t primals_num, size_t cotangents_num, size_t outputs_num, intptr_t key);
extern "Python" intptr_t python_closure_custom_jvp(intptr_t *arrays, size_t primals_num, size_t tangents_num, const int *argnums, size_t argnums_num, intptr_t key);
extern "Python" intptr_t python_closure_custom_vmap(intptr_t *out_axes, intptr_t *inputs, size_t inputs_num, const int *in_axes, size_t in_axes_num, intptr_t key);
