/* event.h: what waits for a point in a stream's work. A file that is read only when a test lets it holds streams up. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <time.h>

#include "check.h"
#include "mlxffi/mlxffi.h"

enum { CAPACITY = 512, THREADS = 4, LOOKS = 20 };

/* ---- a file behind a gate ----------------------------------------------- */

typedef struct gated_ {
  char bytes[CAPACITY];
  size_t size, pos;
  bool open, good;
  pthread_mutex_t lock;
  pthread_cond_t opened;
} gated;

static bool always(void *p) {
  (void)p;
  return true;
}

static bool is_good(void *p) {
  return ((gated *)p)->good;
}

static size_t tell(void *p) {
  return ((gated *)p)->pos;
}

static void seek(void *p, int64_t off, int whence) {
  gated *g = (gated *)p;
  g->pos = (size_t)((int64_t)(whence == SEEK_SET ? 0 : whence == SEEK_END ? g->size : g->pos) + off);
}

/* The header, while the array is made. */
static void read_now(void *p, char *data, size_t n) {
  gated *g = (gated *)p;
  memcpy(data, g->bytes + g->pos, n);
  g->pos += n;
}

/* The elements, while the array is computed. */
static void read_behind_gate(void *p, char *data, size_t n, size_t off) {
  gated *g = (gated *)p;
  pthread_mutex_lock(&g->lock);
  while (!g->open) {
    pthread_cond_wait(&g->opened, &g->lock);
  }
  pthread_mutex_unlock(&g->lock);
  memcpy(data, g->bytes + off, n);
}

static void write_now(void *p, const char *data, size_t n) {
  gated *g = (gated *)p;
  memcpy(g->bytes + g->pos, data, n);
  g->pos += n;
  g->size = g->pos > g->size ? g->pos : g->size;
}

static const char *label(void *p) {
  (void)p;
  return "a file behind a gate";
}

static void nothing(void *p) {
  (void)p;
}

static mlx_io_vtable vtable(void) {
  mlx_io_vtable v = {always, is_good, tell, seek, read_now, read_behind_gate, write_now, label, nothing};
  return v;
}

static void open_gate(gated *g) {
  pthread_mutex_lock(&g->lock);
  g->open = true;
  pthread_cond_broadcast(&g->opened);
  pthread_mutex_unlock(&g->lock);
}

/* An array that `s` computes when the gate is opened, and cannot if `good` is false then. */
static mlx_array behind(gated *g, mlx_stream s) {
  mlx_array kept = floats("1 2 3"), res = {NULL};
  memset(g, 0, sizeof *g);
  g->good = true;
  CHECK_INT(0, pthread_mutex_init(&g->lock, NULL));
  CHECK_INT(0, pthread_cond_init(&g->opened, NULL));
  mlx_io_writer writer = mlx_io_writer_new(g, vtable());
  OK(mlx_save_writer(writer, kept));
  OK(mlx_io_writer_free(writer));
  g->pos = 0;
  mlx_io_reader reader = mlx_io_reader_new(g, vtable());
  OK(mlx_load_reader(&res, reader, s));
  OK(mlx_io_reader_free(reader));
  drop(kept);
  return res;
}

static void start(mlx_array a) {
  mlx_vector_array all = mlx_vector_array_new_value(a);
  OK(mlx_async_eval(all));
  drop_vector(all);
}

static mlx_stream own_stream(void) {
  mlx_device dev = mlx_device_new_type(MLX_CPU, 0);
  mlx_stream own = mlx_stream_new_device(dev);
  OK(mlx_device_free(dev));
  return own;
}

/* ---- waiting -------------------------------------------------------------- */

static mlxffi_event recorded(mlx_stream s) {
  mlxffi_event event = mlxffi_event_new();
  CHECK(event.ctx == NULL);
  OK(mlxffi_event_record(&event, s));
  return event;
}

static bool is_done(mlxffi_event event) {
  bool done = false;
  OK(mlxffi_event_is_done(&done, event));
  return done;
}

