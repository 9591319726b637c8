/* Callbacks that fail. */
#include "errors.h"
#include "lists.h"
#include "probe.h"
#include "protocol.h"

static const int first[] = {0};

/* A call failed: its status, its text, and results that are as they were. */
static void expect_failure(const char *what, int status, mlx_vector_array a, mlx_vector_array b) {
  expect(what, status == 1);
  expect("results of a failed call stay empty", a.ctx == NULL && b.ctx == NULL);
  expect_part(what, last_error(), PROBE_TEXT);
  clear_error();
}

static void fails_at_first(void) {
  probe p = {.body = square, .fail_at = -1};
  mlx_closure closure = probe_closure(&p), checkpoint = {NULL};
  mlx_closure_value_and_grad gradient = {NULL};
  mlx_vector_array x = list_of(mlx_array_new_float32(3)), a = {NULL}, b = {NULL};
  expect_failure("apply fails", mlx_closure_apply(&a, closure, x), a, b);
  expect_failure("vjp fails", mlx_vjp(&a, &b, closure, x, x), a, b);
  expect_failure("jvp fails", mlx_jvp(&a, &b, closure, x, x), a, b);
  expect("value_and_grad is made", mlx_value_and_grad(&gradient, closure, first, 1) == 0);
  expect_failure("value_and_grad fails", mlx_closure_value_and_grad_apply(&a, &b, gradient, x), a, b);
  expect("a checkpoint is made", mlx_checkpoint(&checkpoint, closure) == 0);
  expect_failure("checkpoint fails", mlx_closure_apply(&a, checkpoint, x), a, b);
  mlx_closure_free(closure);
  mlx_closure_free(checkpoint);
  mlx_closure_value_and_grad_free(gradient);
  mlx_vector_array_free(x);
  expect_number("runs", p.calls, 5);
  expect_number("destructor calls", p.freed, 1);
}

static void fails_at_second(void) {
  probe p = {.body = square, .fail_at = 2};
  mlx_closure_value_and_grad gradient = probe_gradient(&p, first, 1);
  mlx_vector_array x = list_of(mlx_array_new_float32(3)), values = {NULL}, gradients = {NULL};
  for (int run = 1; run <= 3; run++) {
    int status = mlx_closure_value_and_grad_apply(&values, &gradients, gradient, x);
    if (run == 2) {
      expect_failure("the second run fails", status, values, gradients);
    } else {
      expect("the other runs succeed", status == 0);
      expect_number("gradient", number_at(gradients, 0), 6);
      mlx_vector_array_free(values);
      mlx_vector_array_free(gradients);
      values.ctx = gradients.ctx = NULL;
    }
  }
  mlx_closure_value_and_grad_free(gradient);
  mlx_vector_array_free(x);
}

static void fails_backward(void) {
  probe p = {.body = square, .fail_at = 2};
  mlx_closure closure = probe_closure(&p), checkpoint = {NULL};
  mlx_vector_array x = list_of(mlx_array_new_float32(3)), outputs = {NULL}, gradients = {NULL};
  expect("a checkpoint is made", mlx_checkpoint(&checkpoint, closure) == 0);
  expect_failure("the backward pass fails", mlx_vjp(&outputs, &gradients, checkpoint, x, x), outputs, gradients);
  expect_number("runs", p.calls, 2);
  mlx_closure_free(closure);
  mlx_closure_free(checkpoint);
  mlx_vector_array_free(x);
}

static void fails_nested(void) {
  probe inside = {.body = square, .fail_at = -1}, outside = {.body = differentiated};
  mlx_closure inner = outside.inner = probe_closure(&inside);
  mlx_closure outer = probe_closure(&outside);
  mlx_vector_array x = list_of(mlx_array_new_float32(3)), outputs = {NULL}, gradients = {NULL};
  expect_failure("the outer vjp fails", mlx_vjp(&outputs, &gradients, outer, x, x), outputs, gradients);
  inside.fail_at = 0;
  expect("it succeeds when the inner function does", mlx_vjp(&outputs, &gradients, outer, x, x) == 0);
  expect_number("second derivative, times 3", number_at(gradients, 0), 6);
  mlx_closure_free(inner);
  mlx_closure_free(outer);
  mlx_vector_array_free(x);
  mlx_vector_array_free(outputs);
  mlx_vector_array_free(gradients);
}

/* A body that leaves its place empty fails everywhere. */
static void place_empty(void) {
  probe p = {.body = nothing};
  mlx_closure closure = probe_closure(&p);
  mlx_vector_array x = list_of(mlx_array_new_float32(3)), a = {NULL}, b = {NULL};
  expect("apply without a result fails", mlx_closure_apply(&a, closure, x) == 1);
  expect("vjp without a result fails", mlx_vjp(&a, &b, closure, x, x) == 1);
  expect("jvp without a result fails", mlx_jvp(&a, &b, closure, x, x) == 1);
  expect("results stay empty", a.ctx == NULL && b.ctx == NULL);
  mlx_closure_free(closure);
  mlx_vector_array_free(x);
}

/* A list of nothing fails where an output is needed. */
static void list_empty(void) {
  probe p = {.body = empty};
  mlx_closure_value_and_grad gradient = probe_gradient(&p, first, 1);
  mlx_closure closure = probe_closure(&p), checkpoint = {NULL};
  mlx_vector_array x = list_of(mlx_array_new_float32(3)), a = {NULL}, b = {NULL};
  expect("a checkpoint is made", mlx_checkpoint(&checkpoint, closure) == 0);
  expect("a checkpoint of no outputs fails", mlx_closure_apply(&a, checkpoint, x) == 1);
  expect("value_and_grad of no outputs fails", mlx_closure_value_and_grad_apply(&a, &b, gradient, x) == 1);
  expect("results stay empty", a.ctx == NULL && b.ctx == NULL);
  mlx_closure_free(closure);
  mlx_closure_free(checkpoint);
  mlx_closure_value_and_grad_free(gradient);
  mlx_vector_array_free(x);
}

static void outputs_empty(void) {
  place_empty();
  list_empty();
}

const protocol_case failure_cases[] = {
    {"fails-at-first", fails_at_first},
    {"fails-at-second", fails_at_second},
    {"fails-backward", fails_backward},
    {"fails-nested", fails_nested},
    {"outputs-empty", outputs_empty},
    {NULL, NULL},
};
