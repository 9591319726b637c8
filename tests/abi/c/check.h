/* Checks and small helpers shared by the C test programs of this folder.
 *
 * Each program is one theme: one C file, linked with live.c, which uses only
 * "mlx/c/mlx.h", libc and pthread. Arrays are written as text:
 *
 *     "1 2 3"          shape [3]
 *     "1 2; 3 4"       shape [2, 2]
 *     "2 1 2: 1 2 3 4" shape [2, 1, 2]
 *     ": 5"            shape []
 */
#ifndef CHECK_H
#define CHECK_H

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mlx/c/mlx.h"

#ifdef __cplusplus
extern "C" {
#endif
int check_no_live_objects(void);
#ifdef __cplusplus
}
#endif

enum { MAX_VALUES = 512, MAX_DIMS = 8 };

static int checks_done;                 /* all checks of this program */
static int checks_before;               /* those already printed by group() */
static const char *check_what = "";     /* table row under test, for messages */
static __thread int error_count;        /* calls of record_error on this thread */
static __thread char last_error[1024];  /* text of the latest one */
static __thread mlx_stream cpu;         /* this thread's default CPU stream */

/* ---- checks ---------------------------------------------------------- */

static inline void check_fail(const char *file, int line, const char *expected, const char *got) {
  printf("%s:%d: %s%sexpected %s, got %s\n", file, line, check_what, *check_what ? ": " : "", expected, got);
  if (error_count > 0) {
    printf("last error: %s\n", last_error);
  }
  exit(1);
}

static inline void check_done(void) {
  __atomic_add_fetch(&checks_done, 1, __ATOMIC_RELAXED);
}

static inline void check_true(const char *file, int line, const char *text, bool value) {
  check_done();
  if (!value) {
    check_fail(file, line, text, "false");
  }
}

static inline void check_int(const char *file, int line, long long expected, long long got) {
  char e[32], g[32];
  check_done();
  if (expected != got) {
    snprintf(e, sizeof e, "%lld", expected);
    snprintf(g, sizeof g, "%lld", got);
    check_fail(file, line, e, g);
  }
}

static inline bool is_close(double a, double b, double tol) {
  if (isnan(a) || isnan(b)) {
    return isnan(a) && isnan(b);
  }
  return a == b || fabs(a - b) <= tol * (1 + fabs(b));
}

static inline void check_close(const char *file, int line, double expected, double got, double tol) {
  char e[40], g[40];
  check_done();
  if (!is_close(got, expected, tol)) {
    snprintf(e, sizeof e, "%.9g", expected);
    snprintf(g, sizeof g, "%.9g", got);
    check_fail(file, line, e, g);
  }
}

static inline void check_str(const char *file, int line, const char *expected, const char *got) {
  check_done();
  if (got == NULL || strcmp(expected, got) != 0) {
    check_fail(file, line, expected, got == NULL ? "NULL" : got);
  }
}

static inline void check_has(const char *file, int line, const char *part, const char *text) {
  check_done();
  if (text == NULL || strstr(text, part) == NULL) {
    printf("%s:%d: this should be a part of what came\n", file, line);
    check_fail(file, line, part, text == NULL ? "NULL" : text);
  }
}

static inline void check_status(const char *file, int line, const char *call, int status) {
  check_done();
  if (status != 0) {
    printf("%s:%d: %s returned %d\n", file, line, call, status);
    check_fail(file, line, "status 0", "an error");
  }
}

static inline void check_failure(const char *file, int line, const char *call, int status, int errors) {
  check_done();
  if (status != 1 || errors < 1) {
    printf("%s:%d: %s returned %d, error handler calls: %d\n", file, line, call, status, errors);
    check_fail(file, line, "status 1 and an error", "something else");
  }
}

#define CHECK(cond) check_true(__FILE__, __LINE__, #cond, (cond))
#define CHECK_INT(expected, got) check_int(__FILE__, __LINE__, (long long)(expected), (long long)(got))
#define CHECK_CLOSE(expected, got, tol) check_close(__FILE__, __LINE__, (expected), (got), (tol))
#define CHECK_STR(expected, got) check_str(__FILE__, __LINE__, (expected), (got))
#define CHECK_HAS(part, text) check_has(__FILE__, __LINE__, (part), (text))

/* OK(call): the call must succeed. FAILS(call): it must return 1 and call the
 * error handler. REJECTS(expr): for calls without a status, only the latter. */