/* What is held up stays so, however often one looks. */
static bool is_held(mlxffi_event event) {
  struct timespec moment = {0, 2000000};
  for (int i = 0; i < LOOKS; i++) {
    if (is_done(event)) {
      return false;
    }
    nanosleep(&moment, NULL);
  }
  return true;
}

static void *wait_for(void *event) {
  OK(mlxffi_event_wait(*(mlxffi_event *)event));
  CHECK(is_done(*(mlxffi_event *)event));
  return NULL;
}

/* The threads own no stream. */
static void test_any_thread_waits(void) {
  gated g;
  pthread_t ids[THREADS];
  mlx_stream own = own_stream();
  mlx_array a = behind(&g, own);
  start(a);
  mlxffi_event event = recorded(own);
  for (int i = 0; i < THREADS; i++) {
    CHECK_INT(0, pthread_create(&ids[i], NULL, wait_for, &event));
  }
  CHECK(is_held(event));
  open_gate(&g);
  for (int i = 0; i < THREADS; i++) {
    CHECK_INT(0, pthread_join(ids[i], NULL));
  }
  OK(mlxffi_event_wait(event));
  CHECK(is_done(event));
  CHECK_CLOSE(2, mlx_array_data_float32(a)[1], 0);
  OK(mlxffi_event_free(event));
  drop(a);
  OK(mlx_stream_free(own));
}

static void test_only_earlier_work_counts(void) {
  gated g;
  mlx_stream own = own_stream();
  mlxffi_event before = recorded(own);
  mlx_array a = behind(&g, own);
  start(a);
  OK(mlxffi_event_wait(before));
  CHECK(is_done(before));
  OK(mlxffi_event_record(&before, own));
  CHECK(is_held(before));
  open_gate(&g);
  OK(mlxffi_event_wait(before));
  OK(mlxffi_event_free(before));
  drop(a);
  OK(mlx_stream_free(own));
}

/* ---- streams that wait ------------------------------------------------- */

static void test_a_stream_waits(void) {
  gated g;
  mlx_stream first = own_stream(), second = own_stream();
  mlx_array a = behind(&g, first), b = floats("1 2"), res = {NULL};
  start(a);
  mlxffi_event event = recorded(first), free_of_it = recorded(second);
  OK(mlxffi_event_stream_wait(event, second));
  OK(mlxffi_event_stream_wait(event, first));
  OK(mlxffi_event_wait(free_of_it));
  OK(mlx_square(&res, b, second));
  start(res);
  mlxffi_event held = recorded(second);
  CHECK(is_held(held));
  OK(mlxffi_event_free(event));
  open_gate(&g);
  OK(mlxffi_event_wait(held));
  IS(res, "1 4");
  OK(mlxffi_event_stream_wait(held, first));
  FREE(mlxffi_event, held, free_of_it);
  drop(a, b, res);
  FREE(mlx_stream, first, second);
}

/* ---- errors ---------------------------------------------------------------- */

/* `event` comes after work that fails as soon as the gate is opened. */
static mlx_array fail_before(mlxffi_event *event, gated *g, mlx_stream s) {
  mlx_array a = behind(g, s);
  start(a);
  OK(mlxffi_event_record(event, s));
  g->good = false;
  return a;
}

static void test_failed_work(void) {
  gated g;
  mlx_stream own = own_stream();
  mlx_array b = floats("1 2"), res = {NULL};
  mlxffi_event event = {NULL};
  mlx_array a = fail_before(&event, &g, own);
  open_gate(&g);
  for (int i = 0; i < 2; i++) {
    FAILS(mlxffi_event_wait(event));
    CHECK_HAS("a file behind a gate", last_error);
    CHECK(is_done(event));
  }
  OK(mlxffi_event_record(&event, own));
  OK(mlxffi_event_wait(event));
  OK(mlx_square(&res, b, own));
  IS(res, "1 4");
  OK(mlxffi_event_free(event));
  drop(a, b, res);
  OK(mlx_stream_free(own));
}

