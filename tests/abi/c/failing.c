/* Callbacks that fail: with a status, with an empty result, or because of an
 * error raised by a call inside. In every kind of closure and every transform. */
#include "tempdir.h"

typedef enum way_ { STATUS, FILLED_STATUS, EMPTY, INNER_ERROR, REPORTED, WAYS } way;

static const char *way_names[WAYS] = {"a status", "a status after filling", "an empty result", "an error inside", "an error that it reports"};

typedef struct payload_ {
  way how;
  int calls;
  int freed;
} payload;

static void free_payload(void *p) {
  ((payload *)p)->freed++;
}

/* The body of every failing callback here. */
static int fail(mlx_vector_array *res, void *data) {
  payload *p = (payload *)data;
  mlx_array a = mlx_array_new_int(1), b = mlx_array_new_int(2);
  int status = p->how != EMPTY;
  p->calls++;
  if (p->how == FILLED_STATUS) {
    OK(mlx_vector_array_set_value(res, a));
  }
  if (p->how == INNER_ERROR) {
    status = mlx_matmul(&a, a, b, cpu);
    CHECK_INT(1, status);
  }
  if (p->how == REPORTED) {
    mlx_error("reported: %d%%", 5);
  }
  drop(a, b);
  return status;
}

/* After a failure: an error was reported, and it is the one from inside. */
static void check_reported(const char *file, int line, int status, payload *p) {
  check_int(file, line, 1, status);
  check_true(file, line, "an error", error_count > 0);
  check_true(file, line, "the callback ran", p->calls > 0);
  if (p->how == INNER_ERROR) {
    check_has(file, line, "matmul", last_error);
  }
  if (p->how == REPORTED) {
    /* The handler hears of what the callback reported, and of the call that failed for it. */
    check_has(file, line, "reported: 5%", last_error);
    check_int(file, line, 2, error_count);
  }
}

#define FAILED(call)                                         \
  do {                                                       \
    error_count = 0;                                         \
    last_error[0] = 0;                                       \
    int failed_status = (call);                              \
    check_reported(__FILE__, __LINE__, failed_status, &pay); \
  } while (0)

static int bad(mlx_vector_array *res, const mlx_vector_array in, void *p) {
  CHECK(mlx_vector_array_size(in) > 0);
  return fail(res, p);
}

static int bad_kwargs(mlx_vector_array *res, const mlx_vector_array in, const mlx_map_string_to_array kwargs,
                      void *p) {
  (void)in;
  (void)kwargs;
  return fail(res, p);
}

static int bad_value_and_grad(mlx_vector_array *values, mlx_vector_array *grads, const mlx_vector_array in, void *p) {
  OK(mlx_vector_array_set(values, in));
  return fail(grads, p);
}

static int bad_custom(mlx_vector_array *res, const mlx_vector_array a, const mlx_vector_array b,
                      const mlx_vector_array c, void *p) {
  (void)a;
  (void)b;
  (void)c;
  return fail(res, p);
}

static int bad_jvp(mlx_vector_array *res, const mlx_vector_array a, const mlx_vector_array b, const int *n,
                   size_t n_num, void *p) {
  (void)a;
  (void)b;
  (void)n;
  (void)n_num;
  return fail(res, p);
}

static int bad_vmap(mlx_vector_array *res, mlx_vector_int *axes, const mlx_vector_array in, const int *n, size_t n_num,
                    void *p) {
  (void)in;
  CHECK_INT(1, n_num);
  OK(mlx_vector_int_set_value(axes, n[0]));
  return fail(res, p);
}

static int good(mlx_vector_array *res, const mlx_vector_array in) {
  mlx_array x = at(in, 0);
  OK(mlx_square(&x, x, cpu));
  OK(mlx_vector_array_set_value(res, x));
  drop(x);
  return 0;
}

static int fail_unary(mlx_array *res, const mlx_array in) {
  return mlx_matmul(res, in, in, cpu);
}

static int empty_unary(mlx_array *res, const mlx_array in) {
  (void)res;
  (void)in;
  return 0;
}

static mlx_vector_array scalar(void) {
  return take(1, mlx_array_new_float(3));
}

/* ---- each kind, called directly --------------------------------------- */

static void test_closure(way how) {
  payload pay = {how, 0, 0};
  mlx_closure cls = mlx_closure_new_func_payload(bad, &pay, free_payload);
  mlx_vector_array in = scalar(), out = {NULL};
  FAILED(mlx_closure_apply(&out, cls, in));
  FAILED(mlx_closure_apply(&out, cls, in));
  CHECK(out.ctx == NULL);
  OK(mlx_closure_free(cls));
  CHECK_INT(1, pay.freed);
  drop_vector(in);
}

