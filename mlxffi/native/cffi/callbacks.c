/* What C keeps of Python, and how it comes back: keys into mlxffi/_registry.py, never pointers to Python objects. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- keys that C no longer needs: a destructor queues them without touching Python, which fetches them --- */

typedef struct Key {
  intptr_t key;
  struct Key *next;
} Key;

static _Atomic(Key *) dropped;

/* A key for which there is no memory stays in the registry: a leak, not a crash. */
static void queue_key(void *payload) {
  Key *made = malloc(sizeof *made);
  if (made) {
    *made = (Key){(intptr_t)payload, atomic_load(&dropped)};
    while (!atomic_compare_exchange_weak(&dropped, &made->next, made)) {
    }
  }
}

/* A key out of the queue; 0 where it is empty. Any number of threads fetch: each takes the whole queue for a moment. */
static intptr_t glue_dropped_key(void) {
  Key *first = atomic_load_explicit(&dropped, memory_order_relaxed) ? atomic_exchange(&dropped, NULL) : NULL;
  if (!first) {
    return 0;
  }
  intptr_t key = first->key;
  for (Key *rest = first->next, *next; rest; rest = next) {
    next = rest->next;
    rest->next = atomic_load(&dropped);
    while (!atomic_compare_exchange_weak(&dropped, &rest->next, rest)) {
    }
  }
  free(first);
  return key;
}

/* An array over memory that belongs to Python: `key` stands for its owner and is queued once MLX is done with it, which
 * is at once where MLX copies, and after an error (0) too. */
static intptr_t glue_array_adopt(void *data, const int *shape, size_t shape_num, int dtype, intptr_t key) {
  return (intptr_t)mlx_array_new_data_managed_payload(data, shape, (int)shape_num, (mlx_dtype)dtype, (void *)key, &queue_key).ctx;
}

/* --- the way into Python --- */

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
  for (;;) {
    pause();
  }
}

static bool may_enter(void) {
  if (atomic_load(&stopped) && !pthread_equal(pthread_self(), stopper)) {
    sleep_for_ever(NULL);
  }
  return !atomic_load(&stopped);
}

enum { FEW = 8 };

/* Handles for Python to own: those of the arrays of up to three vectors. Few of them need no memory of their own. */
typedef struct {
  size_t counts[3];
  intptr_t *handles;
  intptr_t few[FEW];
} Owned;

static bool own(Owned *made, const mlx_vector_array vectors[3]) {
  size_t all = 0, place = 0;
  for (int i = 0; i < 3; i++) {
    made->counts[i] = vectors[i].ctx ? mlx_vector_array_size(vectors[i]) : 0;
    all += made->counts[i];
  }
  made->handles = all <= FEW ? made->few : calloc(all, sizeof *made->handles);
  memset(made->few, 0, sizeof made->few);
  for (int i = 0; made->handles && i < 3; i++) {
    for (size_t j = 0; j < made->counts[i]; j++) {
      mlx_vector_array_get((mlx_array *)&made->handles[place++], vectors[i], j);
    }
  }
  return made->handles;
}

/* The status of a callback that takes vectors of arrays and gives `result` what `call` returns. Before it is 3.14, CPython
 * ends a daemon thread that comes back to it during the shutdown by pthread_exit. */
#define IN_PYTHON(result, call, ...)                                \
  if (!may_enter()) {                                               \
    return 1;                                                       \
  }                                                                 \
  Owned in;                                                         \
  if (own(&in, (const mlx_vector_array[3]){__VA_ARGS__})) {         \
    pthread_cleanup_push(&sleep_for_ever, NULL);                    \
    (result)->ctx = (void *)(call);                                 \
    pthread_cleanup_pop(0);                                         \
  }                                                                 \
  if (in.handles != in.few) {                                       \
    free(in.handles);                                               \
  }                                                                 \
  return !(result)->ctx;

/* --- the trampolines: one for each kind of closure --- */

