/* transforms.h: eval, vjp, jvp, value_and_grad and checkpoint. */
#include "check.h"

/* x*y + x */
static int product_plus(mlx_vector_array *res, const mlx_vector_array in) {
  mlx_array x = at(in, 0), y = at(in, 1);
  OK(mlx_multiply(&y, x, y, cpu));
  OK(mlx_add(&y, x, y, cpu));
  OK(mlx_vector_array_set_value(res, y));
  drop(x, y);
  return 0;
}

/* sum(x^3), counting the calls */
static int sum_of_cubes(mlx_vector_array *res, const mlx_vector_array in, void *data) {
  mlx_array x = at(in, 0), cube = mlx_array_new();
  ((counts *)data)->calls++;
  OK(mlx_square(&cube, x, cpu));
  OK(mlx_multiply(&cube, cube, x, cpu));
  OK(mlx_sum(&cube, cube, false, cpu));
  OK(mlx_vector_array_set_value(res, cube));
  drop(x, cube);
  return 0;
}

static mlx_closure cubes(counts *c) {
  return mlx_closure_new_func_payload(sum_of_cubes, c, count_free);
}

static void test_eval(void) {
  bool ready = false;
  mlx_array a = floats("1 2"), b = mlx_array_new(), c = mlx_array_new();
  OK(mlx_add(&b, a, a, cpu));
  OK(mlx_multiply(&c, b, a, cpu));
  mlx_vector_array both = take(2, b, c), none = {NULL};
  OK(mlx_eval(both));
  b = at(both, 0);
  OK(_mlx_array_is_available(&ready, b));
  CHECK(ready);
  IS_AT(both, 1, "2 8");
  FAILS(mlx_eval(none));
  FAILS(mlx_async_eval(none));
  drop(a, b);
  drop_vector(both);
}

static void test_async_eval(void) {
  mlx_array a = floats("1 2"), b = mlx_array_new();
  OK(mlx_add(&b, a, a, cpu));
  mlx_vector_array out = mlx_vector_array_new_value(b);
  OK(mlx_async_eval(out));
  OK(mlx_synchronize(cpu));
  IS(b, "2 4");
  drop(a, b);
  drop_vector(out);
}

static void test_depends(void) {
  mlx_vector_array in = take(1, floats("1 2")), on = take(1, floats("5")), out = {NULL};
  OK(mlx_depends(&out, in, on));
  IS_AT(out, 0, "1 2");
  drop_vector(in, on, out);
}

static void test_vjp(void) {
  mlx_closure cls = mlx_closure_new_func(product_plus);
  mlx_vector_array primals = take(2, floats("2 3"), floats("5 7")), cotangents = take(1, floats("1 10"));
  mlx_vector_array out = mlx_vector_array_new(), grads = {NULL};
  OK(mlx_vjp(&out, &grads, cls, primals, cotangents));
  CHECK_INT(2, mlx_vector_array_size(grads));
  IS_AT(out, 0, "12 24");
  IS_AT(grads, 0, "6 80");
  IS_AT(grads, 1, "2 30");
  OK(mlx_closure_free(cls));
  drop_vector(primals, cotangents, out, grads);
}

static void test_vjp_errors(void) {
  mlx_closure cls = mlx_closure_new_func(product_plus);
  mlx_vector_array primals = take(2, floats("2 3"), floats("5 7")), none = mlx_vector_array_new();
  mlx_vector_array wrong_shape = take(1, floats("1 2 3")), out = {NULL}, grads = {NULL};
  FAILS(mlx_vjp(&out, &grads, cls, primals, none));
  FAILS(mlx_vjp(&out, &grads, cls, primals, wrong_shape));
  FAILS(mlx_jvp(&out, &grads, cls, primals, wrong_shape));
  FAILS(mlx_vjp(&out, &grads, mlx_closure_new(), primals, none));
  CHECK(out.ctx == NULL && grads.ctx == NULL);
  OK(mlx_closure_free(cls));
  drop_vector(primals, none, wrong_shape);
}

static void test_jvp(void) {
  mlx_closure cls = mlx_closure_new_func(product_plus);
  mlx_vector_array primals = take(2, floats("2 3"), floats("5 7")), tangents = take(2, floats("1 0"), floats("0 1"));
  mlx_vector_array out = {NULL}, pushed = {NULL};
  OK(mlx_jvp(&out, &pushed, cls, primals, tangents));
  IS_AT(out, 0, "12 24");
  IS_AT(pushed, 0, "6 3");
  OK(mlx_closure_free(cls));
  drop_vector(primals, tangents, out, pushed);
}

