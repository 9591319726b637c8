/* Streams: default ones, own ones, and one per thread. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>

#include "check.h"

enum { THREADS = 6, ROUNDS = 20 };

static void test_new_stream(void) {
  mlx_device dev = mlx_device_new_type(MLX_CPU, 0), got = mlx_device_new();
  mlx_stream own = mlx_stream_new_device(dev), copy = mlx_stream_new();
  int index = -1;
  CHECK(copy.ctx == NULL);
  CHECK(own.ctx != NULL);
  OK(mlx_stream_get_device(&got, own));
  CHECK(mlx_device_equal(got, dev));
  OK(mlx_stream_get_index(&index, own));
  CHECK(index >= 0);
  CHECK(!mlx_stream_equal(own, cpu));
  OK(mlx_stream_set(&copy, own));
  OK(mlx_stream_set(&copy, copy));
  CHECK(mlx_stream_equal(own, copy));
  FREE(mlx_stream, own, copy);
  FREE(mlx_device, dev, got);
}

static void test_stream_text(void) {
  mlx_string text = mlx_string_new();
  OK(mlx_stream_tostring(&text, cpu));
  CHECK_HAS("Stream(Device(cpu, 0), ", mlx_string_data(text));
  OK(mlx_string_free(text));
}

static void test_compute_on_own_stream(void) {
  mlx_device dev = mlx_device_new_type(MLX_CPU, 0);
  mlx_stream own = mlx_stream_new_device(dev);
  mlx_array a = floats("1 2 3"), b = mlx_array_new(), c = mlx_array_new();
  OK(mlx_square(&b, a, own));
  OK(mlx_add(&c, b, a, cpu));
  OK(mlx_synchronize(own));
  OK(mlx_array_eval(c));
  OK(mlx_synchronize(own));
  IS(c, "2 6 12");
  drop(a, b, c);
  OK(mlx_stream_free(own));
  OK(mlx_device_free(dev));
}

static void test_default_stream(void) {
  mlx_device dev = mlx_device_new_type(MLX_CPU, 0);
  mlx_stream own = mlx_stream_new_device(dev), before = mlx_stream_new(), now = mlx_stream_new();
  OK(mlx_get_default_stream(&before, dev));
  CHECK(mlx_stream_equal(before, cpu));
  OK(mlx_set_default_stream(own));
  OK(mlx_get_default_stream(&now, dev));
  CHECK(mlx_stream_equal(now, own));
  OK(mlx_set_default_stream(before));
  OK(mlx_get_default_stream(&now, dev));
  CHECK(mlx_stream_equal(now, before));
  FREE(mlx_stream, own, before, now);
  OK(mlx_device_free(dev));
}

static void test_gpu_stream(void) {
  bool metal = true, cuda = true;
  OK(mlx_metal_is_available(&metal));
  OK(mlx_cuda_is_available(&cuda));
  if (!metal && !cuda) {
    mlx_device gpu = mlx_device_new_type(MLX_GPU, 0);
    mlx_stream slot = mlx_stream_new();
    REJECTS(mlx_default_gpu_stream_new().ctx == NULL);
    REJECTS(mlx_stream_new_device(gpu).ctx == NULL);
    FAILS(mlx_get_default_stream(&slot, gpu));
    CHECK(slot.ctx == NULL);
    OK(mlx_device_free(gpu));
  }
}

static void test_null_handles(void) {
  mlx_stream none = mlx_stream_new();
  mlx_device no_device = mlx_device_new(), slot = mlx_device_new();
  mlx_array a = mlx_array_new_int(1), res = mlx_array_new();
  mlx_string text = mlx_string_new();
  int index = 0;
  FAILS(mlx_synchronize(none));
  FAILS(mlx_set_default_stream(none));
  FAILS(mlx_get_default_stream(&none, no_device));
  FAILS(mlx_stream_get_device(&slot, none));
  FAILS(mlx_stream_get_index(&index, none));
  FAILS(mlx_stream_tostring(&text, none));
  FAILS(mlx_square(&res, a, none));
  REJECTS(mlx_stream_new_device(no_device).ctx == NULL);
  REJECTS(!mlx_stream_equal(none, cpu));
  CHECK(none.ctx == NULL && res.ctx == NULL && slot.ctx == NULL);
  OK(mlx_stream_free(none));
  drop(a);
  OK(mlx_string_free(text));
}

/* ---- threads --------------------------------------------------------- */

