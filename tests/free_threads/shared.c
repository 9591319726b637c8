/* One handle for all threads: some put other arrays under it, others read, compute and trace with it, or free handles that
 * were made on another thread; and the process forks meanwhile. For a libmlxc that is built with MLXFFI_FREE_THREADS;
 * scripts/sanitize.sh threads runs it under ThreadSanitizer. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../abi/c/check.h"

enum { THREADS = 8, ROUNDS = 200, FORKS = 20 };

static mlx_array shared, values[2];
static _Atomic(void *) handed;

static void *write_it(void *number) {
  begin_thread();
  for (int i = 0; i < ROUNDS; i++) {
    OK(mlx_array_set(&shared, values[(i + (int)(size_t)number) % 2]));
  }
  end_thread();
  return NULL;
}

static void *hand_on(void *number) {
  begin_thread();
  (void)number;
  for (int i = 0; i < 100 * ROUNDS; i++) {
    mlx_array got = {atomic_exchange(&handed, mlx_array_new_int(i).ctx)};
    CHECK(!got.ctx || mlx_array_size(got) == 1);
    drop(got);
  }
  end_thread();
  return NULL;
}

/* What other threads held when the process forked, its child does not wait for. */
static void check_child(void) {
  int status = 0;
  pid_t child = fork();
  if (child == 0) {
    mlx_array own = {NULL};
    alarm(10);
    status = mlx_array_set(&own, shared) || mlx_array_set(&own, values[0]);
    _exit(status || mlx_array_free(own));
  }
  CHECK(waitpid(child, &status, 0) == child);
  CHECK_INT(0, status);
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
  void *(*works[THREADS])(void *) = {write_it, write_it, hand_on, hand_on};
  begin();
  shared = floats(": 1");
  values[0] = floats(": 1");
  values[1] = floats("1 1; 1 1");
  for (int i = 0; i < THREADS; i++) {
    CHECK_INT(0, pthread_create(&ids[i], NULL, works[i] ? works[i] : read_and_trace, (void *)(size_t)i));
  }
  for (int i = 0; i < FORKS; i++) {
    check_child();
  }
  for (int i = 0; i < THREADS; i++) {
    CHECK_INT(0, pthread_join(ids[i], NULL));
  }
  drop(shared, values[0], values[1], ((mlx_array){handed}));
  group("a handle that others change");
  return end();
}
