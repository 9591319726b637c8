/* What only builds graph nodes never waits and never calls back: on CPython its module keeps the GIL, which cffi would give
 * up around every call, so that no other thread changes what it reads. The two macros are the only place where it does.
 * Where CPython has no GIL, a handle is read as a whole (native/abi/cell.h); what reads one twice has a handle of its own.
 * On PyPy nothing keeps the GIL: there a lock does it, which HOLD takes for the function that it stands in. What calls back
 * stands in LETTING_GO, which lets other threads go on for that long. */

#include "mlx/c/mlx.h"

#ifdef PYPY_VERSION

#include <pthread.h>

/* Recursive, for glue_stop_others(), below which its own thread goes on. */
#ifdef PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP
static pthread_mutex_t hold_lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
#else
static pthread_mutex_t hold_lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER;
#endif

static inline int hold(void) {
  return pthread_mutex_lock(&hold_lock);
}

static inline void let_go(int *unused) {
  pthread_mutex_unlock(&hold_lock);
}

#define HOLD __attribute__((cleanup(let_go), unused)) int held = hold()
#define LETTING_GO(...) (pthread_mutex_unlock(&hold_lock), (__VA_ARGS__), hold())

#else

#define HOLD
#define LETTING_GO(...)                         \
  do {                                          \
    PyThreadState *state = PyEval_SaveThread(); \
    __VA_ARGS__;                                \
    PyEval_RestoreThread(state);                \
  } while (0)
#undef Py_BEGIN_ALLOW_THREADS
#undef Py_END_ALLOW_THREADS
#define Py_BEGIN_ALLOW_THREADS {
#define Py_END_ALLOW_THREADS }

#endif

/* Nor does anybody ask for the errno that cffi would keep for each thread. */
#undef _cffi_restore_errno
#undef _cffi_save_errno
#define _cffi_restore_errno()
#define _cffi_save_errno()

#ifdef Py_GIL_DISABLED
static inline mlx_array glue_own(intptr_t arr) {
  mlx_array own = {0};
  mlx_array_set(&own, (mlx_array){(void *)arr});
  return own;
}
#define glue_let_go mlx_array_free
#else
#define glue_own(arr) ((mlx_array){(void *)(arr)})
#define glue_let_go(array) (void)(array)
#endif