typedef struct job_ {
  float start;
  float result;
  mlx_stream main_default;
} job;

static float sum_of_squares(float start, mlx_stream s) {
  float item = 0;
  mlx_array a = mlx_array_new(), b = mlx_array_new();
  OK(mlx_arange(&a, start, start + 3, 1, MLX_FLOAT32, s));
  OK(mlx_square(&b, a, s));
  OK(mlx_sum(&b, b, false, s));
  OK(mlx_array_item_float32(&item, b));
  drop(a, b);
  return item;
}

static void *use_own_stream(void *arg) {
  job *j = (job *)arg;
  mlx_device dev = mlx_device_new_type(MLX_CPU, 0);
  mlx_stream own = mlx_stream_new_device(dev);
  for (int i = 0; i < ROUNDS; i++) {
    j->result = sum_of_squares(j->start, own);
  }
  OK(mlx_synchronize(own));
  OK(mlx_stream_free(own));
  OK(mlx_device_free(dev));
  return NULL;
}

static void *use_default_stream(void *arg) {
  job *j = (job *)arg;
  begin_thread();
  CHECK(!mlx_stream_equal(cpu, j->main_default));
  for (int i = 0; i < ROUNDS; i++) {
    j->result = sum_of_squares(j->start, cpu);
  }
  end_thread();
  return NULL;
}

static void run_threads(void *(*body)(void *)) {
  pthread_t ids[THREADS];
  job jobs[THREADS];
  for (int i = 0; i < THREADS; i++) {
    jobs[i].start = (float)i;
    jobs[i].result = 0;
    jobs[i].main_default = cpu;
    CHECK_INT(0, pthread_create(&ids[i], NULL, body, &jobs[i]));
  }
  for (int i = 0; i < THREADS; i++) {
    CHECK_INT(0, pthread_join(ids[i], NULL));
    CHECK_CLOSE(3 * i * i + 6 * i + 5, jobs[i].result, 0);
  }
}

static void *set_own_default(void *arg) {
  mlx_device dev = mlx_device_new_type(MLX_CPU, 0);
  mlx_stream own = mlx_stream_new_device(dev), now = mlx_stream_new();
  (void)arg;
  OK(mlx_set_default_stream(own));
  OK(mlx_get_default_stream(&now, dev));
  CHECK(mlx_stream_equal(own, now));
  FREE(mlx_stream, own, now);
  OK(mlx_device_free(dev));
  return NULL;
}

static void test_default_is_per_thread(void) {
  pthread_t id;
  mlx_stream now = mlx_stream_new();
  mlx_device dev = mlx_device_new_type(MLX_CPU, 0);
  CHECK_INT(0, pthread_create(&id, NULL, set_own_default, NULL));
  CHECK_INT(0, pthread_join(id, NULL));
  OK(mlx_get_default_stream(&now, dev));
  CHECK(mlx_stream_equal(now, cpu));
  OK(mlx_stream_free(now));
  OK(mlx_device_free(dev));
}

int main(void) {
  begin();
  GROUP("streams", test_new_stream, test_stream_text, test_compute_on_own_stream, test_default_stream, test_gpu_stream);
  GROUP("null handles", test_null_handles);
  run_threads(use_own_stream);
  group("one stream per thread");
  run_threads(use_default_stream);
  GROUP("default streams of threads", test_default_is_per_thread);
  return end();
}
