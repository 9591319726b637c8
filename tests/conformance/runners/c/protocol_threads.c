/* Built on one thread, evaluated on another. */
#include <math.h>
#include <pthread.h>

#include "errors.h"
#include "lists.h"
#include "probe.h"
#include "protocol.h"

enum { THREADS = 4, TURNS = 50 };

static void on_another_thread(void *(*work)(void *), void *about) {
  pthread_t thread;
  pthread_create(&thread, NULL, work, about);
  pthread_join(thread, NULL);
}

typedef struct {
  mlx_array array;
  int status;
  double number;
} evaluation;

static void *evaluate(void *about) {
  evaluation *e = about;
  e->status = mlx_array_item_float64(&e->number, e->array);
  return NULL;
}

/* 3 * 3 on a stream. */
static mlx_array nine(const mlx_stream stream) {
  mlx_array three = mlx_array_new_float32(3), made = mlx_array_new();
  expect("a square is built", mlx_square(&made, three, stream) == 0);
  mlx_array_free(three);
  return made;
}

static void thread_default(void) {
  mlx_stream stream = mlx_default_cpu_stream_new();
  evaluation e = {nine(stream), -1, NAN};
  on_another_thread(evaluate, &e);
  expect_number("status of an evaluation on a thread without the stream", e.status, 1);
  evaluate(&e);
  expect_number("status on the thread of the stream", e.status, 0);
  expect_number("the square", e.number, 9);
  mlx_array_free(e.array);
  mlx_stream_free(stream);
}

static void *add_to_itself(void *about) {
  evaluation *e = about;
  mlx_stream stream = mlx_default_cpu_stream_new();
  mlx_array sum = mlx_array_new();
  e->status = mlx_add(&sum, e->array, e->array, stream) || mlx_array_item_float64(&e->number, sum);
  mlx_array_free(sum);
  mlx_stream_free(stream);
  return NULL;
}

static void thread_evaluated(void) {
  mlx_stream stream = mlx_default_cpu_stream_new();
  evaluation e = {nine(stream), -1, NAN};
  expect("it is evaluated", mlx_array_eval(e.array) == 0);
  on_another_thread(add_to_itself, &e);
  expect_number("status on another thread", e.status, 0);
  expect_number("the sum", e.number, 18);
  mlx_array_free(e.array);
  mlx_stream_free(stream);
}

/* ---- streams that mlx-c has not ---- */

typedef mlx_stream (*stream_of_device)(mlx_device);
typedef mlx_thread_local_stream (*local_of_device)(mlx_device);
typedef int (*get_local)(mlx_stream *, mlx_thread_local_stream);
typedef int (*free_local)(mlx_thread_local_stream);

static void thread_unsafe(void) {
  stream_of_device make = (stream_of_device)find_function("mlx_stream_new_thread_unsafe");
  mlx_device cpu = mlx_device_new_type(MLX_CPU, 0);
  mlx_stream stream = make(cpu);
  evaluation e = {nine(stream), -1, NAN};
  on_another_thread(evaluate, &e);
  expect_number("status on another thread", e.status, 0);
  expect_number("the square", e.number, 9);
  mlx_array_free(e.array);
  mlx_stream_free(stream);
  mlx_device_free(cpu);
}

typedef struct {
  mlx_thread_local_stream local;
  double number;
  int index;
} local_work;

static void *square_on_local(void *about) {
  local_work *work = about;
  get_local get = (get_local)find_function("mlx_thread_local_stream_get");
  mlx_stream stream = mlx_stream_new();
  mlx_array made = mlx_array_new();
  if (get(&stream, work->local) == 0 && mlx_stream_get_index(&work->index, stream) == 0) {
    made = nine(stream);
    mlx_array_item_float64(&work->number, made);
  }
  mlx_array_free(made);
  mlx_stream_free(stream);
  return NULL;
}

static void thread_local_streams(void) {
  mlx_device cpu = mlx_device_new_type(MLX_CPU, 0);
  mlx_thread_local_stream local = ((local_of_device)find_function("mlx_thread_local_stream_new"))(cpu);
  local_work here = {local, NAN, -1}, there = {local, NAN, -1};
  square_on_local(&here);
  on_another_thread(square_on_local, &there);
  expect_number("the square here", here.number, 9);
  expect_number("the square on another thread", there.number, 9);
  expect("the streams are two", here.index != there.index);
  ((free_local)find_function("mlx_thread_local_stream_free"))(local);
  mlx_device_free(cpu);
}

/* ---- one function, several threads ---- */

typedef struct {
  mlx_closure_value_and_grad gradient;
  float at;
  int wrong;
} gradient_work;

static void *differentiate(void *about) {
  gradient_work *work = about;
  for (int i = 0; i < TURNS; i++) {
    float at = work->at + (float)i;
    mlx_vector_array inputs = list_of(mlx_array_new_float32(at)), values = {NULL}, gradients = {NULL};
    int status = mlx_closure_value_and_grad_apply(&values, &gradients, work->gradient, inputs);
    work->wrong += status != 0 || number_at(gradients, 0) != 2 * at || number_at(values, 0) != at * at;
    mlx_vector_array_free(inputs);
    mlx_vector_array_free(values);
    mlx_vector_array_free(gradients);
  }
  return NULL;
}

static void thread_gradients(void) {
  static const int first[] = {0};
  probe p = {.body = square};
  mlx_closure_value_and_grad gradient = probe_gradient(&p, first, 1);
  gradient_work work[THREADS];
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) {
    work[i] = (gradient_work){gradient, (float)(100 * i), 0};
    pthread_create(&threads[i], NULL, differentiate, &work[i]);
  }
  for (int i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
    expect_number("wrong gradients of a thread", work[i].wrong, 0);
  }
  mlx_closure_value_and_grad_free(gradient);
  expect_number("runs", p.calls, THREADS * TURNS);
}

const protocol_case thread_cases[] = {
    {"thread-default", thread_default},
    {"thread-evaluated", thread_evaluated},
    {"thread-local", thread_local_streams},
    {"thread-unsafe", thread_unsafe},
    {"thread-gradients", thread_gradients},
    {NULL, NULL},
};
