/* Callbacks from C into Python, and the state that both share.
 *
 * One trampoline for each kind of closure. Its payload is a key into Python's registry, never a pointer to a Python
 * object. Python gives back the handle of the result; 0, as from a callback that could not run, reads as an error. The
 * destructor of a payload touches no Python; it queues the key, and Python takes the queue up on its next call.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- errors: kept per thread, no Python in their path --- */

#ifdef MLXFFI_PLAIN_MLXC

/* mlx-c tells a text and no kind. A message that does not fit is cut. */
static _Thread_local char error_text[4096];
static _Thread_local int error_kind;

static void keep_error(const char *message, void *data) {
  (void)data;
  error_kind = 4;
  strncpy(error_text, message, sizeof error_text - 1);
}

static int glue_ignore_errors(void) {
  mlx_set_error_handler(keep_error, NULL, NULL);
  return 0;
}

static int glue_error_kind(void) {
  return error_kind;
}

static const char *glue_error_text(void) {
  return error_text;
}

static void glue_clear_error(void) {
  error_kind = 0;
  error_text[0] = 0;
}

#else

static int glue_ignore_errors(void) {
  mlx_set_error_handler(mlxffi_ignore_errors, NULL, NULL);
  return 0;
}

static int glue_error_kind(void) {
  return mlxffi_last_error_kind();
}

static const char *glue_error_text(void) {
  return mlxffi_last_error_text();
}

static void glue_clear_error(void) {
  mlxffi_clear_error();
}

#endif

/* --- payloads: keys whose closures are gone --- */

static pthread_mutex_t dropped_lock = PTHREAD_MUTEX_INITIALIZER;
static intptr_t *dropped_keys;
static size_t dropped_count, dropped_capacity;

/* A key for which there is no memory stays in the registry: a leak, not a crash. */
static void queue_key(void *payload) {
  pthread_mutex_lock(&dropped_lock);
  if (dropped_count == dropped_capacity) {
    size_t capacity = dropped_capacity ? 2 * dropped_capacity : 64;
    intptr_t *grown = realloc(dropped_keys, capacity * sizeof *grown);
    if (!grown) {
      pthread_mutex_unlock(&dropped_lock);
      return;
    }
    dropped_keys = grown;
    dropped_capacity = capacity;
  }
  dropped_keys[dropped_count++] = (intptr_t)payload;
  pthread_mutex_unlock(&dropped_lock);
}

static size_t glue_dropped_count(void) {
  pthread_mutex_lock(&dropped_lock);
  size_t count = dropped_count;
  pthread_mutex_unlock(&dropped_lock);
  return count;
}

/* Moves up to `capacity` keys out of the queue and tells how many. */
static size_t glue_dropped(intptr_t *keys, size_t capacity) {
  pthread_mutex_lock(&dropped_lock);
  size_t count = dropped_count < capacity ? dropped_count : capacity;
  dropped_count -= count;
  memcpy(keys, dropped_keys + dropped_count, count * sizeof *keys);
  pthread_mutex_unlock(&dropped_lock);
  return count;
}

/* An array over memory that belongs to Python: `key` stands for its owner and is queued once MLX is done with it, which
 * is at once where MLX copies, and after an error (0) too. */
static intptr_t glue_array_adopt(void *data, const int *shape, size_t shape_num, int dtype, intptr_t key) {
  return (intptr_t)mlx_array_new_data_managed_payload(data, shape, (int)shape_num, (mlx_dtype)dtype, (void *)key, &queue_key).ctx;
}

/* --- trampolines --- */

/* Set when the interpreter shuts down: from then on no callback enters Python. */
static atomic_bool stopped;
static pthread_t stopper;

static void glue_stop_callbacks(void) {
  stopper = pthread_self();
  atomic_store(&stopped, true);
}

/* What becomes of a daemon thread that is in a callback when the process ends: it must neither go on in Python nor
 * unwind through C++, and there is nobody left whom an error would reach. */
static void sleep_for_ever(void *unused) {
  (void)unused;
  for (;;) {
    pause();
  }
}

/* Before it is 3.14, Python ends a daemon thread that comes back to it during the shutdown by pthread_exit. */
#define ENTER_PYTHON(result, call)                    \
  if (!may_enter()) {                                 \
    return 1;                                         \
  }                                                   \
  pthread_cleanup_push(&sleep_for_ever, NULL);        \
  (result)->ctx = (void *)(call);                     \
  pthread_cleanup_pop(0);                             \
  return !(result)->ctx;

static bool may_enter(void) {
  if (!atomic_load(&stopped)) {
    return true;
  }
  if (!pthread_equal(pthread_self(), stopper)) {
    sleep_for_ever(NULL);
  }
  return false;
}

static int call_closure(mlx_vector_array *res, const mlx_vector_array input, void *key) {
  ENTER_PYTHON(res, python_closure((intptr_t)input.ctx, (intptr_t)key))
}

static int call_closure_kwargs(mlx_vector_array *res, const mlx_vector_array input, const mlx_map_string_to_array kwargs, void *key) {
  ENTER_PYTHON(res, python_closure_kwargs((intptr_t)input.ctx, (intptr_t)kwargs.ctx, (intptr_t)key))
}

static int call_closure_value_and_grad(mlx_vector_array *values, mlx_vector_array *grads, const mlx_vector_array input, void *key) {
  ENTER_PYTHON(values, python_closure_value_and_grad((intptr_t *)&grads->ctx, (intptr_t)input.ctx, (intptr_t)key))
}

static int call_closure_custom(mlx_vector_array *res, const mlx_vector_array primals, const mlx_vector_array cotangents, const mlx_vector_array outputs, void *key) {
  ENTER_PYTHON(res, python_closure_custom((intptr_t)primals.ctx, (intptr_t)cotangents.ctx, (intptr_t)outputs.ctx, (intptr_t)key))
}

static int call_closure_custom_jvp(mlx_vector_array *res, const mlx_vector_array primals, const mlx_vector_array tangents, const int *argnums, size_t argnums_num, void *key) {
  ENTER_PYTHON(res, python_closure_custom_jvp((intptr_t)primals.ctx, (intptr_t)tangents.ctx, argnums, argnums_num, (intptr_t)key))
}

static int call_closure_custom_vmap(mlx_vector_array *res, mlx_vector_int *out_axes, const mlx_vector_array input, const int *in_axes, size_t in_axes_num, void *key) {
  ENTER_PYTHON(res, python_closure_custom_vmap((intptr_t *)&out_axes->ctx, (intptr_t)input.ctx, in_axes, in_axes_num, (intptr_t)key))
}

/* A closure over a key of Python's registry; 0 after an error, and then the key is queued already. */
#define NEW_CLOSURE(kind)                                                                                    \
  static intptr_t glue_new_##kind(intptr_t key) {                                                            \
    return (intptr_t)mlx_##kind##_new_func_payload(&call_##kind, (void *)key, &queue_key).ctx;                \
  }

NEW_CLOSURE(closure)
NEW_CLOSURE(closure_kwargs)
NEW_CLOSURE(closure_value_and_grad)
NEW_CLOSURE(closure_custom)
NEW_CLOSURE(closure_custom_jvp)
NEW_CLOSURE(closure_custom_vmap)
