/* What both programs do. */
#include <pthread.h>
#include <stdio.h>
#include "mlx/c/mlx.h"

static void ignore(const char *message, void *data) {
  (void)message, (void)data;
}

static void fail(void) {
  mlx_array none = {0};
  mlx_load(&none, "/nowhere/100%s \"x\".npy", (mlx_stream){0});
}
static int square(mlx_array *res, const mlx_array x) {
  mlx_stream s = mlx_default_cpu_stream_new();
  int status = mlx_square(res, x, s);
  mlx_stream_free(s);
  return status;
}

static void *work(void *unused) {
  const int shape[1] = {2};
  const float data[2] = {3, 4};
  float sum;
  mlx_closure f = mlx_closure_new_unary(square);
  mlx_array x = mlx_array_new_data(data, shape, 1, MLX_FLOAT32);
  mlx_vector_array in = mlx_vector_array_new_data(&x, 1), out = {0};
  mlx_closure_apply(&out, f, in);
  mlx_vector_array_get(&x, out, 0);
  mlx_stream s = mlx_default_cpu_stream_new();
  mlx_sum(&x, x, false, s);
  mlx_array_item_float32(&sum, x);
  mlx_array_free(x);
  mlx_stream_free(s);
  mlx_vector_array_free(in);
  mlx_vector_array_free(out);
  mlx_closure_free(f);
  return unused;
}
