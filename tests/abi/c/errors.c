/* error.h: the program's own handler, its data, and errors on many threads. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

enum { THREADS = 4, ROUNDS = 200 };

typedef struct log_ {
  int calls;
  int freed;
  char text[512];
} log_data;

static void log_error(const char *msg, void *data) {
  log_data *log = (log_data *)data;
  log->calls++;
  snprintf(log->text, sizeof log->text, "%s", msg);
}

static void free_log(void *data) {
  ((log_data *)data)->freed++;
}

static void restore(void) {
  mlx_set_error_handler(record_error, NULL, NULL);
}

/* Without a handler of the program's own an error ends the process. This has
 * to run in a child which has not used the library yet. */
static void test_default_handler(void) {
  int status = 0;
  fflush(stdout);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    fclose(stderr);
    mlx_set_error_handler(record_error, NULL, NULL);
    mlx_set_error_handler(NULL, NULL, NULL);
    mlx_array_size(mlx_array_new());
    _exit(0);
  }
  CHECK_INT(child, waitpid(child, &status, 0));
  CHECK(WIFEXITED(status));
  CHECK_INT(255, WEXITSTATUS(status));
}

static void test_data_and_dtor(void) {
  log_data first = {0, 0, ""}, second = {0, 0, ""};
  mlx_set_error_handler(log_error, &first, free_log);
  mlx_array_size(mlx_array_new());
  CHECK_INT(1, first.calls);
  CHECK_HAS("mlx_array_size", first.text);
  CHECK_INT(0, first.freed);
  mlx_set_error_handler(log_error, &second, free_log);
  CHECK_INT(1, first.freed);
  mlx_array_size(mlx_array_new());
  CHECK_INT(1, first.calls);
  CHECK_INT(1, second.calls);
  restore();
  CHECK_INT(1, first.freed);
  CHECK_INT(1, second.freed);
}

static void test_same_data_again(void) {
  log_data log = {0, 0, ""};
  mlx_set_error_handler(log_error, &log, free_log);
  mlx_set_error_handler(log_error, &log, free_log);
  CHECK_INT(1, log.freed);
  restore();
  CHECK_INT(2, log.freed);
}

/* A text is never a printf format. */
static void test_percent_signs(void) {
  mlx_array res = mlx_array_new();
  mlx_map_string_to_array map = {NULL};
  mlx_map_string_to_string meta = {NULL};
  mlx_vector_array empty = mlx_vector_array_new();
  FAILS(mlx_load(&res, "/nowhere/100%s%n%d%x%s%s.npy", cpu));
  CHECK_HAS("/nowhere/100%s%n%d%x%s%s.npy", last_error);
  FAILS(mlx_load_safetensors(&map, &meta, "/nowhere/%n%n%s.safetensors", cpu));
  CHECK_HAS("/nowhere/%n%n%s.safetensors", last_error);
  FAILS(mlx_einsum(&res, "%s%n", empty, cpu));
  REJECTS(mlx_imported_function_new("/nowhere/%s%n.mlxfn").ctx == NULL);
  CHECK_HAS("/nowhere/%s%n.mlxfn", last_error);
  CHECK(res.ctx == NULL && map.ctx == NULL && meta.ctx == NULL);
  drop_vector(empty);
}

static void test_reporting(void) {
  error_count = 0;
  _mlx_error("file%s.c", 12, "%s: %d%%", "text", 5);
  CHECK_INT(1, error_count);
  CHECK_HAS("text: 5%", last_error);
  CHECK_HAS("file%s.c:12", last_error);
  _mlx_error("long.c", 1, "%0900d", 7);
  CHECK(strlen(last_error) > 900);
  CHECK_HAS("0007 at long.c:1", last_error);
}

