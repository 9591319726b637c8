/* How long closures live, and how often they run. */
#include "lists.h"
#include "probe.h"
#include "protocol.h"

static const int first[] = {0};

static void expect_square_gradient(mlx_closure_value_and_grad gradient, float at) {
  mlx_vector_array inputs = list_of(mlx_array_new_float32(at)), values = {NULL}, gradients = {NULL};
  expect("the gradient is applied", mlx_closure_value_and_grad_apply(&values, &gradients, gradient, inputs) == 0);
  expect_number("value", number_at(values, 0), (double)at * at);
  expect_number("gradient", number_at(gradients, 0), 2 * (double)at);
  mlx_vector_array_free(inputs);
  mlx_vector_array_free(values);
  mlx_vector_array_free(gradients);
}

static void closure_freed_before_use(void) {
  probe p = {.body = square};
  mlx_closure_value_and_grad gradient = probe_gradient(&p, first, 1);
  expect("the payload outlives its closure", p.freed == 0);
  expect_square_gradient(gradient, 3);
  expect_square_gradient(gradient, -5);
  mlx_closure_value_and_grad_free(gradient);
  expect_number("runs", p.calls, 2);
  expect_number("destructor calls", p.freed, 1);
}

/* The gradient of a checkpoint, not evaluated: it may refer to the function. */
static void destructor_once(void) {
  probe p = {.body = square};
  mlx_closure closure = probe_closure(&p), checkpoint = {NULL}, copy = {NULL};
  mlx_vector_array x = list_of(mlx_array_new_float32(3)), one = list_of(mlx_array_new_float32(1));
  mlx_vector_array outputs = {NULL}, gradients = {NULL};
  expect("a checkpoint is made", mlx_checkpoint(&checkpoint, closure) == 0);
  expect("the handle is copied", mlx_closure_set(&copy, closure) == 0);
  mlx_closure_free(closure);
  mlx_closure_free(copy);
  expect("the payload lives while the checkpoint does", p.freed == 0);
  expect("vjp", mlx_vjp(&outputs, &gradients, checkpoint, x, one) == 0);
  mlx_closure_free(checkpoint);
  expect_number("gradient, after every closure is freed", number_at(gradients, 0), 6);
  mlx_vector_array_free(x);
  mlx_vector_array_free(one);
  mlx_vector_array_free(outputs);
  mlx_vector_array_free(gradients);
  expect_number("destructor calls", p.freed, 1);
}

static void checkpoint_runs_twice(void) {
  probe p = {.body = square};
  mlx_closure closure = probe_closure(&p), checkpoint = {NULL};
  mlx_vector_array x = list_of(mlx_array_new_float32(3)), one = list_of(mlx_array_new_float32(1));
  mlx_vector_array outputs = {NULL}, gradients = {NULL};
  expect("a checkpoint is made", mlx_checkpoint(&checkpoint, closure) == 0);
  mlx_closure_free(closure);
  expect("it is applied", mlx_closure_apply(&outputs, checkpoint, x) == 0);
  expect_number("runs forward", p.calls, 1);
  expect("vjp", mlx_vjp(&outputs, &gradients, checkpoint, x, one) == 0);
  expect_number("runs after a forward and a backward pass more", p.calls, 3);
  expect_number("gradient", number_at(gradients, 0), 6);
  mlx_closure_free(checkpoint);
  mlx_vector_array_free(x);
  mlx_vector_array_free(one);
  mlx_vector_array_free(outputs);
  mlx_vector_array_free(gradients);
}

static void apply_compiled(mlx_closure compiled, mlx_array x, double right) {
  mlx_vector_array inputs = list_of(x), outputs = {NULL};
  expect("the compiled function is applied", mlx_closure_apply(&outputs, compiled, inputs) == 0);
  if (right != 0) {
    expect_number("output", number_at(outputs, 0), right);
  }
  mlx_vector_array_free(inputs);
  mlx_vector_array_free(outputs);
}

static void compile_runs_once(void) {
  static const float two[] = {1, 2};
  static const int shape[] = {2};
  probe p = {.body = square};
  mlx_closure closure = probe_closure(&p), compiled = {NULL};
  expect("it compiles", mlx_compile(&compiled, closure, false) == 0);
  mlx_closure_free(closure);
  apply_compiled(compiled, mlx_array_new_float32(3), 9);
  apply_compiled(compiled, mlx_array_new_float32(4), 16);
  expect_number("runs for one shape", p.calls, 1);
  apply_compiled(compiled, floats_of(two, shape, 1), 0);
  expect_number("runs for two shapes", p.calls, 2);
  mlx_closure_free(compiled);
  expect_number("destructor calls", p.freed, 1);
}

static void compile_after_failure(void) {
  probe p = {.body = square, .fail_at = 1};
  mlx_closure closure = probe_closure(&p), compiled = {NULL};
  mlx_vector_array inputs = list_of(mlx_array_new_float32(3)), outputs = {NULL};
  expect("it compiles", mlx_compile(&compiled, closure, false) == 0);
  mlx_closure_free(closure);
  expect("the first trace fails", mlx_closure_apply(&outputs, compiled, inputs) == 1 && outputs.ctx == NULL);
  apply_compiled(compiled, mlx_array_new_float32(3), 9);
  mlx_closure_free(compiled);
  mlx_vector_array_free(inputs);
}

static void inputs_kept(void) {
  probe p = {.body = keeping};
  mlx_closure closure = probe_closure(&p);
  mlx_vector_array inputs = list_of(mlx_array_new_float32(3)), outputs = {NULL};
  float number = 0;
  expect("it is applied", mlx_closure_apply(&outputs, closure, inputs) == 0);
  mlx_closure_free(closure);
  mlx_vector_array_free(inputs);
  expect_number("an input that is an output", number_at(outputs, 0), 3);
  mlx_vector_array_free(outputs);
  expect("an input that was kept is evaluated", mlx_array_item_float32(&number, p.array) == 0);
  expect_number("an input that was kept", number, 3);
  mlx_array_free(p.array);
}

const protocol_case closure_cases[] = {
    {"closure-freed-before-use", closure_freed_before_use},
    {"destructor-once", destructor_once},
    {"checkpoint-runs-twice", checkpoint_runs_twice},
    {"compile-runs-once", compile_runs_once},
    {"compile-after-failure", compile_after_failure},
    {"inputs-kept", inputs_kept},
    {NULL, NULL},
};
