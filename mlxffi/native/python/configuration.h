/* The classes, objects and functions of mlxffi.core that C needs: all are told at once, by `configure`. */

#ifndef MLXFFI_CONFIGURATION_H
#define MLXFFI_CONFIGURATION_H

#include <Python.h>

#include <stdbool.h>

#define DTYPES 14

/* NULL before Python has told. */
typedef struct {
  PyObject *array;               /* the class of arrays, derived from ArrayOwner */
  PyObject *array_at;            /* the class of what `array.at` gives, derived from PartOwner */
  PyObject *stream, *device;     /* classes, derived from StreamOwner and DeviceOwner */
  PyObject *cpu, *gpu;           /* the two of DeviceType */
  PyObject *make_default;        /* from a stream or device, which becomes the default, to the stream that was it before */
  PyObject *thread_local_stream; /* a class */
  PyObject *group;               /* a class, derived from Handle */
  PyObject *dtypes;              /* a tuple of the Dtypes, by number */
  PyObject *error;               /* from the kind and the text of an error to its exception */
  PyObject *misfit;              /* the exception for ints that do not fit into C's */
  PyObject *bounds;              /* the exception for indices that are none of an array's */
  PyObject *as_arrays;           /* from operands, which may be anything, to a tuple of arrays */
  PyObject *as_array;            /* from anything, and the dtype beside which it stands or None, to an array */
  PyObject *next_key;            /* gives a key of random numbers that has not been given before */
  PyObject *holder;              /* the class of leaves of trees that own one array */
  PyObject *not_arrays;          /* makes the error for a leaf that is no array */
  PyObject *constant;            /* from a leaf to what tells it from all others */
} Configuration;

extern Configuration told;

PyObject *dtype_object(int number);

/* The number of a Dtype; -1 for anything else. */
int read_dtype(PyObject *object);

/* The number of a DeviceType in the C enum; -1 for anything else. */
int device_type_of(PyObject *object);
PyObject *device_type_object(int type);

#endif
