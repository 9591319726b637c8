/* compile.h: compiled closures, shapes, modes, the cache by function id, and how long traces live. */
#include <pthread.h>
#include <sched.h>

#include "check.h"

static bool work_fails;

/* exp(x) * x + x, counting the traces */
static int work(mlx_vector_array *res, const mlx_vector_array in, void *data) {
  ((counts *)data)->calls++;
  if (work_fails) {
    return 1;
  }
  mlx_array x = at(in, 0), y = mlx_array_new();
  OK(mlx_exp(&y, x, cpu));
  OK(mlx_multiply(&y, y, x, cpu));
  OK(mlx_add(&y, y, x, cpu));
  OK(mlx_vector_array_set_value(res, y));
  drop(x, y);
  return 0;
}

static void call(mlx_closure cls, const char *x, const char *expected) {
  mlx_vector_array in = take(1, floats(x)), out = {NULL};
  OK(mlx_closure_apply(&out, cls, in));
  IS_AT(out, 0, expected);
  drop_vector(in, out);
}

static void test_compile(void) {
  counts c = {0, 0};
  mlx_closure fun = mlx_closure_new_func_payload(work, &c, count_free), cls = mlx_closure_new();
  OK(mlx_compile(&cls, fun, false));
  OK(mlx_closure_free(fun));
  CHECK_INT(0, c.calls);
  call(cls, "0 1", "0 3.7182818");
  call(cls, "1 0", "3.7182818 0");
  CHECK_INT(1, c.calls);
  call(cls, "0 1 0", "0 3.7182818 0");
  CHECK_INT(2, c.calls);
  call(cls, "1 1", "3.7182818 3.7182818");
  CHECK_INT(2, c.calls);
  OK(mlx_closure_free(cls));
  CHECK_INT(1, c.freed);
}

static void test_shapeless(void) {
  counts c = {0, 0};
  mlx_closure fun = mlx_closure_new_func_payload(work, &c, count_free), cls = mlx_closure_new();
  OK(mlx_compile(&cls, fun, true));
  call(cls, "0 1", "0 3.7182818");
  call(cls, "1 0 0", "3.7182818 0 0");
  call(cls, "0", "0");
  CHECK_INT(1, c.calls);
  OK(mlx_closure_free(cls));
  CHECK_INT(0, c.freed);
  OK(mlx_closure_free(fun));
  CHECK_INT(1, c.freed);
}

static void test_failing_trace(void) {
  counts c = {0, 0};
  work_fails = true;
  mlx_closure fun = mlx_closure_new_func_payload(work, &c, count_free), cls = mlx_closure_new();
  mlx_vector_array in = take(1, floats("0 1")), out = {NULL};
  OK(mlx_compile(&cls, fun, false));
  FAILS(mlx_closure_apply(&out, cls, in));
  FAILS(mlx_closure_apply(&out, cls, in));
  CHECK(out.ctx == NULL);
  work_fails = false;
  call(cls, "0 1", "0 3.7182818");
  CHECK_INT(3, c.calls);
  FREE(mlx_closure, cls, fun);
  drop_vector(in);
  CHECK_INT(1, c.freed);
}

/* Calls of the function in three uses of a closure compiled in this mode. */
static int calls_in_mode(mlx_compile_mode mode) {
  counts c = {0, 0};
  mlx_closure fun = mlx_closure_new_func_payload(work, &c, count_free), cls = mlx_closure_new();
  OK(mlx_set_compile_mode(mode));
  OK(mlx_compile(&cls, fun, false));
  for (int i = 0; i < 3; i++) {
    call(cls, "0 1", "0 3.7182818");
  }
  FREE(mlx_closure, cls, fun);
  CHECK_INT(1, c.freed);
  return c.calls;
}

static void test_modes(void) {
  CHECK_INT(1, calls_in_mode(MLX_COMPILE_MODE_ENABLED));
  CHECK_INT(1, calls_in_mode(MLX_COMPILE_MODE_NO_FUSE));
  CHECK_INT(1, calls_in_mode(MLX_COMPILE_MODE_NO_SIMPLIFY));
  CHECK_INT(3, calls_in_mode(MLX_COMPILE_MODE_DISABLED));
  CHECK_INT(1, calls_in_mode(MLX_COMPILE_MODE_ENABLED));
  FAILS(mlx_set_compile_mode((mlx_compile_mode)4));
}

static void test_disable(void) {
  counts c = {0, 0};
  mlx_closure fun = mlx_closure_new_func_payload(work, &c, count_free), plain = {NULL}, cls = {NULL};
  OK(mlx_disable_compile());
  OK(mlx_compile(&plain, fun, false));
  call(plain, "0 1", "0 3.7182818");
  call(plain, "0 1", "0 3.7182818");
  CHECK_INT(2, c.calls);
  OK(mlx_enable_compile());
  OK(mlx_compile(&cls, fun, false));
  call(cls, "0 1", "0 3.7182818");
  call(cls, "0 1", "0 3.7182818");
  CHECK_INT(3, c.calls);
  FREE(mlx_closure, plain, cls, fun);
  CHECK_INT(1, c.freed);
}

