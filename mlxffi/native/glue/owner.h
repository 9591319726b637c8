/* What the files of the module mlxffi._array_owner share. Whatever returns NULL or -1 has set an exception. */

#ifndef MLXFFI_OWNER_H
#define MLXFFI_OWNER_H

#include <Python.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mlx/c/mlx.h"

/* --- array_owner.c --- */

typedef struct {
  PyObject_HEAD
  PyObject *handle; /* the mlx_array as a Python int; 0 or NULL once there is none */
  PyObject *weakrefs;
} ArrayOwner;

extern PyTypeObject *owner_class;

void raise_made_by(PyObject *maker);
void raise_last_error(void);
void raise_closed(void);

/* The array of an instance, which the instance keeps; NULL, without an exception, for anything else. */
void *array_of(PyObject *item, PyTypeObject *type);

/* An instance of a class over an array that C has just made; an empty one stands for an error, which is raised. */
PyObject *adopt_new(PyObject *type, mlx_array array);

/* A tuple of ints. */
PyObject *shape_tuple(const int *sizes, Py_ssize_t ndim);

/* Instances for the arrays of a vector, which stays the caller's; an empty one stands for an error, which is raised. */
PyObject *share_all(PyObject *type, mlx_vector_array vector);

/* The instances of a class in a list or tuple as a new vector. */
typedef enum { FAILED = -1, OTHERS, PACKED } Packing; /* OTHERS: something else is among them; no exception is set */
Packing pack_all(mlx_vector_array *vector, PyTypeObject *type, PyObject *sequence);

/* --- owner_memory.c --- */

/* Compute an array and wait, without the GIL where that takes time: the object that lent the array may lose it then, so
 * it becomes one of its own, `kept`, which is to be freed. */
bool compute(mlx_array *array, mlx_array *kept);

/* The first element of a computed array. */
const void *elements_of(mlx_array array);

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
  BUFFER_WRITABLE = 0x1,
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

/* --- owner_part.c --- */

bool init_parts(PyObject *module);

/* The array of a part, and its key; false, without an exception, where it has none. All are lent. */
bool part_array(PyObject *object, PyObject **array);
bool read_part(PyObject *object, PyObject **array, PyObject **key);
PyObject *new_part(PyObject *array, PyObject *key);

/* --- owner_arguments.c --- */

extern PyObject *array_class; /* mlxffi.core.array; NULL before Python has told */

/* --- owner_operation.c --- */

bool init_operations(PyObject *module);

#endif
