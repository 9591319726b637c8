/* What the rooms of the module mlxffi._native share: errors, arrays and other objects, trees of arrays, and functions of
 * Python as closures of C. Whatever returns NULL or -1 has set an exception. */

#ifndef MLXFFI_NATIVE_H
#define MLXFFI_NATIVE_H

#include <Python.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <structmember.h>

#include "configuration.h"
#include "dlpack/elements.h"
#include "free_threads.h"
#include "mlx/c/mlx.h"
#include "mlxffi/mlxffi.h"

/* A function in a table of methods that takes its arguments as they lie. */
#define FAST(function) (PyCFunction)(void (*)(void)) function, METH_FASTCALL

/* --- errors.c: what has set an exception --- */

/* Each gives NULL, as PyErr_Format does, which is false too. */

/* The thread's last error, which is forgotten. */
PyObject *raise_last_error(void);

/* An error of a kind that is ours; `refused` puts its text together as PyErr_Format does. */
PyObject *raise_error(mlxffi_error_kind kind, const char *text);
PyObject *refused(mlxffi_error_kind kind, const char *format, ...);

/* The use of an array that was never given a value. */
PyObject *raise_empty(void);

/* The failure of a call: what a callback raised on its way through C++, or the thread's last error. */
PyObject *raise_failure(void);

/* What a callback raised: kept for the thread, or forgotten. */
void keep_exception(void);
void forget_exception(void);

/* --- objects/array.c --- */

/* What an object of ours begins with that may be referred to weakly, and the members of its class that say so. */
typedef struct {
  PyObject_HEAD
  PyObject *weakrefs;
} Weak;
extern PyMemberDef weak_members[];

typedef struct {
  Weak head;
  mlx_array array;   /* empty before there is a value */
  struct Loan *loan; /* see transforms/loans.c */
  bool updated;      /* in place, since it was made */
} ArrayOwner;

/* The base of all classes of arrays. */
extern PyObject *owner_class;

/* Whether it is of exactly the class of arrays. */
static inline bool is_array(PyObject *object) {
  return (PyObject *)Py_TYPE(object) == told.array;
}

/* A class for a file to keep, which the module gets too. */
PyObject *added_class(PyObject *module, const char *name, PyType_Spec *spec);

/* The end of an object whose own things have been freed; the list of weak references to it, if there may be any. */
static inline void free_object(PyObject *self, PyObject *weakrefs) {
  PyTypeObject *type = Py_TYPE(self);
  if (weakrefs) {
    PyObject_ClearWeakRefs(self);
  }
  ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
  Py_DECREF(type);
}

/* The handle of an array, which the object keeps; NULL, without an exception, for anything else. */
void *array_of(PyObject *item);

/* The object of an array that C has just made; an empty one stands for an error, which is raised. */
PyObject *one(mlx_array made);

/* The content of a fresh array, which is given up, under the handle that an instance has; an empty one stands for an
 * error, which is raised. */
bool replace(PyObject *object, mlx_array made);

/* A handle of one's own; an empty one after an error, which is raised. */
mlx_array own_handle(mlx_array array);

/* The handle of an array between these two, whose content does not change meanwhile: with a GIL, as long as no code of
 * Python runs; without one it is a handle of one's own. Empty after an exception where that could not be made. */
static inline mlx_array hold(mlx_array array) {
  return FREE_THREADS && array.ctx ? own_handle(array) : array;
}

static inline void let_go(mlx_array held) {
  if (FREE_THREADS) {
    mlx_array_free(held);
  }
}

PyObject *int_tuple(const int *values, Py_ssize_t count);

/* The sizes along its axes. */
PyObject *shape_tuple(mlx_array array);

/* A list, or a tuple, of the arrays of a vector, which stays the caller's; an empty one stands for an error, which is
 * raised. */
PyObject *share_all(mlx_vector_array vector, bool tuple);

/* The arrays of a list or tuple as a new vector. */
typedef enum { FAILED = -1, OTHERS, PACKED } Packing; /* OTHERS: something else is among them; no exception is set */
Packing pack_all(mlx_vector_array *vector, PyObject *sequence);

/* --- objects/buffer.c --- */

