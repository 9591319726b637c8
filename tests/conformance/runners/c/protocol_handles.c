/* Who owns what. */
#include <string.h>

#include "lists.h"
#include "probe.h"
#include "protocol.h"

static double item(const mlx_array array) {
  double number = -1;
  return mlx_array_item_float64(&number, array) == 0 ? number : -1;
}

static void data_copied(void) {
  static const int shape[] = {3};
  float numbers[] = {1, 2, 3};
  mlx_stream stream = mlx_default_cpu_stream_new();
  mlx_array made = floats_of(numbers, shape, 1), sum = mlx_array_new();
  expect("a sum is built", mlx_sum(&sum, made, false, stream) == 0);
  memset(numbers, 0, sizeof numbers);
  expect_number("sum", item(sum), 6);
  mlx_array_free(made);
  mlx_array_free(sum);
  mlx_stream_free(stream);
}

static void expect_elements(const char *what, const mlx_array view, const float *right, size_t count) {
  mlx_stream stream = mlx_default_cpu_stream_new();
  mlx_array whole = mlx_array_new();
  expect("it is made contiguous", mlx_contiguous(&whole, view, false, stream) == 0 && mlx_array_eval(whole) == 0);
  const float *data = mlx_array_data_float32(whole);
  for (size_t i = 0; data != NULL && i < count; i++) {
    expect_number(what, data[i], right[i]);
  }
  expect("it has elements", data != NULL);
  mlx_array_free(whole);
  mlx_stream_free(stream);
}

static void views(void) {
  static const float numbers[] = {1, 2, 3, 4, 5, 6}, turned[] = {1, 4, 2, 5, 3, 6}, stepped[] = {1, 3, 4, 6};
  static const int shape[] = {2, 3}, start[] = {0, 0}, steps[] = {1, 2};
  mlx_stream stream = mlx_default_cpu_stream_new();
  mlx_array made = floats_of(numbers, shape, 2), view = mlx_array_new();
  expect("transpose", mlx_transpose(&view, made, stream) == 0);
  expect_elements("an element of the transposed", view, turned, 6);
  expect("slice", mlx_slice(&view, made, start, 2, shape, 2, steps, 2, stream) == 0);
  expect_elements("an element of every second column", view, stepped, 4);
  mlx_array_free(made);
  mlx_array_free(view);
  mlx_stream_free(stream);
}

static void handle_replaced(void) {
  static const float numbers[] = {1, 2};
  static const int two[] = {2};
  mlx_stream stream = mlx_default_cpu_stream_new();
  mlx_array three = mlx_array_new_float32(3), res = mlx_array_new_float32(1), pair = floats_of(numbers, two, 1);
  const void *place = res.ctx;
  expect("a result goes under a handle", mlx_square(&res, three, stream) == 0);
  expect("the handle keeps its ctx", res.ctx == place);
  expect_number("the result", item(res), 9);
  expect("a result may be its own argument", mlx_add(&res, res, three, stream) == 0);
  expect_number("the sum", item(res), 12);
  expect("a call fails", mlx_matmul(&res, pair, three, stream) == 1);
  expect("the handle keeps its ctx after a failure", res.ctx == place);
  expect_number("what was there before the failure", item(res), 12);
  mlx_array_free(three);
  mlx_array_free(pair);
  mlx_array_free(res);
  mlx_stream_free(stream);
}

static void shared_handle(void) {
  mlx_array first = mlx_array_new_float32(7), second = mlx_array_new();
  expect("a second handle", mlx_array_set(&second, first) == 0);
  expect("it is a handle of its own", second.ctx != first.ctx);
  mlx_array_free(first);
  expect_number("the array after its first handle is freed", item(second), 7);
  mlx_array_free(second);
}

static void free_empty(void) {
  int status = mlx_array_free(mlx_array_new()) || mlx_closure_free(mlx_closure_new()) ||
               mlx_closure_value_and_grad_free(mlx_closure_value_and_grad_new()) || mlx_stream_free(mlx_stream_new()) ||
               mlx_closure_custom_free(mlx_closure_custom_new()) || mlx_device_free(mlx_device_new()) ||
               mlx_vector_array_free((mlx_vector_array){NULL}) || mlx_string_free((mlx_string){NULL}) ||
               mlx_map_string_to_array_free((mlx_map_string_to_array){NULL});
  expect("empty handles are freed", status == 0);
}

/* Every turn frees what it makes, or the counters say so. */
static void hot_loop(void) {
  enum { CALLS = 50000, GRADIENTS = 500 };
  static const int first[] = {0};
  probe p = {.body = square};
  int status = 0;
  mlx_array x = mlx_array_new_float32(3);
  for (int i = 0; i < CALLS && status == 0; i++) {
    mlx_stream stream = mlx_default_cpu_stream_new();
    mlx_array sum = mlx_array_new();
    status = mlx_add(&sum, x, x, stream);
    mlx_array_free(sum);
    mlx_stream_free(stream);
  }
  for (int i = 0; i < GRADIENTS && status == 0; i++) {
    mlx_closure_value_and_grad gradient = probe_gradient(&p, first, 1);
    mlx_vector_array inputs = mlx_vector_array_new_value(x), values = {NULL}, gradients = {NULL};
    status = mlx_closure_value_and_grad_apply(&values, &gradients, gradient, inputs);
    mlx_closure_value_and_grad_free(gradient);
    mlx_vector_array_free(inputs);
    mlx_vector_array_free(values);
    mlx_vector_array_free(gradients);
  }
  mlx_array_free(x);
  expect("every call succeeds", status == 0);
  expect_number("runs", p.calls, GRADIENTS);
  expect_number("destructor calls", p.freed, GRADIENTS);
}

const protocol_case handle_cases[] = {
    {"data-copied", data_copied},
    {"views", views},
    {"handle-replaced", handle_replaced},
    {"shared-handle", shared_handle},
    {"free-empty", free_empty},
    {"hot-loop", hot_loop},
    {NULL, NULL},
};