/* The text names what was expected and what came. */
static void test_texts(void) {
  mlx_array a = floats("1 2 3"), b = floats("1 2"), res = mlx_array_new();
  FAILS(mlx_add(&res, a, b, cpu));
  CHECK_HAS("(3)", last_error);
  CHECK_HAS("(2)", last_error);
  FAILS(mlx_add(&res, a, mlx_array_new(), cpu));
  CHECK_HAS("mlx_add", last_error);
  CHECK_HAS("`b`", last_error);
  drop(a, b);
}

static void test_library_is_usable_after(void) {
  mlx_array a = floats("1 2"), odd = floats("1 2 3"), res = mlx_array_new();
  for (int i = 0; i < 50; i++) {
    FAILS(mlx_add(&res, a, odd, cpu));
    OK(mlx_add(&res, a, a, cpu));
    IS(res, "2 4");
  }
  drop(a, odd, res);
}

/* A handler may call the library, and may be replaced while it runs. */
static void calling_handler(const char *msg, void *data) {
  mlx_array a = mlx_array_new_int(3);
  log_error(msg, data);
  mlx_set_error_handler(record_error, NULL, NULL);
  ((log_data *)data)->calls += (int)mlx_array_size(a);
  mlx_array_free(a);
}

static void test_handler_replaced_while_running(void) {
  log_data log = {0, 0, ""};
  mlx_set_error_handler(calling_handler, &log, free_log);
  mlx_array_size(mlx_array_new());
  CHECK_INT(2, log.calls);
  CHECK_INT(1, log.freed);
  REJECTS(mlx_array_size(mlx_array_new()) == 0);
}

/* ---- threads --------------------------------------------------------- */

static pthread_barrier_t start_line;

static void *fail_often(void *arg) {
  char name[64];
  snprintf(name, sizeof name, "/nowhere/thread-%d.npy", *(int *)arg);
  begin_thread();
  pthread_barrier_wait(&start_line);
  for (int i = 0; i < ROUNDS; i++) {
    mlx_array res = mlx_array_new();
    FAILS(mlx_load(&res, name, cpu));
    CHECK_INT(1, error_count);
    CHECK_HAS(name, last_error);
    OK(mlx_array_set_int(&res, i));
    drop(res);
  }
  end_thread();
  return NULL;
}

static void run_threads(void *(*body)(void *)) {
  pthread_t ids[THREADS];
  int numbers[THREADS];
  CHECK_INT(0, pthread_barrier_init(&start_line, NULL, THREADS));
  for (int i = 0; i < THREADS; i++) {
    numbers[i] = i;
    CHECK_INT(0, pthread_create(&ids[i], NULL, body, &numbers[i]));
  }
  for (int i = 0; i < THREADS; i++) {
    CHECK_INT(0, pthread_join(ids[i], NULL));
  }
  CHECK_INT(0, pthread_barrier_destroy(&start_line));
}

/* Handlers come and go on some threads while others report errors. */
static int handlers_freed;

static void count_handler(void *data) {
  (void)data;
  __atomic_add_fetch(&handlers_freed, 1, __ATOMIC_RELAXED);
}

static void *replace_or_fail(void *arg) {
  pthread_barrier_wait(&start_line);
  for (int i = 0; i < ROUNDS; i++) {
    if (*(int *)arg % 2 == 0) {
      mlx_set_error_handler(record_error, NULL, count_handler);
    } else {
      REJECTS(mlx_array_size(mlx_array_new()) == 0);
    }
  }
  return NULL;
}

static void test_replace_on_threads(void) {
  handlers_freed = 0;
  run_threads(replace_or_fail);
  restore();
  CHECK_INT(THREADS / 2 * ROUNDS, handlers_freed);
}

int main(void) {
  test_default_handler();
  begin();
  group("default handler");
  GROUP("data and destructor", test_data_and_dtor, test_same_data_again);
  GROUP("texts", test_percent_signs, test_reporting, test_texts);
  GROUP("after an error", test_library_is_usable_after, test_handler_replaced_while_running);
  run_threads(fail_often);
  GROUP("threads", test_replace_on_threads);
  return end();
}