enum { ID = 987654 };

/* Compile under the id, call once; count the traces that this cost. */
static int traces(mlx_closure fun, counts *c, const uint64_t *constants, size_t n) {
  int before = c->calls;
  mlx_closure cls = mlx_closure_new();
  OK(mlx_detail_compile(&cls, fun, ID, false, constants, n));
  call(cls, "0 1", "0 3.7182818");
  OK(mlx_closure_free(cls));
  return c->calls - before;
}

static void test_compile_by_id(void) {
  const uint64_t constants[2] = {1, 2};
  counts c = {0, 0};
  mlx_closure fun = mlx_closure_new_func_payload(work, &c, count_free), none = {NULL}, res = {NULL};
  CHECK_INT(1, traces(fun, &c, NULL, 0));
  CHECK_INT(0, traces(fun, &c, NULL, 0));
  CHECK_INT(1, traces(fun, &c, constants, 2));
  CHECK_INT(0, traces(fun, &c, constants, 2));
  CHECK_INT(1, traces(fun, &c, constants, 1));
  OK(mlx_detail_compile_erase(ID));
  CHECK_INT(1, traces(fun, &c, NULL, 0));
  OK(mlx_detail_compile_clear_cache());
  CHECK_INT(1, traces(fun, &c, NULL, 0));
  OK(mlx_detail_compile_erase(ID));
  OK(mlx_detail_compile_erase(ID));
  FAILS(mlx_detail_compile(&res, fun, ID, false, NULL, 2));
  FAILS(mlx_detail_compile(&res, none, ID, false, NULL, 0));
  FAILS(mlx_compile(&res, none, false));
  FAILS(mlx_compile(NULL, fun, false));
  CHECK(res.ctx == NULL);
  OK(mlx_closure_free(fun));
  CHECK_INT(1, c.freed);
}

/* The gradient of a compiled function. */
static int compiled_sum(mlx_vector_array *res, const mlx_vector_array in, void *cls) {
  OK(mlx_closure_apply(res, *(mlx_closure *)cls, in));
  mlx_array y = at(*res, 0);
  OK(mlx_sum(&y, y, false, cpu));
  OK(mlx_vector_array_set_value(res, y));
  drop(y);
  return 0;
}

static void test_grad_of_compiled(void) {
  const int argnums[1] = {0};
  counts c = {0, 0};
  mlx_closure fun = mlx_closure_new_func_payload(work, &c, count_free), cls = {NULL};
  OK(mlx_compile(&cls, fun, false));
  mlx_closure loss = mlx_closure_new_func_payload(compiled_sum, &cls, NULL);
  mlx_closure_value_and_grad vg = {NULL};
  mlx_vector_array in = take(1, floats("0 1")), values = {NULL}, grads = {NULL};
  OK(mlx_value_and_grad(&vg, loss, argnums, 1));
  OK(mlx_closure_value_and_grad_apply(&values, &grads, vg, in));
  IS_AT(values, 0, ": 3.7182818");
  IS_AT(grads, 0, "2 6.4365637");
  OK(mlx_closure_value_and_grad_free(vg));
  FREE(mlx_closure, loss, cls, fun);
  drop_vector(in, values, grads);
  CHECK_INT(1, c.freed);
}

/* --- how long traces live --- */

enum { FUNCTIONS = 20, LENGTH = 1 << 18 };

/* x plus a constant of 1 MB that each trace has for its own */
static int with_constant(mlx_vector_array *res, const mlx_vector_array in, void *data) {
  const int shape[1] = {LENGTH};
  float *values = (float *)calloc(LENGTH, sizeof(float));
  mlx_array x = at(in, 0), y = mlx_array_new_data(values, shape, 1, MLX_FLOAT32);
  mlx_stream s = mlx_default_cpu_stream_new();
  (void)data;
  OK(mlx_add(&y, y, x, s));
  OK(mlx_vector_array_set_value(res, y));
  free(values);
  mlx_stream_free(s);
  drop(x, y);
  return 0;
}

static size_t active(void) {
  size_t bytes = 0;
  OK(mlx_get_active_memory(&bytes));
  return bytes;
}

typedef struct caller_ {
  mlx_closure functions[FUNCTIONS];
  pthread_t thread;
  bool called, done;
} caller;

static void raise_flag(bool *flag) {
  __atomic_store_n(flag, true, __ATOMIC_SEQ_CST);
}

static void wait_for(bool *flag) {
  while (!__atomic_load_n(flag, __ATOMIC_SEQ_CST)) {
    sched_yield();
  }
}

/* Calls all functions, then lives on until `done`. */
static void *call_all(void *data) {
  caller *c = (caller *)data;
  for (int i = 0; i < FUNCTIONS; i++) {
    mlx_vector_array in = take(1, floats("1")), out = {NULL};
    OK(mlx_closure_apply(&out, c->functions[i], in));
    drop_vector(in, out);
  }
  raise_flag(&c->called);
  wait_for(&c->done);
  return NULL;
}