/* Compute an array and wait, without the GIL where that takes time: the object that lent the array may lose it then, so
 * it becomes one of its own, `kept`, which is to be freed. */
bool compute(mlx_array *array, mlx_array *kept);

/* Py_buffer and its flags, which the limited API has from 3.11 on: neither has changed since Python 3.0 (PEP 3118). */
typedef struct {
  void *buf;
  PyObject *obj;
  Py_ssize_t len, itemsize;
  int readonly, ndim;
  char *format;
  Py_ssize_t *shape, *strides, *suboffsets;
  void *internal;
} Buffer;

enum {
  BUFFER_FORMAT = 0x4,
  BUFFER_ND = 0x8,
  BUFFER_STRIDES = 0x18,
  BUFFER_ROWS = 0x20,
  BUFFER_COLUMNS = 0x40,
  BUFFER_ANY_ORDER = 0x80,
  BUFFER_ORDER = 0xe0
};

int lend_buffer(PyObject *self, Buffer *view, int flags);
void take_back_buffer(PyObject *self, Buffer *view);

/* --- objects/array_at.c --- */

/* The array of a part, and its key; false, without an exception, where it has none. All are new references. */
bool part_array(PyObject *object, PyObject **array);
bool read_part(PyObject *object, PyObject **array, PyObject **key);
PyObject *new_part(PyObject *array, PyObject *key);

/* --- objects/device.c --- */

/* What a Stream owns; NULL for anything else. */
void *stream_of(PyObject *object);
/* The type, in the C enum, and index of a Device or DeviceType; false for anything else. */
bool device_place(PyObject *object, int *type, int *index);
/* A new C object of either; an empty one, without an exception, for anything else. */
mlx_device device_for(PyObject *object);
/* Objects that own what C has just made; an empty one stands for an error, which is raised. */
PyObject *new_device(mlx_device device);
PyObject *new_stream(mlx_stream stream);

/* --- objects/results.c: what C has made, which is given up --- */

PyObject *listed(mlx_vector_array made);
PyObject *tupled(mlx_vector_array made);
PyObject *one_or_tupled(mlx_vector_array made);
PyObject *pair(mlx_array first, mlx_array second);
PyObject *text_of(mlx_string made);
PyObject *texts_of(mlx_vector_string made);
PyObject *ints_in(mlx_vector_int made);
PyObject *arrays_by_name(mlx_map_string_to_array made);
PyObject *texts_by_name(mlx_map_string_to_string made);
PyObject *none_after(int failed);

/* Adds a new reference, which is given up, to a list; -1 also where it is NULL. */
int append_new(PyObject *list, PyObject *item);

/* A dict of the arrays in a map, which stays the caller's. */
PyObject *named_arrays(mlx_map_string_to_array map);

/* --- transforms/loans.c --- */

void end_loan(struct Loan *loan);

/* --- transforms/closures.c --- */

/* Of a function of Python, or of a weak reference to one. */
mlx_closure new_closure(PyObject *function);
mlx_closure_custom new_reverse_rule(PyObject *function);
mlx_closure_custom_jvp new_forward_rule(PyObject *function);
mlx_closure_custom_vmap new_vmap_rule(PyObject *function);
void release_dropped(void);

/* What errors about results call it. */
#define THE_FUNCTION "the function"

/* A function of arrays that is traced now, and by nobody after this: `traced_closure`, made once, calls the innermost one of
 * this thread. */
typedef struct Trace {
  PyObject *function;
  PyObject *unpack; /* from a result that is no array to a list of arrays; or NULL */
  const char *what;
  const struct Trace *outer;
} Trace;

/* A call that traces it stands between these two; they imply the two below. */
void begin_trace(Trace *trace);
void end_trace(const Trace *trace);
extern mlx_closure traced_closure;

/* A call from Python that keeps the GIL and may run callbacks stands between these two. */
void begin_call(void);
void end_call(void);

/* --- what each file with classes or objects of its own adds to the module --- */

bool init_arrays(PyObject *module);
bool init_parts(PyObject *module);
bool init_devices(PyObject *module);
bool init_handles(PyObject *module);
bool init_contexts(PyObject *module);
bool init_trees(PyObject *module);
bool init_loans(PyObject *module);
bool init_closures(PyObject *module);

#endif