#define OK(call) check_status(__FILE__, __LINE__, #call, (call))
#define FAILS(call)                                                    \
  do {                                                                 \
    error_count = 0;                                                   \
    int fails_status = (call);                                         \
    check_failure(__FILE__, __LINE__, #call, fails_status, error_count); \
  } while (0)
#define REJECTS(expr)                                          \
  do {                                                         \
    error_count = 0;                                           \
    bool rejects_ok = (expr);                                  \
    check_true(__FILE__, __LINE__, #expr, rejects_ok);         \
    check_true(__FILE__, __LINE__, "an error reported by " #expr, error_count > 0); \
  } while (0)

/* FREE(mlx_closure, a, b): free objects of one kind. */
#define FREE(kind, ...)                                         \
  do {                                                          \
    kind freed[] = {__VA_ARGS__};                               \
    for (size_t k = 0; k < sizeof freed / sizeof *freed; k++) { \
      OK(kind##_free(freed[k]));                                \
    }                                                           \
  } while (0)
#define drop(...) FREE(mlx_array, __VA_ARGS__)
#define drop_vector(...) FREE(mlx_vector_array, __VA_ARGS__)

/* The payload of a closure: how often that was called, and how often it was freed. */
typedef struct counts_ {
  int calls;
  int freed;
} counts;

static inline void count_free(void *p) {
  __atomic_add_fetch(&((counts *)p)->freed, 1, __ATOMIC_RELAXED);
}

/* ---- start and end --------------------------------------------------- */

static inline void record_error(const char *msg, void *data) {
  (void)data;
  error_count++;
  snprintf(last_error, sizeof last_error, "%s", msg);
}

static inline void begin_thread(void) {
  cpu = mlx_default_cpu_stream_new();
  CHECK(cpu.ctx != NULL);
}

static inline void end_thread(void) {
  OK(mlx_stream_free(cpu));
}

static inline void begin(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  mlx_set_error_handler(record_error, NULL, NULL);
  begin_thread();
}

/* Print the checks made since the last group under one name. */
static inline void group(const char *name) {
  printf("%s: %d checks\n", name, checks_done - checks_before);
  checks_before = checks_done;
  check_what = "";
}

/* Run tests, and print their checks under one name. */
#define GROUP(name, ...)                                        \
  do {                                                          \
    void (*const tests[])(void) = {__VA_ARGS__};                \
    for (size_t k = 0; k < sizeof tests / sizeof *tests; k++) { \
      tests[k]();                                               \
    }                                                           \
    group(name);                                                \
  } while (0)

static inline int end(void) {
  end_thread();
  if (check_no_live_objects() != 0) {
    return 1;
  }
  printf("ok: %d checks\n", checks_done);
  return 0;
}

/* ---- arrays from text ------------------------------------------------ */

typedef struct check_text_ {
  double values[MAX_VALUES];
  int count;
  int shape[MAX_DIMS];
  int dim;
  bool shaped; /* the text fixes the shape: it has a ':' or a ';' */
} check_text;

static inline const char *skip_blanks(const char *p) {
  while (*p == ' ' || *p == '\n') {
    p++;
  }
  return p;
}

static inline check_text parse(const char *text) {
  check_text t;
  memset(&t, 0, sizeof t);
  const char *colon = strchr(text, ':');
  int rows = 1;
  t.shaped = colon != NULL || strchr(text, ';') != NULL;
  for (const char *p = skip_blanks(text); *p != 0; p = skip_blanks(p)) {
    char *stop = NULL;
    if (*p == ';' || *p == ':') {
      rows += *p == ';';
      p++;
    } else if (colon != NULL && p < colon) {
      t.shape[t.dim++] = (int)strtol(p, &stop, 10);
      p = stop;
    } else {
      t.values[t.count++] = strtod(p, &stop);
      if (stop == p || t.count == MAX_VALUES) {
        check_fail(__FILE__, __LINE__, "numbers", text);
      }
      p = stop;
    }
  }
  if (colon == NULL) {
    t.dim = rows > 1 ? 2 : 1;
    t.shape[0] = rows > 1 ? rows : t.count;
    t.shape[1] = t.count / rows;
  }
  return t;
}

/* An evaluated array of the given type. */
static inline mlx_array typed(const char *text, mlx_dtype dtype) {
  check_text t = parse(text);
  float f[MAX_VALUES];
  int32_t i[MAX_VALUES];
  for (int k = 0; k < t.count; k++) {
    f[k] = (float)t.values[k];
    i[k] = dtype == MLX_INT32 ? (int32_t)t.values[k] : 0;
  }
  if (dtype == MLX_FLOAT32 || dtype == MLX_INT32) {
    return mlx_array_new_data(dtype == MLX_INT32 ? (void *)i : (void *)f, t.shape, t.dim, dtype);
  }
  mlx_array wide = mlx_array_new_data(t.values, t.shape, t.dim, MLX_FLOAT64);
  mlx_array res = mlx_array_new();
  OK(mlx_astype(&res, wide, dtype, cpu));
  OK(mlx_array_eval(res));
  OK(mlx_array_free(wide));
  return res;
}

static inline mlx_array floats(const char *text) {
  return typed(text, MLX_FLOAT32);
}

static inline mlx_array ints(const char *text) {
  return typed(text, MLX_INT32);
}

/* ---- arrays against text --------------------------------------------- */

/* The values of `a` in row order, as doubles; complex ones as re, im pairs. */
static inline int read_values(double *out, mlx_array a) {
  mlx_array flat = mlx_array_new(), wide = mlx_array_new();
  OK(mlx_contiguous(&flat, a, false, cpu));
  if (mlx_array_dtype(a) == MLX_COMPLEX64) {
    OK(mlx_flatten(&flat, flat, 0, -1, cpu));
    OK(mlx_view(&flat, flat, MLX_FLOAT32, cpu));
  }
  OK(mlx_astype(&wide, flat, MLX_FLOAT64, cpu));
  OK(mlx_array_eval(wide));
  int n = (int)mlx_array_size(wide);
  CHECK(n < MAX_VALUES);
  if (n > 0) {
    memcpy(out, mlx_array_data_float64(wide), (size_t)n * sizeof(double));
  }
  OK(mlx_array_free(flat));
  OK(mlx_array_free(wide));
  return n;
}

static inline void check_array(const char *file, int line, mlx_array a, const char *expected, double tol) {
  check_text t = parse(expected);
  double got[MAX_VALUES];
  char where[64];
  int n = read_values(got, a);
  check_int(file, line, t.count, n);
  if (t.shaped && mlx_array_dtype(a) != MLX_COMPLEX64) {
    check_int(file, line, t.dim, (long long)mlx_array_ndim(a));
    for (int i = 0; i < t.dim; i++) {
      check_int(file, line, t.shape[i], mlx_array_dim(a, i));
    }
  }
  for (int i = 0; i < n; i++) {
    if (!is_close(got[i], t.values[i], tol)) {
      snprintf(where, sizeof where, "%.9g at element %d", got[i], i);
      check_fail(file, line, expected, where);
    }
  }
}

#define IS(a, expected) check_array(__FILE__, __LINE__, (a), (expected), 1e-5)
#define NEAR(a, expected, tol) check_array(__FILE__, __LINE__, (a), (expected), (tol))

/* RESULT: check an op's result and free it. */
#define RESULT(call, res, expected) \
  do {                              \
    OK(call);                       \
    IS(res, expected);              \
    drop(res);                      \
    res = mlx_array_new();          \
  } while (0)

/* ---- vectors of arrays ----------------------------------------------- */

/* A vector which takes over the `n` handles given. */
static inline mlx_vector_array take(int n, ...) {
  mlx_vector_array vec = mlx_vector_array_new();
  va_list args;
  va_start(args, n);
  for (int i = 0; i < n; i++) {
    mlx_array a = va_arg(args, mlx_array);
    OK(mlx_vector_array_append_value(vec, a));
    drop(a);
  }
  va_end(args);
  return vec;
}

static inline mlx_array at(mlx_vector_array vec, size_t i) {
  mlx_array a = mlx_array_new();
  OK(mlx_vector_array_get(&a, vec, i));
  return a;
}

static inline void check_at(const char *file, int line, mlx_vector_array vec, size_t i, const char *expected) {
  mlx_array a = at(vec, i);
  check_array(file, line, a, expected, 1e-5);
  drop(a);
}

#define IS_AT(vec, i, expected) check_at(__FILE__, __LINE__, (vec), (i), (expected))

#endif