static void test_value_and_grad(void) {
  const int argnums[1] = {0};
  counts c = {0, 0};
  mlx_closure cls = cubes(&c);
  mlx_closure_value_and_grad vg = mlx_closure_value_and_grad_new();
  mlx_vector_array in = take(1, floats("1 2 -3")), values = mlx_vector_array_new(), grads = mlx_vector_array_new();
  OK(mlx_value_and_grad(&vg, cls, argnums, 1));
  OK(mlx_closure_free(cls));
  CHECK_INT(0, c.freed);
  for (int i = 0; i < 30; i++) {
    OK(mlx_closure_value_and_grad_apply(&values, &grads, vg, in));
    IS_AT(values, 0, ": -18");
    IS_AT(grads, 0, "3 12 27");
  }
  CHECK_INT(30, c.calls);
  OK(mlx_closure_value_and_grad_free(vg));
  drop_vector(in, values, grads);
  CHECK_INT(1, c.freed);
}

/* The sum of product_plus, to have a scalar, and x as a second output. */
static int loss_with_extra(mlx_vector_array *res, const mlx_vector_array in) {
  mlx_array x = at(in, 0), loss = mlx_array_new();
  OK(product_plus(res, in));
  mlx_array y = at(*res, 0);
  OK(mlx_sum(&loss, y, false, cpu));
  OK(mlx_vector_array_set_value(res, loss));
  OK(mlx_vector_array_append_value(*res, x));
  drop(x, y, loss);
  return 0;
}

static void test_argnums(void) {
  const int both[2] = {1, 0}, second[1] = {1};
  mlx_closure cls = mlx_closure_new_func(loss_with_extra);
  mlx_closure_value_and_grad vg = mlx_closure_value_and_grad_new();
  mlx_vector_array in = take(2, floats("2 3"), floats("5 7")), values = {NULL}, grads = {NULL};
  OK(mlx_value_and_grad(&vg, cls, both, 2));
  OK(mlx_closure_value_and_grad_apply(&values, &grads, vg, in));
  IS_AT(values, 0, ": 36");
  IS_AT(values, 1, "2 3");
  CHECK_INT(2, mlx_vector_array_size(grads));
  IS_AT(grads, 0, "6 8");
  IS_AT(grads, 1, "2 3");
  OK(mlx_value_and_grad(&vg, cls, second, 1));
  OK(mlx_closure_value_and_grad_apply(&values, &grads, vg, in));
  CHECK_INT(1, mlx_vector_array_size(grads));
  IS_AT(grads, 0, "2 3");
  OK(mlx_closure_value_and_grad_free(vg));
  OK(mlx_closure_free(cls));
  drop_vector(in, values, grads);
}

static void test_argnums_errors(void) {
  const int far[1] = {5}, twice[2] = {0, 0};
  mlx_closure cls = mlx_closure_new_func(loss_with_extra);
  mlx_closure_value_and_grad vg = mlx_closure_value_and_grad_new();
  mlx_vector_array in = take(2, floats("2 3"), floats("5 7")), values = {NULL}, grads = {NULL};
  FAILS(mlx_value_and_grad(&vg, cls, NULL, 0));
  FAILS(mlx_value_and_grad(&vg, cls, NULL, 1));
  FAILS(mlx_value_and_grad(&vg, mlx_closure_new(), far, 1));
  CHECK(vg.ctx == NULL);
  OK(mlx_value_and_grad(&vg, cls, far, 1));
  FAILS(mlx_closure_value_and_grad_apply(&values, &grads, vg, in));
  OK(mlx_value_and_grad(&vg, cls, twice, 2));
  FAILS(mlx_closure_value_and_grad_apply(&values, &grads, vg, in));
  CHECK(values.ctx == NULL && grads.ctx == NULL);
  OK(mlx_closure_value_and_grad_free(vg));
  OK(mlx_closure_free(cls));
  drop_vector(in);
}

static void test_scalar_output_required(void) {
  const int argnums[1] = {0};
  mlx_closure cls = mlx_closure_new_func(product_plus);
  mlx_closure_value_and_grad vg = mlx_closure_value_and_grad_new();
  mlx_vector_array in = take(2, floats("2 3"), floats("5 7")), values = {NULL}, grads = {NULL};
  OK(mlx_value_and_grad(&vg, cls, argnums, 1));
  FAILS(mlx_closure_value_and_grad_apply(&values, &grads, vg, in));
  OK(mlx_closure_value_and_grad_free(vg));
  OK(mlx_closure_free(cls));
  drop_vector(in);
}

