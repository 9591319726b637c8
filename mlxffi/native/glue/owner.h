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

/* --- owner_operation.c --- */

bool init_operations(PyObject *module);

#endif
