/* What from_python.c reads arrays from: numbers, and the buffers of other libraries. */

#ifndef MLXFFI_FROM_PYTHON_H
#define MLXFFI_FROM_PYTHON_H

#include "dispatch/arguments.h"

/* Whether an object has an attribute, by a name that is made once. */
bool has_attribute(PyObject *object, const char *name, PyObject **place);

/* A copy of a buffer in row order; false, without an exception, for what needs more. */
bool from_buffer(mlx_array *made, PyObject *object, int dtype);

/* The array object of what the class of arrays takes. */
PyObject *array_object(PyObject *value);

/* In the stable ABI of every version, though headers have left it out since 3.13 (PEP 384). */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
extern int PyObject_AsReadBuffer(PyObject *object, const void **memory, Py_ssize_t *size);

#endif
