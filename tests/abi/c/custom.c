/* Custom vjp, jvp and vmap rules, each present or absent, and vmap itself. */
#include "check.h"

static int give(mlx_vector_array *res, mlx_array a) {
  OK(mlx_vector_array_set_value(res, a));
  drop(a);
  return 0;
}

static mlx_array times(mlx_array x, float factor) {
  mlx_array f = mlx_array_new_float(factor);
  OK(mlx_multiply(&x, x, f, cpu));
  drop(f);
  return x;
}

/* The function: x^2. The rules differ from the truth, so one sees them act. */
static int square(mlx_vector_array *res, const mlx_vector_array in, void *data) {
  mlx_array x = at(in, 0);
  ((counts *)data)->calls++;
  OK(mlx_square(&x, x, cpu));
  return give(res, x);
}

static int vjp_rule(mlx_vector_array *res, const mlx_vector_array primals, const mlx_vector_array cotangents,
                    const mlx_vector_array outputs, void *data) {
  ((counts *)data)->calls++;
  CHECK_INT(1, mlx_vector_array_size(primals));
  CHECK_INT(1, mlx_vector_array_size(outputs));
  return give(res, times(at(cotangents, 0), 100));
}

static int jvp_rule(mlx_vector_array *res, const mlx_vector_array primals, const mlx_vector_array tangents,
                    const int *argnums, size_t argnums_num, void *data) {
  ((counts *)data)->calls++;
  CHECK_INT(1, mlx_vector_array_size(primals));
  CHECK_INT(1, argnums_num);
  CHECK_INT(0, argnums[0]);
  return give(res, times(at(tangents, 0), 1000));
}

static int vmap_rule(mlx_vector_array *res, mlx_vector_int *out_axes, const mlx_vector_array in, const int *axes,
                     size_t axes_num, void *data) {
  ((counts *)data)->calls++;
  CHECK_INT(1, axes_num);
  OK(mlx_vector_int_set_value(out_axes, axes[0]));
  return give(res, times(at(in, 0), -1));
}

typedef struct custom_set_ {
  counts fun, vjp, jvp, vmap;
  mlx_closure cls;
} custom_set;

enum { WITH_VJP = 1, WITH_JVP = 2, WITH_VMAP = 4 };

/* All closures are freed at once: the result has to keep what it needs. */
static void make_custom(custom_set *set, int parts) {
  memset(set, 0, sizeof *set);
  mlx_closure fun = mlx_closure_new_func_payload(square, &set->fun, count_free);
  mlx_closure_custom vjp = mlx_closure_custom_new();
  mlx_closure_custom_jvp jvp = mlx_closure_custom_jvp_new();
  mlx_closure_custom_vmap vmap = mlx_closure_custom_vmap_new();
  if (parts & WITH_VJP) {
    vjp = mlx_closure_custom_new_func_payload(vjp_rule, &set->vjp, count_free);
  }
  if (parts & WITH_JVP) {
    jvp = mlx_closure_custom_jvp_new_func_payload(jvp_rule, &set->jvp, count_free);
  }
  if (parts & WITH_VMAP) {
    vmap = mlx_closure_custom_vmap_new_func_payload(vmap_rule, &set->vmap, count_free);
  }
  OK(mlx_custom_function(&set->cls, fun, vjp, jvp, vmap));
  OK(mlx_closure_free(fun));
  OK(mlx_closure_custom_free(vjp));
  OK(mlx_closure_custom_jvp_free(jvp));
  OK(mlx_closure_custom_vmap_free(vmap));
}

static void check_vjp(mlx_closure cls, const char *expected) {
  mlx_vector_array x = take(1, floats("1 2")), ct = take(1, floats("1 10")), out = {NULL}, grads = {NULL};
  OK(mlx_vjp(&out, &grads, cls, x, ct));
  IS_AT(out, 0, "1 4");
  IS_AT(grads, 0, expected);
  drop_vector(x, ct, out, grads);
}

static void check_jvp(mlx_closure cls, const char *expected) {
  mlx_vector_array x = take(1, floats("1 2")), t = take(1, floats("1 10")), out = {NULL}, pushed = {NULL};
  OK(mlx_jvp(&out, &pushed, cls, x, t));
  IS_AT(out, 0, "1 4");
  IS_AT(pushed, 0, expected);
  drop_vector(x, t, out, pushed);
}

/* vmap over the columns of a matrix, the batch axis going first. */
static void check_vmap(mlx_closure cls, const char *expected) {
  const int in_axes[1] = {1}, out_axes[1] = {0};
  mlx_vector_array in = take(1, floats("1 2 3; 4 5 6")), s_in = {NULL}, s_out = {NULL}, out = {NULL};
  OK(mlx_detail_vmap_trace(&s_in, &s_out, cls, in, in_axes, 1));
  mlx_array one = at(s_in, 0);
  CHECK_INT(1, mlx_array_ndim(one));
  CHECK_INT(2, mlx_array_dim(one, 0));
  OK(mlx_detail_vmap_replace(&out, in, s_in, s_out, in_axes, 1, out_axes, 1));
  IS_AT(out, 0, expected);
  drop(one);
  drop_vector(in, s_in, s_out, out);
}

static void check_freed(const counts *r, bool present) {
  CHECK_INT(present, r->freed);
  CHECK(present || r->calls == 0);
}

