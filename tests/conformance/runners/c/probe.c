#include "probe.h"

#include "lists.h"

/* A failure is the status, and a text, which the call that ran the callback passes on. */
static int run(mlx_vector_array *res, const mlx_vector_array inputs, void *payload) {
  probe *p = payload;
  int number = __atomic_add_fetch(&p->calls, 1, __ATOMIC_SEQ_CST);
  if (p->fail_at == -1 || p->fail_at == number) {
    mlx_error("%s", PROBE_TEXT);
    return 1;
  }
  return p->body(p, res, inputs);
}

static void count_free(void *payload) {
  __atomic_add_fetch(&((probe *)payload)->freed, 1, __ATOMIC_SEQ_CST);
}

mlx_closure probe_closure(probe *p) {
  return mlx_closure_new_func_payload(run, p, count_free);
}

mlx_closure_value_and_grad probe_gradient(probe *p, const int *argnums, size_t count) {
  mlx_closure closure = probe_closure(p);
  mlx_closure_value_and_grad gradient = {NULL};
  mlx_value_and_grad(&gradient, closure, argnums, count);
  mlx_closure_free(closure);
  return gradient;
}

/* The product of two arrays as the one output. */
static int give_product(mlx_vector_array *res, const mlx_array a, const mlx_array b) {
  mlx_array made = mlx_array_new();
  mlx_stream stream = mlx_default_cpu_stream_new();
  int status = mlx_multiply(&made, a, b, stream) || mlx_vector_array_set_value(res, made);
  mlx_array_free(made);
  mlx_stream_free(stream);
  return status;
}

int square(probe *p, mlx_vector_array *res, const mlx_vector_array inputs) {
  (void)p;
  mlx_array x = mlx_array_new();
  int status = mlx_vector_array_get(&x, inputs, 0) || give_product(res, x, x);
  mlx_array_free(x);
  return status;
}

int product(probe *p, mlx_vector_array *res, const mlx_vector_array inputs) {
  (void)p;
  mlx_array x = mlx_array_new(), y = mlx_array_new();
  int status = mlx_vector_array_get(&x, inputs, 0) || mlx_vector_array_get(&y, inputs, 1) || give_product(res, x, y);
  mlx_array_free(x);
  mlx_array_free(y);
  return status;
}

int scaled(probe *p, mlx_vector_array *res, const mlx_vector_array inputs) {
  mlx_array x = mlx_array_new();
  int status = mlx_vector_array_get(&x, inputs, 0) || give_product(res, x, p->array);
  mlx_array_free(x);
  return status;
}

int keeping(probe *p, mlx_vector_array *res, const mlx_vector_array inputs) {
  return mlx_vector_array_get(&p->array, inputs, 0) || mlx_vector_array_set(res, inputs);
}

int applied(probe *p, mlx_vector_array *res, const mlx_vector_array inputs) {
  return mlx_closure_apply(res, p->inner, inputs);
}

int differentiated(probe *p, mlx_vector_array *res, const mlx_vector_array inputs) {
  mlx_vector_array outputs = {NULL}, one = list_of(mlx_array_new_float32(1));
  int status = mlx_vjp(&outputs, res, p->inner, inputs, one);
  mlx_vector_array_free(outputs);
  mlx_vector_array_free(one);
  return status;
}

int nothing(probe *p, mlx_vector_array *res, const mlx_vector_array inputs) {
  (void)p, (void)res, (void)inputs;
  return 0;
}

int empty(probe *p, mlx_vector_array *res, const mlx_vector_array inputs) {
  (void)p, (void)inputs;
  *res = mlx_vector_array_new();
  return 0;
}