static void test_kwargs(way how) {
  payload pay = {how, 0, 0};
  mlx_closure_kwargs cls = mlx_closure_kwargs_new_func_payload(bad_kwargs, &pay, free_payload);
  mlx_vector_array in = scalar(), out = {NULL};
  mlx_map_string_to_array map = mlx_map_string_to_array_new();
  FAILED(mlx_closure_kwargs_apply(&out, cls, in, map));
  FAILED(mlx_export_function_kwargs(temp("bad"), cls, in, map, false));
  CHECK(out.ctx == NULL);
  OK(mlx_closure_kwargs_free(cls));
  CHECK_INT(1, pay.freed);
  OK(mlx_map_string_to_array_free(map));
  drop_vector(in);
  unlink(temp("bad"));
}

static void test_value_and_grad_kind(way how) {
  payload pay = {how, 0, 0};
  mlx_closure_value_and_grad cls =
      mlx_closure_value_and_grad_new_func_payload(bad_value_and_grad, &pay, free_payload);
  mlx_vector_array in = scalar(), values = {NULL}, grads = {NULL};
  FAILED(mlx_closure_value_and_grad_apply(&values, &grads, cls, in));
  CHECK(values.ctx == NULL && grads.ctx == NULL);
  OK(mlx_closure_value_and_grad_free(cls));
  CHECK_INT(1, pay.freed);
  drop_vector(in);
}

static void test_rules(way how) {
  const int zero[1] = {0};
  payload pay = {how, 0, 0};
  mlx_closure_custom vjp = mlx_closure_custom_new_func_payload(bad_custom, &pay, free_payload);
  mlx_closure_custom_jvp jvp = mlx_closure_custom_jvp_new_func_payload(bad_jvp, &pay, free_payload);
  mlx_closure_custom_vmap vmap = mlx_closure_custom_vmap_new_func_payload(bad_vmap, &pay, free_payload);
  mlx_vector_array in = scalar(), out = {NULL};
  mlx_vector_int axes = {NULL};
  FAILED(mlx_closure_custom_apply(&out, vjp, in, in, in));
  FAILED(mlx_closure_custom_jvp_apply(&out, jvp, in, in, zero, 1));
  FAILED(mlx_closure_custom_vmap_apply(&out, &axes, vmap, in, zero, 1));
  CHECK(out.ctx == NULL && axes.ctx == NULL);
  OK(mlx_closure_custom_free(vjp));
  OK(mlx_closure_custom_jvp_free(jvp));
  OK(mlx_closure_custom_vmap_free(vmap));
  CHECK_INT(3, pay.freed);
  drop_vector(in);
}

static void test_unary(void) {
  mlx_closure failing = mlx_closure_new_unary(fail_unary), empty = mlx_closure_new_unary(empty_unary);
  mlx_vector_array in = scalar(), out = {NULL};
  FAILS(mlx_closure_apply(&out, failing, in));
  CHECK_HAS("matmul", last_error);
  FAILS(mlx_closure_apply(&out, empty, in));
  CHECK(out.ctx == NULL);
  FREE(mlx_closure, failing, empty);
  drop_vector(in);
}

/* ---- through the transforms ------------------------------------------- */

static void test_gradients(way how) {
  const int zero[1] = {0};
  payload pay = {how, 0, 0};
  mlx_closure cls = mlx_closure_new_func_payload(bad, &pay, free_payload);
  mlx_closure_value_and_grad vg = {NULL};
  mlx_vector_array in = scalar(), a = {NULL}, b = {NULL};
  FAILED(mlx_vjp(&a, &b, cls, in, in));
  FAILED(mlx_jvp(&a, &b, cls, in, in));
  OK(mlx_value_and_grad(&vg, cls, zero, 1));
  OK(mlx_closure_free(cls));
  FAILED(mlx_closure_value_and_grad_apply(&a, &b, vg, in));
  FAILED(mlx_closure_value_and_grad_apply(&a, &b, vg, in));
  CHECK_INT(0, pay.freed);
  OK(mlx_closure_value_and_grad_free(vg));
  CHECK(a.ctx == NULL && b.ctx == NULL);
  CHECK_INT(1, pay.freed);
  drop_vector(in);
}

static void test_wrappers(way how) {
  payload pay = {how, 0, 0};
  mlx_closure cls = mlx_closure_new_func_payload(bad, &pay, free_payload), light = {NULL}, fast = {NULL};
  mlx_vector_array in = scalar(), a = {NULL}, b = {NULL};
  OK(mlx_checkpoint(&light, cls));
  OK(mlx_compile(&fast, cls, false));
  OK(mlx_closure_free(cls));
  FAILED(mlx_closure_apply(&a, light, in));
  FAILED(mlx_vjp(&a, &b, light, in, in));
  FAILED(mlx_closure_apply(&a, fast, in));
  FAILED(mlx_closure_apply(&a, fast, in));
  FAILED(mlx_export_function(temp("bad"), light, in, false));
  CHECK(a.ctx == NULL && b.ctx == NULL);
  FREE(mlx_closure, light, fast);
  CHECK_INT(1, pay.freed);
  drop_vector(in);
  unlink(temp("bad"));
}

