/* What gradients are of, and in which order they come. */
#include <math.h>

#include "lists.h"
#include "probe.h"
#include "protocol.h"

static mlx_array two_numbers(void) {
  static const float numbers[] = {1, 2};
  static const int shape[] = {2};
  return floats_of(numbers, shape, 1);
}

static void outputs_wrong(void) {
  static const int first[] = {0};
  probe p = {.body = square};
  mlx_closure_value_and_grad gradient = probe_gradient(&p, first, 1);
  mlx_closure closure = probe_closure(&p);
  mlx_vector_array x = list_of(two_numbers()), one = list_of(mlx_array_new_float32(1)), a = {NULL}, b = {NULL};
  mlx_vector_array pair = pair_of(two_numbers(), two_numbers()), none = mlx_vector_array_new();
  expect("a value that is no scalar fails", mlx_closure_value_and_grad_apply(&a, &b, gradient, x) == 1);
  expect("a cotangent of another shape fails", mlx_vjp(&a, &b, closure, x, one) == 1);
  expect("a cotangent too few fails", mlx_vjp(&a, &b, closure, x, none) == 1);
  expect("a tangent too many fails", mlx_jvp(&a, &b, closure, x, pair) == 1);
  expect("results stay empty", a.ctx == NULL && b.ctx == NULL);
  mlx_closure_value_and_grad_free(gradient);
  mlx_closure_free(closure);
  mlx_vector_array_free(x);
  mlx_vector_array_free(one);
  mlx_vector_array_free(pair);
  mlx_vector_array_free(none);
}

/* A rule that gives one gradient, whatever the number of arguments. */
static int one_gradient(mlx_vector_array *res, const mlx_vector_array primals, const mlx_vector_array cotangents,
                        const mlx_vector_array outputs) {
  (void)primals, (void)outputs;
  return mlx_vector_array_set(res, cotangents);
}

static void gradients_too_few(void) {
  probe p = {.body = product};
  mlx_closure closure = probe_closure(&p), custom = {NULL};
  mlx_closure_custom rule = mlx_closure_custom_new_func(one_gradient);
  mlx_vector_array x = pair_of(mlx_array_new_float32(3), mlx_array_new_float32(4)), a = {NULL}, b = {NULL};
  mlx_vector_array one = list_of(mlx_array_new_float32(1));
  expect("a function with a rule is made", mlx_custom_vjp(&custom, closure, rule) == 0);
  expect("one gradient for two arguments fails", mlx_vjp(&a, &b, custom, x, one) == 1);
  expect("results stay empty", a.ctx == NULL && b.ctx == NULL);
  mlx_closure_free(closure);
  mlx_closure_free(custom);
  mlx_closure_custom_free(rule);
  mlx_vector_array_free(x);
  mlx_vector_array_free(one);
}

/* The gradient of x * y at 3, 4 for each of `wanted`, put into the order that was asked for. */
static int gradients_in_order(double *res, const int *wanted, size_t count) {
  probe p = {.body = product};
  mlx_closure_value_and_grad gradient = probe_gradient(&p, wanted, count);
  mlx_vector_array x = pair_of(mlx_array_new_float32(3), mlx_array_new_float32(4)), values = {NULL}, gradients = {NULL};
  int status = mlx_closure_value_and_grad_apply(&values, &gradients, gradient, x);
  for (size_t i = 0; status == 0 && i < count; i++) {
    size_t smaller = 0;
    for (size_t j = 0; j < count; j++) {
      smaller += wanted[j] < wanted[i];
    }
    res[i] = number_at(gradients, smaller); /* they come in ascending order of position */
  }
  mlx_closure_value_and_grad_free(gradient);
  mlx_vector_array_free(x);
  mlx_vector_array_free(values);
  mlx_vector_array_free(gradients);
  return status;
}

static void argnums_order(void) {
  static const int ascending[] = {0, 1}, descending[] = {1, 0}, second[] = {1};
  double got[2] = {NAN, NAN};
  expect("argnums 0, 1", gradients_in_order(got, ascending, 2) == 0);
  expect_number("0, 1: of x", got[0], 4);
  expect_number("0, 1: of y", got[1], 3);
  expect("argnums 1, 0", gradients_in_order(got, descending, 2) == 0);
  expect_number("1, 0: of y", got[0], 3);
  expect_number("1, 0: of x", got[1], 4);
  expect("argnum 1", gradients_in_order(got, second, 1) == 0);
  expect_number("1: of y", got[0], 3);
}

static void argnums_refused(void) {
  static const int twice[] = {0, 0}, far[] = {2};
  double got[2];
  expect("an argnum that stands twice fails", gradients_in_order(got, twice, 2) == 1);
  expect("an argnum out of range fails", gradients_in_order(got, far, 1) == 1);
  expect("no argnum fails", gradients_in_order(got, far, 0) == 1);
}

static void captured_constant(void) {
  static const int first[] = {0};
  probe p = {.body = scaled, .array = mlx_array_new_float32(5)};
  mlx_closure_value_and_grad gradient = probe_gradient(&p, first, 1);
  mlx_vector_array x = list_of(mlx_array_new_float32(3)), values = {NULL}, gradients = {NULL};
  expect("it is applied", mlx_closure_value_and_grad_apply(&values, &gradients, gradient, x) == 0);
  expect_number("value", number_at(values, 0), 15);
  expect_number("gradient of the argument", number_at(gradients, 0), 5);
  expect_number("gradients", (double)mlx_vector_array_size(gradients), 1);
  mlx_closure_value_and_grad_free(gradient);
  mlx_array_free(p.array);
  mlx_vector_array_free(x);
  mlx_vector_array_free(values);
  mlx_vector_array_free(gradients);
}

/* w -> checkpoint(x -> x * w)(3), where w is captured and no argument: its gradient is 0, or refused. */
static int around_checkpoint(probe *p, mlx_vector_array *res, const mlx_vector_array inputs) {
  probe *inside = p + 1;
  mlx_closure closure = probe_closure(inside), checkpoint = {NULL};
  mlx_vector_array three = list_of(mlx_array_new_float32(3));
  int status = mlx_vector_array_get(&inside->array, inputs, 0) || mlx_checkpoint(&checkpoint, closure) ||
               mlx_closure_apply(res, checkpoint, three);
  mlx_closure_free(closure);
  mlx_closure_free(checkpoint);
  mlx_vector_array_free(three);
  return status;
}

static void captured_by_checkpoint(void) {
  probe p[2] = {{.body = around_checkpoint}, {.body = scaled}};
  mlx_closure closure = probe_closure(p);
  mlx_vector_array w = list_of(mlx_array_new_float32(5)), one = list_of(mlx_array_new_float32(1));
  mlx_vector_array outputs = {NULL}, gradients = {NULL};
  if (mlx_vjp(&outputs, &gradients, closure, w, one) == 0) {
    expect_number("output", number_at(outputs, 0), 15);
    expect_number("gradient of what a checkpoint captures", number_at(gradients, 0), 0);
  }
  mlx_array_free(p[1].array);
  mlx_closure_free(closure);
  mlx_vector_array_free(w);
  mlx_vector_array_free(one);
  mlx_vector_array_free(outputs);
  mlx_vector_array_free(gradients);
}

static void captured(void) {
  captured_constant();
  captured_by_checkpoint();
}

const protocol_case gradient_cases[] = {
    {"outputs-wrong", outputs_wrong},
    {"gradients-too-few", gradients_too_few},
    {"argnums-order", argnums_order},
    {"argnums-refused", argnums_refused},
    {"captured-constant", captured},
    {NULL, NULL},
};
