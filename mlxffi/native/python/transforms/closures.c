/* Functions of Python as closures of C: one trampoline for each kind.
 *
 * A payload is a Function, below, which refers to a function of Python. C's destructor touches no Python: it puts the
 * payload on a list, and the next call from Python lets go of what is there. What a function raises is kept for the
 * thread while C++ unwinds. There are three ways out of a callback: a checked result, that exception, and no entry at
 * all where the interpreter shuts down, which reads as a failure.
 */

#include "dispatch/conversions.h"
#include "objects/handle.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

/* --- payloads --- */

typedef struct Function {
  PyObject *function;
  bool weak; /* it is a reference to the function */
  struct Function *next;
} Function;

/* How many there are. */
static atomic_size_t living;

/* Those whose closures are gone. */
static _Atomic(Function *) dropped;

static void drop(void *payload) {
  Function *function = payload;
  function->next = atomic_load(&dropped);
  while (!atomic_compare_exchange_weak(&dropped, &function->next, function)) {
  }
}

static void release(Function *function) {
  living--;
  Py_DECREF(function->function);
  free(function);
}

void release_dropped(void) {
  /* The last reference to a function may be that to a graph which keeps others. */
  while (atomic_load_explicit(&dropped, memory_order_relaxed)) {
    Function *next, *function = atomic_exchange(&dropped, NULL);
    for (; function; function = next) {
      next = function->next;
      release(function);
    }
  }
}

static Function *new_function(PyObject *called) {
  release_dropped();
  Function *function = malloc(sizeof *function);
  if (!function) {
    PyErr_NoMemory();
    return NULL;
  }
  living++;
  *function = (Function){Py_NewRef(called), PyWeakref_CheckRef(called), NULL};
  return function;
}

/* A new reference to what a payload is to call. */
static PyObject *function_of(const Function *function) {
  if (!function->weak) {
    return Py_NewRef(function->function);
  }
  PyObject *held = referent(function->function);
  if (!held) {
    PyErr_SetString(PyExc_RuntimeError, "the function of a transform is gone: the transform was freed while it ran");
  }
  return held;
}

/* --- trampolines --- */

/* Set when the interpreter shuts down: from then on no callback enters Python. */
static atomic_bool stopped;
static pthread_t stopper;

/* Whether this thread is in C++ and has the GIL: callbacks give the answer no, for what they call may give it up. */
static _Thread_local bool has_gil;

void begin_call(void) {
  forget_exception();
  has_gil = true;
}

void end_call(void) {
  has_gil = false;
}

/* What becomes of a daemon thread that is in a callback when the process ends: it must neither go on in Python nor
 * unwind through C++, and there is nobody left whom an error would reach. */
static void sleep_for_ever(void *unused) {
  for (;;) {
    pause();
  }
}

static bool may_enter(void) {
  if (!atomic_load(&stopped)) {
    return true;
  }
  if (!pthread_equal(pthread_self(), stopper)) {
    if (has_gil) {
      PyEval_SaveThread();
    }
    sleep_for_ever(NULL);
  }
  return false;
}

/* The status of a callback that does `answer`. Before it is 3.14, Python ends a daemon thread that comes back to it
 * during the shutdown by pthread_exit. */
#define IN_PYTHON(answer)                        \
  if (!may_enter()) {                            \
    return 1;                                    \
  }                                              \
  bool done, had_gil = has_gil;                  \
  pthread_cleanup_push(&sleep_for_ever, NULL);   \
  PyGILState_STATE state = PyGILState_Ensure();  \
  has_gil = false;                               \
  done = (answer);                               \
  if (done) {                                    \
    forget_exception();                          \
  } else {                                       \
    keep_exception();                            \
  }                                              \
  has_gil = had_gil;                             \
  PyGILState_Release(state);                     \
  pthread_cleanup_pop(0);                        \
  return !done;

/* What a function returns for one to three arguments, which are given up. NULL stands for one that is not taken, or
 * that could not be made. */
static PyObject *called(PyObject *function, PyObject *first, PyObject *second, PyObject *third) {
  PyObject *result = NULL;
  if (function && first && !PyErr_Occurred()) {
    result = PyObject_CallFunctionObjArgs(function, first, second, third, NULL);
  }
  Py_XDECREF(function);
  Py_XDECREF(first);
  Py_XDECREF(second);
  Py_XDECREF(third);
  return result;
}

/* The arrays that a function returned. `what` is what errors call that function. */
static bool packed(mlx_vector_array *vector, PyObject *result, const char *what) {
  Packing packing = pack_all(vector, result);
  if (packing == OTHERS) {
    refused(MLXFFI_ERROR_OTHER, "%s must return an array, or a list or tuple of arrays", what);
  }
  return packing == PACKED;
}

static bool answer(mlx_vector_array *res, PyObject *result, const char *what) {
  bool done = result && packed(res, result, what);
  Py_XDECREF(result);
  return done;
}

static int call_closure(mlx_vector_array *res, const mlx_vector_array inputs, void *payload) {
  const Function *function = payload;
  IN_PYTHON(answer(res, called(function_of(function), share_all(inputs, false), NULL, NULL), THE_FUNCTION))
}

static int call_closure_kwargs(mlx_vector_array *res, const mlx_vector_array inputs, const mlx_map_string_to_array named,
                               void *payload) {
  const Function *function = payload;
  IN_PYTHON(answer(res, called(function_of(function), share_all(inputs, false), named_arrays(named), NULL), THE_FUNCTION))
}

