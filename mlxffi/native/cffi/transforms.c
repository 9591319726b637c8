/* Transforms in one call each from Python: only while MLX runs do they let other threads go on. Each packs its arguments,
 * runs one function of MLX, which may call back, and gives the arrays of the result out. They return how many those are, and
 * -1 after an error. Where `capacity` is less, out[0] is a vector that holds them. */

#include <stdlib.h>

static mlx_vector_array packed(const intptr_t *arrays, size_t count) {
  return mlx_vector_array_new_data((const mlx_array *)arrays, count);
}

/* The arrays of two vectors, which are freed; the second may be none. */
static intptr_t given(int failed, mlx_vector_array first, mlx_vector_array second, intptr_t *out, size_t capacity) {
  size_t head = failed ? 0 : mlx_vector_array_size(first);
  size_t tail = failed || !second.ctx ? 0 : mlx_vector_array_size(second);
  if (head + tail <= capacity) {
    shared(out, first, head);
    shared(out + head, second, tail);
  } else {
    for (size_t i = 0; i < tail && !failed; i++) {
      mlx_array item = {0};
      failed = mlx_vector_array_get(&item, second, i) || mlx_vector_array_append_value(first, item);
      mlx_array_free(item);
    }
    out[0] = (intptr_t)first.ctx;
    first.ctx = failed ? first.ctx : NULL;
  }
  mlx_vector_array_free(first);
  mlx_vector_array_free(second);
  return failed ? -1 : (intptr_t)(head + tail);
}

static intptr_t glue_run_closure(intptr_t fun, const intptr_t *inputs, size_t inputs_num, intptr_t *out, size_t capacity) {
  HOLD;
  mlx_vector_array vector = packed(inputs, inputs_num), values = {0};
  int failed = !vector.ctx;
  LETTING_GO(failed = failed || mlx_closure_apply(&values, (mlx_closure){(void *)fun}, vector));
  mlx_vector_array_free(vector);
  return given(failed, values, (mlx_vector_array){0}, out, capacity);
}

static intptr_t glue_run_value_and_grad(intptr_t fun, const intptr_t *inputs, size_t inputs_num, intptr_t *out, size_t capacity) {
  HOLD;
  mlx_vector_array vector = packed(inputs, inputs_num), values = {0}, grads = {0};
  int failed = !vector.ctx;
  LETTING_GO(failed = failed || mlx_closure_value_and_grad_apply(&values, &grads, (mlx_closure_value_and_grad){(void *)fun}, vector));
  mlx_vector_array_free(vector);
  return given(failed, values, grads, out, capacity);
}

typedef int Product(mlx_vector_array *, mlx_vector_array *, const mlx_closure, const mlx_vector_array, const mlx_vector_array);

static intptr_t product(Product *run, intptr_t fun, mlx_vector_array primals, mlx_vector_array seeds, intptr_t *out, size_t capacity) {
  mlx_vector_array values = {0}, products = {0};
  int failed = !primals.ctx || !seeds.ctx;
  LETTING_GO(failed = failed || run(&values, &products, (mlx_closure){(void *)fun}, primals, seeds));
  mlx_vector_array_free(primals);
  mlx_vector_array_free(seeds);
  return given(failed, values, products, out, capacity);
}

static intptr_t glue_run_vjp(intptr_t fun, const intptr_t *primals, size_t primals_num, const intptr_t *cotangents, size_t cotangents_num, intptr_t *out, size_t capacity) {
  HOLD;
  return product(&mlx_vjp, fun, packed(primals, primals_num), packed(cotangents, cotangents_num), out, capacity);
}

static intptr_t glue_run_jvp(intptr_t fun, const intptr_t *primals, size_t primals_num, const intptr_t *tangents, size_t tangents_num, intptr_t *out, size_t capacity) {
  HOLD;
  return product(&mlx_jvp, fun, packed(primals, primals_num), packed(tangents, tangents_num), out, capacity);
}

/* Axes for `count` arrays, to be freed: those given, or the one given for each. */
static int *axes_for(size_t count, const int *axes, size_t axes_num) {
  int *made = calloc(count + 1, sizeof *made);
  for (size_t i = 0; made && i < count && axes_num; i++) {
    made[i] = axes[axes_num == 1 ? 0 : i];
  }
  return made;
}

static int vectorised(mlx_vector_array *res, mlx_closure fun, mlx_vector_array inputs, const int *in_axes, size_t in_axes_num, const int *out_axes, size_t out_axes_num) {
  mlx_vector_array slices = {0}, outputs = {0};
  int failed = mlx_detail_vmap_trace(&slices, &outputs, fun, inputs, in_axes, in_axes_num);
  size_t count = failed ? 0 : mlx_vector_array_size(outputs);
  int *axes = axes_for(count, out_axes, out_axes_num);
  failed = failed || !axes || mlx_detail_vmap_replace(res, inputs, slices, outputs, in_axes, in_axes_num, axes, count);
  free(axes);
  mlx_vector_array_free(slices);
  mlx_vector_array_free(outputs);
  return failed;
}

static intptr_t glue_run_vmap(intptr_t fun, const intptr_t *inputs, size_t inputs_num, const int *in_axes, size_t in_axes_num, const int *out_axes, size_t out_axes_num, intptr_t *out, size_t capacity) {
  HOLD;
  mlx_vector_array vector = packed(inputs, inputs_num), values = {0};
  int failed = !vector.ctx;
  LETTING_GO(failed = failed || vectorised(&values, (mlx_closure){(void *)fun}, vector, in_axes, in_axes_num, out_axes, out_axes_num));
  mlx_vector_array_free(vector);
  return given(failed, values, (mlx_vector_array){0}, out, capacity);
}
