/* Operations that make arrays of numbers (see operation.h). */

#include "dispatch/operation.h"
#include "dispatch/scalar_promotion.h"

/* --- ranges --- */

/* A number of a range: a float makes it one of floats, and the range of int32 is that of the usual dtype. */
static bool read_bound(double *target, bool *whole, PyObject *object) {
  int integer;
  if (PyFloat_CheckExact(object)) {
    *target = PyFloat_AsDouble(object);
    *whole = false;
    return true;
  }
  bool fits = read_int32(&integer, object);
  *target = integer;
  return fits;
}

/* start, stop, step and dtype, each of which may be missing; Python has the rules for all else. */
static PyObject *arange(Value *v) {
  mlx_array made = {0};
  PyObject *start = v[0].object, *stop = v[1].object, *step = v[2].object, *dtype = v[3].object;
  double from = 0, to = 0, by = 1;
  bool whole = true;
  bool read = start && start != Py_None && stop != Py_None && step != Py_None && read_bound(&from, &whole, start) &&
              (!stop || read_bound(&to, &whole, stop)) && (!step || read_bound(&by, &whole, step));
  /* Without a stop the start is the stop; a step alone in the second place is one too. */
  int number = dtype && dtype != Py_None ? read_dtype(dtype) : whole ? MLX_INT32 : MLX_FLOAT32;
  if (!read || number < 0) {
    return left_to_python;
  }
  mlx_arange(&made, stop ? from : 0, stop ? to : from, by, (mlx_dtype)number, v[4].stream);
  return one(made);
}

/* --- arrays of one value --- */

/* A Python number as an array in the dtype that it takes beside `dtype`, or, for -1, in the usual one. */
static bool read_filling(mlx_array *made, bool *lent, PyObject *object, int dtype) {
  int64_t integer;
  *lent = is_array(object);
  if (*lent) {
    made->ctx = array_of(object);
  } else if (PyFloat_CheckExact(object)) {
    double number = PyFloat_AsDouble(object);
    *made = dtype < 0 || dtype == MLX_COMPLEX64 ? mlx_array_new_float32((float)number) : beside_float(dtype, number);
  } else if (read_int64(&integer, object) && (dtype >= 0 || (integer >= INT32_MIN && integer <= INT32_MAX))) {
    if (dtype < 0) {
      *made = mlx_array_new_int((int)integer);
    } else if (!beside_int(made, dtype, integer)) {
      return false;
    }
  }
  return made->ctx != NULL;
}

static PyObject *full(Value *v) {
  mlx_array made = {0}, filling = {0};
  bool lent;
  if (!read_filling(&filling, &lent, v[1].object, v[2].given ? (int)v[2].integer : -1)) {
    return left_to_python;
  }
  mlx_full(&made, v[0].ints, ints_of(&v[0]), filling, mlx_array_dtype(filling), v[3].stream);
  if (!lent) {
    mlx_array_free(filling);
  }
  return one(made);
}

static PyObject *full_like(Value *v) {
  mlx_array made = {0}, filling = {0}, a = v[0].array;
  bool lent;
  if (!read_filling(&filling, &lent, v[1].object, -1)) {
    return left_to_python;
  }
  mlx_full_like(&made, a, filling, v[2].given ? (mlx_dtype)v[2].integer : mlx_array_dtype(a), v[3].stream);
  if (!lent) {
    mlx_array_free(filling);
  }
  return one(made);
}

const Row creation_rows[] = {
  {"arange", "mmmms", arange},
  {"full", "NoDs", full},
  {"full_like", "aoDs", full_like},
  {NULL, NULL, NULL},
};
