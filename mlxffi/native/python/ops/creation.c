/* Operations that make arrays of numbers (see operation.h). */

#include "dispatch/operation.h"
#include "convert/scalar_promotion.h"

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

static PyObject *linspace(Value *v) {
  mlx_array made = {0};
  int dtype = v[4].given ? (int)v[4].integer : MLX_FLOAT32;
  mlx_linspace_endpoint(&made, v[0].number, v[1].number, (int)v[2].integer, v[3].flag, (mlx_dtype)dtype, v[5].stream);
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

static PyObject *zeros_like(Value *v) {
  mlx_array made = {0};
  if (v[1].given) {
    mlx_zeros_like_dtype(&made, v[0].array, (mlx_dtype)v[1].integer, v[2].stream);
  } else {
    mlx_zeros_like(&made, v[0].array, v[2].stream);
  }
  return one(made);
}

static PyObject *ones_like(Value *v) {
  mlx_array made = {0};
  if (v[1].given) {
    mlx_ones_like_dtype(&made, v[0].array, (mlx_dtype)v[1].integer, v[2].stream);
  } else {
    mlx_ones_like(&made, v[0].array, v[2].stream);
  }
  return one(made);
}

/* n, m, k, dtype, stream */
static PyObject *eye(Value *v) {
  mlx_array made = {0};
  int n = (int)v[0].integer, m = v[1].given ? (int)v[1].integer : n, dtype = v[3].given ? (int)v[3].integer : MLX_FLOAT32;
  mlx_eye(&made, n, m, (int)v[2].integer, (mlx_dtype)dtype, v[4].stream);
  return one(made);
}

static PyObject *tri(Value *v) {
  mlx_array made = {0};
  int n = (int)v[0].integer, m = v[1].given ? (int)v[1].integer : n, dtype = v[3].given ? (int)v[3].integer : MLX_FLOAT32;
  mlx_tri(&made, n > 0 ? n : 0, m > 0 ? m : 0, (int)v[2].integer, (mlx_dtype)dtype, v[4].stream);
  return one(made);
}

const Row creation_rows[] = {
  {"arange", "mmmms", arange},
  {"linspace", "ffibDs", linspace},
  {"full", "NoDs", full},
  {"full_like", "aoDs", full_like},
  {"zeros_like", "aDs", zeros_like},
  {"ones_like", "aDs", ones_like},
  {"eye", "iIiDs", eye},
  {"tri", "iIiDs", tri},
  {NULL, NULL, NULL},
};