/* The gradient of sum(x^3) as a function of its own, for a second derivative. */
static int sum_of_gradient(mlx_vector_array *res, const mlx_vector_array in, void *vg) {
  mlx_closure_value_and_grad inner = *(mlx_closure_value_and_grad *)vg;
  mlx_vector_array values = mlx_vector_array_new(), grads = mlx_vector_array_new();
  OK(mlx_closure_value_and_grad_apply(&values, &grads, inner, in));
  mlx_array g = at(grads, 0);
  OK(mlx_sum(&g, g, false, cpu));
  OK(mlx_vector_array_set_value(res, g));
  drop(g);
  drop_vector(values, grads);
  return 0;
}

static void test_second_derivative(void) {
  const int argnums[1] = {0};
  counts c = {0, 0};
  mlx_closure cls = cubes(&c);
  mlx_closure_value_and_grad first = mlx_closure_value_and_grad_new(), second = mlx_closure_value_and_grad_new();
  mlx_vector_array in = take(1, floats("1 2 -3")), values = {NULL}, grads = {NULL};
  OK(mlx_value_and_grad(&first, cls, argnums, 1));
  mlx_closure outer = mlx_closure_new_func_payload(sum_of_gradient, &first, NULL);
  OK(mlx_value_and_grad(&second, outer, argnums, 1));
  OK(mlx_closure_value_and_grad_apply(&values, &grads, second, in));
  IS_AT(values, 0, ": 42");
  IS_AT(grads, 0, "6 12 -18");
  OK(mlx_closure_value_and_grad_free(second));
  OK(mlx_closure_free(outer));
  OK(mlx_closure_value_and_grad_free(first));
  OK(mlx_closure_free(cls));
  drop_vector(in, values, grads);
  CHECK_INT(1, c.freed);
}

static void test_checkpoint(void) {
  const int argnums[1] = {0};
  counts c = {0, 0};
  mlx_closure cls = cubes(&c), light = mlx_closure_new();
  mlx_closure_value_and_grad vg = mlx_closure_value_and_grad_new();
  mlx_vector_array in = take(1, floats("1 2 -3")), values = {NULL}, grads = {NULL};
  OK(mlx_checkpoint(&light, cls));
  OK(mlx_closure_free(cls));
  OK(mlx_closure_apply(&values, light, in));
  IS_AT(values, 0, ": -18");
  CHECK_INT(1, c.calls);
  OK(mlx_value_and_grad(&vg, light, argnums, 1));
  OK(mlx_closure_free(light));
  OK(mlx_closure_value_and_grad_apply(&values, &grads, vg, in));
  OK(mlx_closure_value_and_grad_free(vg));
  IS_AT(values, 0, ": -18");
  IS_AT(grads, 0, "3 12 27");
  CHECK_INT(3, c.calls);
  drop_vector(in, values, grads);
  CHECK_INT(1, c.freed);
}

static int square_of(mlx_vector_array *res, const mlx_vector_array in, void *fun) {
  OK(mlx_closure_apply(res, *(mlx_closure *)fun, in));
  mlx_array y = at(*res, 0);
  OK(mlx_square(&y, y, cpu));
  OK(mlx_vector_array_set_value(res, y));
  drop(y);
  return 0;
}

/* What reads a checkpoint's result for its gradient gets it of the run that is for the checkpoint's own. */
static void test_what_reads_a_checkpoint(void) {
  const int argnums[1] = {0};
  counts c = {0, 0};
  mlx_closure cls = cubes(&c);
  OK(mlx_checkpoint(&cls, cls));
  mlx_closure outer = mlx_closure_new_func_payload(square_of, &cls, NULL);
  mlx_closure_value_and_grad vg = mlx_closure_value_and_grad_new();
  mlx_vector_array in = take(1, floats("1 2 -3")), values = {NULL}, grads = {NULL};
  OK(mlx_value_and_grad(&vg, outer, argnums, 1));
  OK(mlx_closure_value_and_grad_apply(&values, &grads, vg, in));
  IS_AT(values, 0, ": 324");
  IS_AT(grads, 0, "-108 -432 -972");
  CHECK_INT(2, c.calls);
  OK(mlx_closure_value_and_grad_free(vg));
  OK(mlx_closure_free(outer));
  OK(mlx_closure_free(cls));
  drop_vector(in, values, grads);
  CHECK_INT(1, c.freed);
}

int main(void) {
  begin();
  GROUP("eval", test_eval, test_async_eval, test_depends);
  GROUP("vjp and jvp", test_vjp, test_vjp_errors, test_jvp);
  GROUP("value and grad", test_value_and_grad, test_argnums, test_argnums_errors, test_scalar_output_required,
        test_second_derivative);
  GROUP("checkpoint", test_checkpoint, test_what_reads_a_checkpoint);
  return end();
}