static void test_looking_leaves_the_error(void) {
  gated g;
  mlx_stream own = own_stream();
  mlxffi_event event = {NULL};
  mlx_array a = fail_before(&event, &g, own);
  open_gate(&g);
  while (!is_done(event)) {
  }
  FAILS(mlxffi_event_wait(event));
  CHECK_HAS("a file behind a gate", last_error);
  OK(mlxffi_event_free(event));
  drop(a);
  OK(mlx_stream_free(own));
}

static void test_streams_hand_an_error_on(void) {
  gated g;
  mlx_stream first = own_stream(), second = own_stream();
  mlx_array b = floats("1 2"), res = {NULL};
  mlxffi_event event = {NULL};
  mlx_array a = fail_before(&event, &g, first);
  OK(mlxffi_event_stream_wait(event, second));
  mlxffi_event after = recorded(second);
  open_gate(&g);
  FAILS(mlxffi_event_wait(after));
  CHECK_HAS("a file behind a gate", last_error);
  OK(mlx_square(&res, b, second));
  IS(res, "1 4");
  FREE(mlxffi_event, event, after);
  drop(a, b, res);
  FREE(mlx_stream, first, second);
}

/* Squares on a stream of what fails on another. */
static mlx_array late_squares(mlx_array of, mlx_stream s) {
  mlx_array res = {NULL};
  OK(mlx_square(&res, of, s));
  start(res);
  return res;
}

/* The waiting stream comes to what failed when that has been told. */
static void test_a_late_stream_fails_too(void) {
  gated g, inner, busy;
  mlx_stream first = own_stream(), second = own_stream();
  mlx_array held = behind(&busy, second), part = behind(&inner, first);
  mlxffi_event event = {NULL};
  start(held);
  mlx_array whole = late_squares(part, second), a = fail_before(&event, &g, first), res = late_squares(a, second);
  inner.good = false;
  OK(mlxffi_event_stream_wait(event, second));
  mlxffi_event after = recorded(second);
  open_gate(&inner);
  open_gate(&g);
  FAILS(mlxffi_event_wait(event));
  open_gate(&busy);
  FAILS(mlx_array_eval(whole));
  FAILS(mlx_array_eval(res));
  FAILS(mlxffi_event_wait(after));
  CHECK_HAS("a file behind a gate", last_error);
  IS(held, "1 2 3");
  FREE(mlxffi_event, event, after);
  drop(held, part, whole, a, res);
  FREE(mlx_stream, first, second);
}

static void *record_foreign(void *stream) {
  mlxffi_event event = {NULL};
  FAILS(mlxffi_event_record(&event, *(mlx_stream *)stream));
  CHECK(event.ctx == NULL);
  return NULL;
}

static void test_bad_arguments(void) {
  pthread_t id;
  bool done = false;
  mlx_stream none = {NULL};
  mlxffi_event empty = mlxffi_event_new(), event = recorded(mlxffi_default_stream());
  FAILS(mlxffi_event_wait(empty));
  CHECK_HAS("`event`", last_error);
  FAILS(mlxffi_event_is_done(&done, empty));
  FAILS(mlxffi_event_is_done(NULL, event));
  FAILS(mlxffi_event_stream_wait(empty, cpu));
  FAILS(mlxffi_event_stream_wait(event, none));
  FAILS(mlxffi_event_record(&empty, none));
  FAILS(mlxffi_event_record(NULL, cpu));
  OK(mlxffi_event_free(empty));
  CHECK_INT(0, pthread_create(&id, NULL, record_foreign, &cpu));
  CHECK_INT(0, pthread_join(id, NULL));
  OK(mlxffi_event_free(event));
}

int main(void) {
  begin();
  GROUP("waiting", test_any_thread_waits, test_only_earlier_work_counts);
  GROUP("streams", test_a_stream_waits);
  GROUP("errors", test_failed_work, test_looking_leaves_the_error, test_streams_hand_an_error_on,
        test_a_late_stream_fails_too, test_bad_arguments);
  return end();
}
