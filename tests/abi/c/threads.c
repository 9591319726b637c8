/* Closures and transforms on several threads at once. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>

#include "check.h"

enum { THREADS = 4, ROUNDS = 25 };

/* sum(x^2) on the stream of the thread that calls */
static int sum_of_squares(mlx_vector_array *res, const mlx_vector_array in, void *data) {
  mlx_array x = at(in, 0);
  __atomic_add_fetch(&((counts *)data)->calls, 1, __ATOMIC_RELAXED);
  OK(mlx_square(&x, x, cpu));
  OK(mlx_sum(&x, x, false, cpu));
  OK(mlx_vector_array_set_value(res, x));
  drop(x);
  return 0;
}

typedef struct job_ {
  mlx_closure fun;
  mlx_closure_value_and_grad vg;
  mlx_vector_array vec;
} job;

static void run_threads(void *(*body)(void *), job *shared) {
  pthread_t ids[THREADS];
  for (int i = 0; i < THREADS; i++) {
    CHECK_INT(0, pthread_create(&ids[i], NULL, body, shared));
  }
  for (int i = 0; i < THREADS; i++) {
    CHECK_INT(0, pthread_join(ids[i], NULL));
  }
}

static void apply_and_check(mlx_closure fun) {
  mlx_vector_array in = take(1, floats("1 2 3")), out = {NULL};
  OK(mlx_closure_apply(&out, fun, in));
  IS_AT(out, 0, ": 14");
  drop_vector(in, out);
}

static void *apply_shared(void *arg) {
  begin_thread();
  for (int i = 0; i < ROUNDS; i++) {
    apply_and_check(((job *)arg)->fun);
  }
  end_thread();
  return NULL;
}

static void *grad_shared(void *arg) {
  mlx_vector_array values = {NULL}, grads = {NULL};
  begin_thread();
  for (int i = 0; i < ROUNDS; i++) {
    mlx_vector_array in = take(1, floats("1 2 3"));
    OK(mlx_closure_value_and_grad_apply(&values, &grads, ((job *)arg)->vg, in));
    IS_AT(values, 0, ": 14");
    IS_AT(grads, 0, "2 4 6");
    drop_vector(in);
  }
  drop_vector(values, grads);
  end_thread();
  return NULL;
}

/* Each thread compiles and frees a closure of its own over the shared function. */
static void *compile_shared(void *arg) {
  mlx_closure fast = mlx_closure_new();
  begin_thread();
  OK(mlx_compile(&fast, ((job *)arg)->fun, false));
  for (int i = 0; i < ROUNDS; i++) {
    apply_and_check(fast);
  }
  OK(mlx_closure_free(fast));
  end_thread();
  return NULL;
}

static void test_shared_closures(void) {
  const int argnums[1] = {0};
  counts c = {0, 0};
  job shared;
  memset(&shared, 0, sizeof shared);
  shared.fun = mlx_closure_new_func_payload(sum_of_squares, &c, count_free);
  OK(mlx_value_and_grad(&shared.vg, shared.fun, argnums, 1));
  run_threads(apply_shared, &shared);
  CHECK_INT(THREADS * ROUNDS, c.calls);
  group("one closure on many threads");
  run_threads(grad_shared, &shared);
  CHECK_INT(2 * THREADS * ROUNDS, c.calls);
  group("one gradient on many threads");
  run_threads(compile_shared, &shared);
  CHECK_INT(2 * THREADS * ROUNDS + THREADS, c.calls);
  group("compiling on many threads");
  OK(mlx_closure_free(shared.fun));
  CHECK_INT(0, c.freed);
  OK(mlx_closure_value_and_grad_free(shared.vg));
  CHECK_INT(1, c.freed);
}

static void *free_job(void *arg) {
  job *j = (job *)arg;
  OK(mlx_closure_free(j->fun));
  OK(mlx_vector_array_free(j->vec));
  return NULL;
}

/* The destructor runs on whichever thread drops the last reference. */
static void test_freed_elsewhere(void) {
  pthread_t id;
  counts c = {0, 0};
  job j;
  memset(&j, 0, sizeof j);
  j.fun = mlx_closure_new_func_payload(sum_of_squares, &c, count_free);
  j.vec = take(1, floats("1 2 3"));
  apply_and_check(j.fun);
  CHECK_INT(0, pthread_create(&id, NULL, free_job, &j));
  CHECK_INT(0, pthread_join(id, NULL));
  CHECK_INT(1, c.freed);
}

static void *make_lazy(void *arg) {
  mlx_array a = mlx_array_new_float(2), sum = mlx_array_new(), done = mlx_array_new();
  begin_thread();
  OK(mlx_add(&sum, a, a, cpu));
  OK(mlx_add(&done, a, a, cpu));
  OK(mlx_array_eval(done));
  ((job *)arg)->vec = take(2, sum, done);
  drop(a);
  end_thread();
  return NULL;
}

/* Results outlive their thread, what was not computed there cannot be. */
static void test_arrays_of_a_finished_thread(void) {
  pthread_t id;
  job j;
  CHECK_INT(0, pthread_create(&id, NULL, make_lazy, &j));
  CHECK_INT(0, pthread_join(id, NULL));
  FAILS(mlx_eval(j.vec));
  CHECK_HAS("Stream", last_error);
  IS_AT(j.vec, 1, ": 4");
  drop_vector(j.vec);
}

static void *failing_calls(void *arg) {
  mlx_vector_array in = take(1, mlx_array_new_int(1)), out = {NULL}, grads = {NULL};
  begin_thread();
  for (int i = 0; i < ROUNDS; i++) {
    FAILS(mlx_closure_apply(&out, ((job *)arg)->fun, in));
    CHECK_HAS("matmul", last_error);
    FAILS(mlx_vjp(&out, &grads, ((job *)arg)->fun, in, in));
    CHECK_HAS("matmul", last_error);
  }
  drop_vector(in);
  end_thread();
  return NULL;
}

static int fail_inside(mlx_vector_array *res, const mlx_vector_array in) {
  mlx_array x = at(in, 0), y = mlx_array_new();
  int status = mlx_matmul(&y, x, x, cpu);
  (void)res;
  drop(x);
  return status;
}

static void test_failing_closures(void) {
  job shared;
  memset(&shared, 0, sizeof shared);
  shared.fun = mlx_closure_new_func(fail_inside);
  run_threads(failing_calls, &shared);
  OK(mlx_closure_free(shared.fun));
}

int main(void) {
  begin();
  GROUP("objects of other threads", test_shared_closures, test_freed_elsewhere, test_arrays_of_a_finished_thread);
  GROUP("failing closures on many threads", test_failing_closures);
  return end();
}
