/* Statuses and texts. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "errors.h"
#include "lists.h"
#include "protocol.h"

enum { TEXT = 4096, TURNS = 50 };

static mlx_array zeros(int rows, int columns) {
  const int shape[] = {rows, columns};
  mlx_stream stream = mlx_default_cpu_stream_new();
  mlx_array made = mlx_array_new();
  mlx_zeros(&made, shape, 2, MLX_FLOAT32, stream);
  mlx_stream_free(stream);
  return made;
}

static int bad_product(mlx_array *res, int columns) {
  mlx_stream stream = mlx_default_cpu_stream_new();
  mlx_array a = zeros(2, columns), b = zeros(columns + 1, 2);
  int status = mlx_matmul(res, a, b, stream);
  mlx_array_free(a);
  mlx_array_free(b);
  mlx_stream_free(stream);
  return status;
}

static void status_of_build(void) {
  mlx_array res = mlx_array_new();
  expect("a product of shapes that do not fit fails", bad_product(&res, 3) == 1);
  expect("its result stays empty", res.ctx == NULL);
  expect_part("its text", last_error(), "(2,3)");
}

static void status_of_eval(void) {
  mlx_stream stream = mlx_default_cpu_stream_new();
  mlx_array singular = zeros(2, 2), inverse = mlx_array_new();
  expect("an inverse is built", mlx_linalg_inv(&inverse, singular, stream) == 0);
  expect("the inverse of a singular matrix fails", mlx_array_eval(inverse) == 1);
  expect("the error has a text", last_error()[0] != 0);
  clear_error();
  expect("it fails again", mlx_array_eval(inverse) == 1);
  mlx_array_free(singular);
  mlx_array_free(inverse);
  mlx_stream_free(stream);
}

static void empty_handle_passed(void) {
  mlx_stream stream = mlx_default_cpu_stream_new();
  mlx_array res = mlx_array_new(), sum = mlx_array_new();
  float number;
  expect("a call fails", bad_product(&res, 3) == 1);
  expect("an empty argument fails", mlx_add(&sum, res, res, stream) == 1);
  expect("an empty array has no number", mlx_array_item_float32(&number, res) == 1);
  expect("an empty array has no elements", mlx_array_data_float32(res) == NULL);
  expect("an empty array has no size", mlx_array_size(res) == 0);
  mlx_stream_free(stream);
}

static void expect_text_comes_back(const char *text) {
  clear_error();
  mlx_error("%s", text);
  expect_part("a text", last_error(), text);
}

static void error_percent(void) {
  char text[TEXT + 1];
  mlx_stream stream = mlx_default_cpu_stream_new();
  mlx_array res = mlx_array_new();
  expect_text_comes_back("100% %s %n %d%%");
  expect_text_comes_back("\xc3\xa9 \xff");
  memset(text, 'x', TEXT);
  text[TEXT] = 0;
  expect_text_comes_back(text);
  clear_error();
  expect("a file that is not there fails", mlx_load(&res, "/nowhere/%s%s%n.npy", stream) == 1);
  expect_part("the text names the file", last_error(), "/nowhere/%s%s%n.npy");
  mlx_stream_free(stream);
}

/* Each thread fails in its own way, and reads what it failed at; 0 when that is so each time. */
static void *fail_in_turn(void *columns) {
  int wrong = 0;
  char right[32];
  snprintf(right, sizeof right, "(2,%d)", *(int *)columns);
  for (int i = 0; i < TURNS; i++) {
    mlx_array res = mlx_array_new();
    clear_error();
    wrong += bad_product(&res, *(int *)columns) != 1 || strstr(last_error(), right) == NULL;
  }
  *(int *)columns = wrong;
  return NULL;
}

static void error_threads(void) {
  int columns[] = {3, 5};
  pthread_t threads[2];
  clear_error();
  for (int i = 0; i < 2; i++) {
    pthread_create(&threads[i], NULL, fail_in_turn, &columns[i]);
  }
  for (int i = 0; i < 2; i++) {
    pthread_join(threads[i], NULL);
    expect_number("errors that another thread read", columns[i], 0);
  }
  expect("a thread that did not fail has no error", last_error()[0] == 0);
}

static void error_fresh(void) {
  mlx_array res = mlx_array_new();
  mlx_array three = mlx_array_new_float32(3);
  expect("a call fails", bad_product(&res, 3) == 1);
  clear_error(); /* as a binding does once it has told of an error, or will not */
  expect("a call succeeds", mlx_array_eval(three) == 0);
  expect("no error is left", last_error()[0] == 0);
  expect("another call fails", bad_product(&res, 5) == 1);
  expect_part("the text is the other call's", last_error(), "(2,5)");
  expect("the text is not the first one's", strstr(last_error(), "(2,3)") == NULL);
  mlx_array_free(three);
}

const protocol_case error_cases[] = {
    {"status-of-build", status_of_build},
    {"status-of-eval", status_of_eval},
    {"empty-handle-passed", empty_handle_passed},
    {"error-percent", error_percent},
    {"error-threads", error_threads},
    {"error-fresh", error_fresh},
    {NULL, NULL},
};