static int call_reverse_rule(mlx_vector_array *res, const mlx_vector_array primals, const mlx_vector_array cotangents,
                             const mlx_vector_array outputs, void *payload) {
  const Function *function = payload;
  IN_PYTHON(answer(res, called(function_of(function), share_all(primals, false), share_all(cotangents, false),
                               share_all(outputs, false)), "the vjp rule"))
}

static int call_forward_rule(mlx_vector_array *res, const mlx_vector_array primals, const mlx_vector_array tangents,
                             const int *argnums, size_t argnums_num, void *payload) {
  const Function *function = payload;
  IN_PYTHON(answer(res, called(function_of(function), share_all(primals, false), share_all(tangents, false),
                               int_tuple(argnums, (Py_ssize_t)argnums_num)), "the jvp rule"))
}

static bool packed_ints(mlx_vector_int *vector, PyObject *list) {
  Value ints;
  bool read = convert_object(&ints, 'n', "the vmap rule", "axes", list);
  if (read) {
    *vector = mlx_vector_int_new_data(ints.ints, ints_of(&ints));
    read = vector->ctx || raise_last_error();
  }
  free_value(&ints, 'n');
  return read;
}

/* A vectorisation rule returns a tuple of its outputs and of a list of their axes. */
static bool answer_with_axes(mlx_vector_array *res, mlx_vector_int *axes, PyObject *result) {
  bool pair = result && PyTuple_Check(result) && PyTuple_Size(result) == 2;
  if (result && !pair) {
    PyErr_SetString(PyExc_TypeError, "the vmap rule must return a tuple of outputs and axes");
  }
  bool done = pair && packed_ints(axes, PyTuple_GetItem(result, 1)) &&
              packed(res, PyTuple_GetItem(result, 0), "the vmap rule");
  Py_XDECREF(result);
  return done;
}

static int call_vmap_rule(mlx_vector_array *res, mlx_vector_int *out_axes, const mlx_vector_array inputs,
                          const int *in_axes, size_t in_axes_num, void *payload) {
  const Function *function = payload;
  IN_PYTHON(answer_with_axes(res, out_axes, called(function_of(function), share_all(inputs, false),
                                     int_tuple(in_axes, (Py_ssize_t)in_axes_num), NULL)))
}

/* --- closures --- */

#define NEW(name, kind, trampoline)                                       \
  mlx_##kind name(PyObject *called) {                                     \
    Function *function = new_function(called);                            \
    mlx_##kind made = {0};                                                \
    if (function) {                                                       \
      made = mlx_##kind##_new_func_payload(&trampoline, function, &drop); \
      if (!made.ctx) {                                                    \
        raise_last_error();                                               \
      }                                                                   \
    }                                                                     \
    return made;                                                          \
  }

NEW(new_closure, closure, call_closure)
static NEW(new_closure_kwargs, closure_kwargs, call_closure_kwargs)
NEW(new_reverse_rule, closure_custom, call_reverse_rule)
NEW(new_forward_rule, closure_custom_jvp, call_forward_rule)
NEW(new_vmap_rule, closure_custom_vmap, call_vmap_rule)

/* --- functions that are traced before the call that takes them returns: one closure serves them all --- */

static _Thread_local const Trace *innermost;

void begin_trace(Trace *trace) {
  trace->outer = innermost;
  innermost = trace;
  begin_call();
}

void end_trace(const Trace *trace) {
  end_call();
  innermost = trace->outer;
}

/* What the function returns for some arrays: a single one as a tuple of it. */
static PyObject *called_traced(const Trace *trace, mlx_vector_array inputs) {
  PyObject *arguments = share_all(inputs, true);
  PyObject *result = arguments ? PyObject_Call(trace->function, arguments, NULL) : NULL, *given = result;
  Py_XDECREF(arguments);
  if (result && PyObject_TypeCheck(result, (PyTypeObject *)owner_class)) {
    result = PyTuple_Pack(1, given);
  } else if (result && trace->unpack) {
    result = PyObject_CallFunctionObjArgs(trace->unpack, given, NULL);
  } else {
    return result;
  }
  Py_DECREF(given);
  return result;
}

static int call_traced(mlx_vector_array *res, const mlx_vector_array inputs, void *unused) {
  const Trace *trace = innermost;
  if (!trace) {
    return 1;
  }
  IN_PYTHON(answer(res, called_traced(trace, inputs), trace->what))
}

mlx_closure traced_closure;

/* --- the module's part --- */

/* A function of arrays, and whether it takes a dict of named ones too; or a weak reference to one. */
static PyObject *closure(Value *v) {
  void *made = v[1].flag ? new_closure_kwargs(v[0].object).ctx : new_closure(v[0].object).ctx;
  return made ? new_handle(v[1].flag ? 'K' : 'C', made) : NULL;
}

const AbiRow closure_rows[] = {
  {{"closure", "oB", closure}, "function,named"},
  {{NULL, NULL, NULL}, NULL},
};

static PyObject *closures_living(PyObject *module, PyObject *unused) {
  release_dropped();
  return PyLong_FromSize_t(living);
}

static PyObject *closures_stop(PyObject *module, PyObject *unused) {
  stopper = pthread_self();
  atomic_store(&stopped, true);
  Py_RETURN_NONE;
}

PyMethodDef closure_functions[] = {
  {"living_functions", closures_living, METH_NOARGS, "How many functions closures refer to."},
  {"stop_callbacks", closures_stop, METH_NOARGS, "Let no callback enter Python from now on."},
  {NULL, NULL, 0, NULL},
};

/* Before anybody counts native objects. */
bool init_closures(PyObject *module) {
  traced_closure = mlx_closure_new_func_payload(&call_traced, NULL, NULL);
  return traced_closure.ctx || raise_last_error();
}
