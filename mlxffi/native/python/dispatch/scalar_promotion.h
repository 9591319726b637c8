/* Python's numbers as elements of arrays, and beside arrays: there each takes the array's dtype where that can hold its
 * kind. */

#ifndef MLXFFI_SCALAR_PROMOTION_H
#define MLXFFI_SCALAR_PROMOTION_H

#include "native.h"

/* Whether elements of a dtype are floating point or complex. */
bool is_inexact_dtype(int dtype);

/* An int itself, of 64 bits; false, without an exception, for anything else. */
static inline bool read_int64(int64_t *target, PyObject *object) {
  int overflow = 0;
  if (!PyLong_CheckExact(object)) {
    return false;
  }
  *target = PyLong_AsLongLongAndOverflow(object, &overflow);
  return !overflow;
}

/* A number as an element of a dtype, cast as C casts; on the way it is a float where others are. */
typedef enum { AS_IT_IS, AS_FLOAT64, AS_FLOAT32 } Reading;
void write_number(void *target, int dtype, Reading reading, PyObject *object);

/* An int or float as a 0-d array beside one of a dtype, or, for -1, alone; false, without an exception, for what needs
 * more. */
bool number_beside(mlx_array *made, int dtype, PyObject *number);

/* An array of another dtype: `made` is given up. */
mlx_array converted(mlx_array made, int dtype);

#endif