/* Compiles all functions, and has another thread call them. */
static void compile_and_call_all(caller *c, uintptr_t id) {
  mlx_closure fun = mlx_closure_new_func_payload(with_constant, NULL, NULL);
  for (int i = 0; i < FUNCTIONS; i++) {
    c->functions[i].ctx = NULL;
    if (id) {
      OK(mlx_detail_compile(&c->functions[i], fun, id + i, false, NULL, 0));
    } else {
      OK(mlx_compile(&c->functions[i], fun, false));
    }
  }
  OK(mlx_closure_free(fun));
  c->called = c->done = false;
  CHECK(!pthread_create(&c->thread, NULL, call_all, c));
  wait_for(&c->called);
}

static void end_caller(caller *c) {
  raise_flag(&c->done);
  CHECK(!pthread_join(c->thread, NULL));
}

static void free_all(caller *c, uintptr_t id) {
  for (int i = 0; i < FUNCTIONS; i++) {
    OK(mlx_closure_free(c->functions[i]));
    if (id) {
      OK(mlx_detail_compile_erase(id + i));
    }
  }
}

/* Traces of a living thread go with the functions; those of functions that live go with the thread. */
static void test_traces(uintptr_t id, bool functions_first) {
  caller c;
  size_t before = active();
  compile_and_call_all(&c, id);
  CHECK_INT(FUNCTIONS * LENGTH * sizeof(float), active() - before);
  if (functions_first) {
    free_all(&c, id);
    CHECK_INT(before, active());
  }
  end_caller(&c);
  CHECK_INT(before, active());
  if (!functions_first) {
    free_all(&c, id);
  }
}

static void test_clear_cache_reaches_every_thread(void) {
  caller c;
  size_t before = active();
  compile_and_call_all(&c, 0);
  OK(mlx_detail_compile_clear_cache());
  CHECK_INT(before, active());
  end_caller(&c);
  free_all(&c, 0);
}

/* --- what a trace is made of --- */

/* Two outputs of one operation, a constant as it is, an input as it is, and an array twice. */
static int many_kinds(mlx_vector_array *res, const mlx_vector_array in, void *data) {
  mlx_array x = at(in, 0), y = at(in, 1), sum = {NULL}, q = {NULL}, rest = {NULL};
  mlx_vector_array both = {NULL};
  OK(mlx_add(&sum, x, y, cpu));
  OK(mlx_divmod(&both, sum, *(mlx_array *)data, cpu));
  q = at(both, 0);
  rest = at(both, 1);
  const mlx_array outputs[] = {q, rest, *(mlx_array *)data, y, q};
  OK(mlx_vector_array_set_data(res, outputs, 5));
  drop_vector(both);
  drop(x, y, sum, q, rest);
  return 0;
}

static void test_kinds_of_outputs(void) {
  mlx_array two = floats(": 2"), five = floats("5");
  mlx_closure fun = mlx_closure_new_func_payload(many_kinds, &two, NULL), cls = {NULL};
  OK(mlx_compile(&cls, fun, true));
  /* The same array in two places is two inputs. */
  mlx_vector_array same = mlx_vector_array_new(), out = {NULL}, other = take(2, floats("1 2 3"), floats("4 4 4"));
  OK(mlx_vector_array_append_value(same, five));
  OK(mlx_vector_array_append_value(same, five));
  OK(mlx_closure_apply(&out, cls, same));
  IS_AT(out, 0, "5");
  IS_AT(out, 1, "0");
  OK(mlx_closure_apply(&out, cls, other));
  IS_AT(out, 0, "2 3 3");
  IS_AT(out, 1, "1 0 1");
  IS_AT(out, 2, ": 2");
  IS_AT(out, 3, "4 4 4");
  IS_AT(out, 4, "2 3 3");
  FREE(mlx_closure, cls, fun);
  drop_vector(same, other, out);
  drop(two, five);
}

static int plus_captured(mlx_vector_array *res, const mlx_vector_array in, void *data) {
  mlx_array x = at(in, 0);
  OK(mlx_add(&x, x, *(mlx_array *)data, cpu));
  OK(mlx_vector_array_set_value(res, x));
  drop(x);
  return 0;
}

static void test_captured_input(void) {
  mlx_array a = floats("1 2");
  mlx_closure fun = mlx_closure_new_func_payload(plus_captured, &a, NULL), cls = {NULL};
  OK(mlx_compile(&cls, fun, false));
  mlx_vector_array in = mlx_vector_array_new_value(a), out = {NULL};
  FAILS(mlx_closure_apply(&out, cls, in));
  call(cls, "5 5", "6 7");
  FREE(mlx_closure, cls, fun);
  drop_vector(in);
  drop(a);
}

int main(void) {
  begin();
  GROUP("compile", test_compile, test_shapeless, test_failing_trace);
  GROUP("modes", test_modes, test_disable);
  GROUP("compile by id", test_compile_by_id);
  GROUP("gradient of compiled", test_grad_of_compiled);
  test_traces(0, true);
  test_traces(0, false);
  test_traces(1 << 20, true);
  test_traces(1 << 20, false);
  GROUP("life of traces", test_clear_cache_reaches_every_thread);
  GROUP("what a trace is made of", test_kinds_of_outputs, test_captured_input);
  return end();
}
