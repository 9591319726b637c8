/* Operations that make arrays of numbers (see dispatch/arguments.h). */

#include "dispatch/arguments.h"

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

/* The first number, stop, step and dtype in their places, and the start by name; each of them may be missing, and Python
 * has the rules for all else. */
static PyObject *arange(Value *v) {
  mlx_array made = {0};
  PyObject *first = v[0].object, *stop = v[1].object, *step = v[2].object, *dtype = v[3].object, *named = v[4].object;
  PyObject *start = first ? first : named;
  double from = 0, to = 0, by = 1;
  bool whole = true, once = first ? !named : stop != NULL;
  bool read = once && start && start != Py_None && stop != Py_None && step != Py_None &&
              read_bound(&from, &whole, start) && (!stop || read_bound(&to, &whole, stop)) &&
              (!step || read_bound(&by, &whole, step));
  /* Without a stop the start is the stop; a step alone in the second place is one too. */
  int number = dtype && dtype != Py_None ? read_dtype(dtype) : whole ? MLX_INT32 : MLX_FLOAT32;
  if (!read || number < 0) {
    return left_to_python;
  }
  mlx_arange(&made, stop ? from : 0, stop ? to : from, by, (mlx_dtype)number, v[5].stream);
  return one(made);
}

/* --- arrays of one value --- */

/* shape, vals, dtype, stream: an array keeps its own dtype, and a float beside complex64 is one of float32 */
static PyObject *full(Value *v) {
  mlx_array made = {0};
  if (!beside(&v[1], v[2].given ? (int)v[2].integer : -1)) {
    return NULL;
  }
  mlx_full(&made, v[0].ints, ints_of(&v[0]), v[1].array, mlx_array_dtype(v[1].array), v[3].stream);
  return one(made);
}

/* --- matrices --- */

static mlx_dtype float32_or(const Value *dtype) {
  return dtype->given ? (mlx_dtype)dtype->integer : MLX_FLOAT32;
}

/* n, m, k, dtype, stream */
static PyObject *eye(Value *v) {
  mlx_array made = {0};
  int n = (int)v[0].integer, m = v[1].given ? (int)v[1].integer : n;
  mlx_eye(&made, n, m, (int)v[2].integer, float32_or(&v[3]), v[4].stream);
  return one(made);
}

/* Likewise; less than nothing is nothing. */
static PyObject *tri(Value *v) {
  mlx_array made = {0};
  int n = (int)v[0].integer, m = v[1].given ? (int)v[1].integer : n;
  mlx_tri(&made, n > 0 ? n : 0, m > 0 ? m : 0, (int)v[2].integer, float32_or(&v[3]), v[4].stream);
  return one(made);
}

const Row creation_rows[] = {
  {"arange", "mmmmms", arange},
  {"full", "NoDs", full},
  {"eye", "iIiDs", eye},
  {"tri", "iIiDs", tri},
  {NULL, NULL, NULL},
};
