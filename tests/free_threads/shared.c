/* One handle for all threads: some put other arrays under it, others read, compute and trace with it. For a libmlxc that is
 * built with MLXFFI_FREE_THREADS; scripts/sanitize.sh threads runs it under ThreadSanitizer. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>

#include "../abi/c/check.h"

enum { THREADS = 8, WRITERS = 2, ROUNDS = 200 };

static mlx_array shared, values[2];

static void *write_it(void *number) {
  begin_thread();
  for (int i = 0; i < ROUNDS; i++) {
    OK(mlx_array_set(&shared, values[(i + (int)(size_t)number) % 2]));
  }
  end_thread();
  return NULL;
}

/* x * shared summed: of either value, whose elements are all 1 */
static int weighted(mlx_vector_array *res, const mlx_vector_array in, void *unused) {
  mlx_array x = at(in, 0);
  (void)unused;
  OK(mlx_multiply(&x, x, shared, cpu));
  OK(mlx_sum(&x, x, false, cpu));
  OK(mlx_vector_array_set_value(res, x));
  drop(x);
  return 0;
}

static void read_it(void) {
  mlx_array own = {NULL}, sum = {NULL};
  float found = 0;
  OK(mlx_array_set(&own, shared));
  size_t size = mlx_array_size(own);
  CHECK(size == 1 || size == 4);
  OK(mlx_sum(&sum, shared, false, cpu));
  OK(mlx_array_item_float32(&found, sum));
  CHECK(found == 1 || found == 4);
  OK(mlx_add(&own, shared, shared, cpu));
  OK(mlx_array_eval(own));
  drop(own);
  drop(sum);
}

static void *read_and_trace(void *number) {
  begin_thread();
  (void)number;
  mlx_closure fun = mlx_closure_new_func_payload(weighted, NULL, NULL);
  mlx_closure_value_and_grad both = {NULL};
  OK(mlx_value_and_grad(&both, fun, (int[]){0}, 1));
  for (int i = 0; i < ROUNDS; i++) {
    mlx_vector_array in = take(1, floats(": 1")), outs = {NULL}, grads = {NULL};
    read_it();
    OK(mlx_closure_value_and_grad_apply(&outs, &grads, both, in));
    drop_vector(in);
    drop_vector(outs);
    drop_vector(grads);
  }
  mlx_closure_free(fun);
  mlx_closure_value_and_grad_free(both);
  end_thread();
  return NULL;
}

int main(void) {
  pthread_t ids[THREADS];
  begin();
  shared = floats(": 1");
  values[0] = floats(": 1");
  values[1] = floats("1 1; 1 1");
  for (int i = 0; i < THREADS; i++) {
    CHECK_INT(0, pthread_create(&ids[i], NULL, i < WRITERS ? write_it : read_and_trace, (void *)(size_t)i));
  }
  for (int i = 0; i < THREADS; i++) {
    CHECK_INT(0, pthread_join(ids[i], NULL));
  }
  drop(shared);
  drop(values[0]);
  drop(values[1]);
  group("a handle that others change");
  return end();
}
