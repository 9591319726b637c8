/* Handlers of exit that are older than libmlxc, whose path is the argument, ask for sums of matrix products. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "mlx/c/mlx.h"

static void *library;
static mlx_stream cpu;

#define CALL(name) ((__typeof__(&name))dlsym(library, #name))

static void print_error(const char *message, void *data) {
  (void)data;
  puts(message);
}

static mlx_array product(void) {
  int shape[2] = {300, 300};
  mlx_array ones = {0}, made = {0};
  CALL(mlx_ones)(&ones, shape, 2, MLX_FLOAT32, cpu);
  CALL(mlx_matmul)(&made, ones, ones, cpu);
  CALL(mlx_add)(&made, made, made, cpu);
  return made;
}

static void compute(void) {
  mlx_array made = product();
  if (!CALL(mlx_array_eval)(made)) {
    printf("%g\n", CALL(mlx_array_data_float32)(made)[0]);
  }
}

static void compute_soon(void) {
  mlx_vector_array all = CALL(mlx_vector_array_new_value)(product());
  CALL(mlx_async_eval)(all);
}

static void wait_for_all(void) {
  CALL(mlx_synchronize)(cpu);
}

int main(int count, char **arguments) {
  atexit(compute);
  atexit(compute_soon);
  atexit(wait_for_all);
  library = dlopen(arguments[count - 1], RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    puts(dlerror());
    return 1;
  }
  CALL(mlx_set_error_handler)(print_error, NULL, NULL);
  cpu = CALL(mlx_default_cpu_stream_new)();
  compute();
  return 7;
}