static void test_custom_function(int parts) {
  custom_set set;
  mlx_vector_array in = take(1, floats("3")), out = {NULL};
  make_custom(&set, parts);
  CHECK_INT(0, set.fun.freed + set.vjp.freed + set.jvp.freed + set.vmap.freed);
  OK(mlx_closure_apply(&out, set.cls, in));
  IS_AT(out, 0, "9");
  check_vjp(set.cls, parts & WITH_VJP ? "100 1000" : "2 40");
  check_jvp(set.cls, parts & WITH_JVP ? "1000 10000" : "2 40");
  check_vmap(set.cls, parts & WITH_VMAP ? "-1 -4; -2 -5; -3 -6" : "1 16; 4 25; 9 36");
  CHECK_INT((parts & WITH_VJP) != 0, set.vjp.calls);
  CHECK_INT((parts & WITH_JVP) != 0, set.jvp.calls);
  CHECK_INT((parts & WITH_VMAP) != 0, set.vmap.calls);
  OK(mlx_closure_free(set.cls));
  drop_vector(in, out);
  check_freed(&set.fun, true);
  check_freed(&set.vjp, parts & WITH_VJP);
  check_freed(&set.jvp, parts & WITH_JVP);
  check_freed(&set.vmap, parts & WITH_VMAP);
}

static void test_custom_functions(void) {
  static const char *names[8] = {"none", "vjp", "jvp", "vjp jvp", "vmap", "vjp vmap", "jvp vmap", "all"};
  for (int parts = 0; parts < 8; parts++) {
    check_what = names[parts];
    test_custom_function(parts);
  }
}

static void test_custom_vjp(void) {
  counts fun_rule = {0, 0}, grad_rule = {0, 0};
  mlx_closure fun = mlx_closure_new_func_payload(square, &fun_rule, count_free), cls = mlx_closure_new();
  mlx_closure_custom vjp = mlx_closure_custom_new_func_payload(vjp_rule, &grad_rule, count_free);
  OK(mlx_custom_vjp(&cls, fun, vjp));
  OK(mlx_closure_free(fun));
  OK(mlx_closure_custom_free(vjp));
  check_vjp(cls, "100 1000");
  check_vjp(cls, "100 1000");
  CHECK_INT(2, grad_rule.calls);
  OK(mlx_closure_free(cls));
  CHECK_INT(1, fun_rule.freed);
  CHECK_INT(1, grad_rule.freed);
}

static void test_graph_keeps_the_rule(void) {
  counts fun_rule = {0, 0}, grad_rule = {0, 0};
  mlx_closure fun = mlx_closure_new_func_payload(square, &fun_rule, count_free), cls = mlx_closure_new();
  mlx_closure_custom vjp = mlx_closure_custom_new_func_payload(vjp_rule, &grad_rule, count_free);
  mlx_vector_array in = take(1, floats("3")), out = {NULL};
  OK(mlx_custom_vjp(&cls, fun, vjp));
  OK(mlx_closure_apply(&out, cls, in));
  FREE(mlx_closure, fun, cls);
  OK(mlx_closure_custom_free(vjp));
  IS_AT(out, 0, "9");
  drop_vector(in, out);
  CHECK_INT(1, fun_rule.freed);
  CHECK_INT(1, grad_rule.freed);
}

/* value_and_grad through a custom rule, with the sum as the scalar. */
static int sum_of_custom(mlx_vector_array *res, const mlx_vector_array in, void *cls) {
  OK(mlx_closure_apply(res, *(mlx_closure *)cls, in));
  mlx_array y = at(*res, 0);
  OK(mlx_sum(&y, y, false, cpu));
  return give(res, y);
}

static void test_grad_of_custom(void) {
  const int argnums[1] = {0};
  custom_set set;
  make_custom(&set, WITH_VJP);
  mlx_closure loss = mlx_closure_new_func_payload(sum_of_custom, &set.cls, NULL);
  mlx_closure_value_and_grad vg = mlx_closure_value_and_grad_new();
  mlx_vector_array in = take(1, floats("1 2")), values = {NULL}, grads = {NULL};
  OK(mlx_value_and_grad(&vg, loss, argnums, 1));
  OK(mlx_closure_value_and_grad_apply(&values, &grads, vg, in));
  IS_AT(values, 0, ": 5");
  IS_AT(grads, 0, "100 100");
  OK(mlx_closure_value_and_grad_free(vg));
  FREE(mlx_closure, loss, set.cls);
  drop_vector(in, values, grads);
  CHECK_INT(1, set.vjp.freed);
}

static void test_errors(void) {
  const int axes[2] = {0, 0};
  counts r = {0, 0};
  mlx_closure fun = mlx_closure_new_func_payload(square, &r, count_free), none = {NULL}, res = {NULL};
  mlx_closure_custom no_vjp = {NULL};
  mlx_closure_custom_jvp no_jvp = {NULL};
  mlx_closure_custom_vmap no_vmap = {NULL};
  mlx_vector_array in = take(1, floats("1")), a = {NULL}, b = {NULL};
  FAILS(mlx_custom_vjp(&res, fun, no_vjp));
  FAILS(mlx_custom_function(&res, none, no_vjp, no_jvp, no_vmap));
  FAILS(mlx_checkpoint(&res, none));
  FAILS(mlx_detail_vmap_trace(&a, &b, fun, in, axes, 2));
  FAILS(mlx_detail_vmap_trace(&a, &b, none, in, axes, 1));
  FAILS(mlx_detail_vmap_replace(&a, in, in, in, axes, 2, axes, 1));
  CHECK(res.ctx == NULL && a.ctx == NULL && b.ctx == NULL);
  OK(mlx_closure_free(fun));
  drop_vector(in);
  CHECK_INT(1, r.freed);
}

int main(void) {
  begin();
  GROUP("custom functions", test_custom_functions);
  GROUP("custom vjp", test_custom_vjp, test_graph_keeps_the_rule, test_grad_of_custom);
  GROUP("errors", test_errors);
  return end();
}