static void test_vmap(way how) {
  const int zero[1] = {0};
  payload pay = {how, 0, 0};
  mlx_closure cls = mlx_closure_new_func_payload(bad, &pay, free_payload);
  mlx_vector_array in = take(1, floats("1 2")), a = {NULL}, b = {NULL};
  FAILED(mlx_detail_vmap_trace(&a, &b, cls, in, zero, 1));
  CHECK(a.ctx == NULL && b.ctx == NULL);
  OK(mlx_closure_free(cls));
  CHECK_INT(1, pay.freed);
  drop_vector(in);
}

/* A good function with rules that fail. */
static void test_custom_function(way how) {
  const int zero[1] = {0};
  payload pay = {how, 0, 0};
  mlx_closure fun = mlx_closure_new_func(good), cls = {NULL};
  mlx_closure_custom vjp = mlx_closure_custom_new_func_payload(bad_custom, &pay, free_payload);
  mlx_closure_custom_jvp jvp = mlx_closure_custom_jvp_new_func_payload(bad_jvp, &pay, free_payload);
  mlx_closure_custom_vmap vmap = mlx_closure_custom_vmap_new_func_payload(bad_vmap, &pay, free_payload);
  mlx_vector_array in = scalar(), row = take(1, floats("1 2")), a = {NULL}, b = {NULL}, c = {NULL};
  OK(mlx_custom_function(&cls, fun, vjp, jvp, vmap));
  OK(mlx_closure_apply(&a, cls, in));
  IS_AT(a, 0, ": 9");
  FAILED(mlx_vjp(&a, &b, cls, in, in));
  FAILED(mlx_jvp(&a, &b, cls, in, in));
  OK(mlx_detail_vmap_trace(&b, &c, cls, row, zero, 1));
  FAILED(mlx_detail_vmap_replace(&a, row, b, c, zero, 1, zero, 1));
  IS_AT(a, 0, ": 9");
  drop_vector(a, b, c, in, row);
  FREE(mlx_closure, fun, cls);
  OK(mlx_closure_custom_free(vjp));
  OK(mlx_closure_custom_jvp_free(jvp));
  OK(mlx_closure_custom_vmap_free(vmap));
  CHECK_INT(3, pay.freed);
}

/* ---- results of the wrong number or shape ----------------------------- */

static int no_outputs(mlx_vector_array *res, const mlx_vector_array in) {
  (void)in;
  *res = mlx_vector_array_new();
  return 0;
}

static int two_gradients(mlx_vector_array *res, const mlx_vector_array primals, const mlx_vector_array cotangents,
                         const mlx_vector_array outputs) {
  (void)cotangents;
  OK(mlx_vector_array_set(res, primals));
  mlx_array y = at(outputs, 0);
  OK(mlx_vector_array_append_value(*res, y));
  drop(y);
  return 0;
}

static void test_wrong_counts(void) {
  mlx_closure none = mlx_closure_new_func(no_outputs), fun = mlx_closure_new_func(good), cls = {NULL};
  mlx_closure_custom vjp = mlx_closure_custom_new_func(two_gradients);
  mlx_vector_array in = scalar(), a = {NULL}, b = {NULL};
  OK(mlx_closure_apply(&a, none, in));
  CHECK_INT(0, mlx_vector_array_size(a));
  OK(mlx_checkpoint(&cls, none));
  FAILS(mlx_closure_apply(&b, cls, in));
  OK(mlx_custom_vjp(&cls, fun, vjp));
  FAILS(mlx_vjp(&a, &b, cls, in, in));
  CHECK(b.ctx == NULL);
  FREE(mlx_closure, none, fun, cls);
  OK(mlx_closure_custom_free(vjp));
  drop_vector(a, in);
}

int main(void) {
  begin();
  make_temp_dir();
  for (int i = 0; i < WAYS; i++) {
    way how = (way)i;
    check_what = way_names[i];
    test_closure(how);
    test_kwargs(how);
    test_value_and_grad_kind(how);
    test_rules(how);
    test_gradients(how);
    test_wrappers(how);
    test_vmap(how);
    test_custom_function(how);
    group(way_names[i]);
  }
  GROUP("unary closures and wrong counts", test_unary, test_wrong_counts);
  remove_temp_dir();
  return end();
}