static intptr_t python_closure(intptr_t *, size_t, intptr_t);
static intptr_t python_closure_kwargs(intptr_t *, size_t, intptr_t, intptr_t);
static intptr_t python_closure_custom(intptr_t *, size_t, size_t, size_t, intptr_t);
static intptr_t python_closure_custom_jvp(intptr_t *, size_t, size_t, const int *, size_t, intptr_t);
static intptr_t python_closure_custom_vmap(intptr_t *, intptr_t *, size_t, const int *, size_t, intptr_t);

static int call_closure(mlx_vector_array *res, const mlx_vector_array inputs, void *key) {
  IN_PYTHON(res, python_closure(in.handles, in.counts[0], (intptr_t)key), inputs)
}

static int call_closure_kwargs(mlx_vector_array *res, const mlx_vector_array inputs, const mlx_map_string_to_array named, void *key) {
  IN_PYTHON(res, python_closure_kwargs(in.handles, in.counts[0], (intptr_t)named.ctx, (intptr_t)key), inputs)
}

static int call_closure_custom(mlx_vector_array *res, const mlx_vector_array primals, const mlx_vector_array cotangents, const mlx_vector_array outputs, void *key) {
  IN_PYTHON(res, python_closure_custom(in.handles, in.counts[0], in.counts[1], in.counts[2], (intptr_t)key), primals, cotangents, outputs)
}

static int call_closure_custom_jvp(mlx_vector_array *res, const mlx_vector_array primals, const mlx_vector_array tangents, const int *argnums, size_t argnums_num, void *key) {
  IN_PYTHON(res, python_closure_custom_jvp(in.handles, in.counts[0], in.counts[1], argnums, argnums_num, (intptr_t)key), primals, tangents)
}

static int call_closure_custom_vmap(mlx_vector_array *res, mlx_vector_int *out_axes, const mlx_vector_array inputs, const int *in_axes, size_t in_axes_num, void *key) {
  IN_PYTHON(res, python_closure_custom_vmap((intptr_t *)&out_axes->ctx, in.handles, in.counts[0], in_axes, in_axes_num, (intptr_t)key), inputs)
}

/* A closure over a key of Python's registry; 0 after an error, and then the key is queued already. */
#define NEW_CLOSURE(kind)                                                                      \
  static intptr_t glue_new_##kind(intptr_t key) {                                              \
    return (intptr_t)mlx_##kind##_new_func_payload(&call_##kind, (void *)key, &queue_key).ctx; \
  }

NEW_CLOSURE(closure)
NEW_CLOSURE(closure_kwargs)
NEW_CLOSURE(closure_custom)
NEW_CLOSURE(closure_custom_jvp)
NEW_CLOSURE(closure_custom_vmap)

/* --- closures that MLX makes of others, which it keeps copies of --- */

static intptr_t glue_new_checkpoint(intptr_t key) {
  mlx_closure fun = {(void *)glue_new_closure(key)}, made = {0};
  if (fun.ctx) {
    mlx_checkpoint(&made, fun);
  }
  mlx_closure_free(fun);
  return (intptr_t)made.ctx;
}

/* A key of 0 stands for a rule that is not there. */
static intptr_t glue_new_custom_function(intptr_t key, intptr_t vjp, intptr_t jvp, intptr_t vmap) {
  mlx_closure fun = {(void *)glue_new_closure(key)}, made = {0};
  mlx_closure_custom reverse = {vjp ? (void *)glue_new_closure_custom(vjp) : NULL};
  mlx_closure_custom_jvp forward = {jvp ? (void *)glue_new_closure_custom_jvp(jvp) : NULL};
  mlx_closure_custom_vmap vectorised = {vmap ? (void *)glue_new_closure_custom_vmap(vmap) : NULL};
  if (fun.ctx && !reverse.ctx == !vjp && !forward.ctx == !jvp && !vectorised.ctx == !vmap) {
    mlx_custom_function(&made, fun, reverse, forward, vectorised);
  }
  mlx_closure_free(fun);
  mlx_closure_custom_free(reverse);
  mlx_closure_custom_jvp_free(forward);
  mlx_closure_custom_vmap_free(vectorised);
  return (intptr_t)made.ctx;
}
