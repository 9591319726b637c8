/* Elements of arrays as Python's numbers and lists of them, as operations (see dispatch/arguments.h). */

#include "dispatch/arguments.h"

#include <math.h>
#include <string.h>

/* --- one element --- */

static double half(uint16_t bits) {
  int exponent = bits >> 10 & 31;
  double fraction = bits & 1023, sign = bits & 0x8000 ? -1 : 1;
  if (exponent == 31) {
    return fraction ? copysign(Py_NAN, sign) : sign * Py_HUGE_VAL;
  }
  double size = exponent ? (1024 + fraction) * (double)(1u << exponent) / 2 : fraction;
  return sign * size / (1 << 24);
}

static double wide(uint16_t bits) {
  uint32_t whole = (uint32_t)bits << 16;
  float number;
  memcpy(&number, &whole, sizeof number);
  return number;
}

#define AS(dtype, type, make) \
  case dtype:                 \
    return make(*(const type *)at);

PyObject *element_at(const void *at, int dtype) {
  switch (dtype) {
    AS(MLX_BOOL, uint8_t, PyBool_FromLong)
    AS(MLX_UINT8, uint8_t, PyLong_FromLong)
    AS(MLX_UINT16, uint16_t, PyLong_FromLong)
    AS(MLX_UINT32, uint32_t, PyLong_FromUnsignedLong)
    AS(MLX_UINT64, uint64_t, PyLong_FromUnsignedLongLong)
    AS(MLX_INT8, int8_t, PyLong_FromLong)
    AS(MLX_INT16, int16_t, PyLong_FromLong)
    AS(MLX_INT32, int32_t, PyLong_FromLong)
    AS(MLX_INT64, int64_t, PyLong_FromLongLong)
    AS(MLX_FLOAT32, float, PyFloat_FromDouble)
    AS(MLX_FLOAT64, double, PyFloat_FromDouble)
    case MLX_FLOAT16:
      return PyFloat_FromDouble(half(*(const uint16_t *)at));
    case MLX_BFLOAT16:
      return PyFloat_FromDouble(wide(*(const uint16_t *)at));
    default:
      return PyComplex_FromDoubles(((const float *)at)[0], ((const float *)at)[1]);
  }
}

/* The element of an array of one. */
static PyObject *item(Value *v) {
  mlx_array array = v[0].array, kept;
  if (mlx_array_size(array) != 1) {
    return refused(MLXFFI_ERROR_INVALID_ARGUMENT, "[convert] Only length-1 arrays can be converted to Python scalars.");
  }
  if (!compute(&array, &kept)) {
    return NULL;
  }
  PyObject *found = element_at(elements_of(array), mlx_array_dtype(array));
  mlx_array_free(kept);
  return found;
}

/* --- as numbers of one kind --- */

static PyObject *converted_item(Value *v, PyObject *(*convert)(PyObject *)) {
  PyObject *found = item(v), *result = found ? convert(found) : NULL;
  Py_XDECREF(found);
  return result;
}

static PyObject *truth(PyObject *found) {
  return PyBool_FromLong(PyObject_IsTrue(found));
}

static PyObject *with_imaginary(PyObject *found) {
  if (PyComplex_Check(found)) {
    return Py_NewRef(found);
  }
  double real = PyFloat_AsDouble(found);
  return real == -1.0 && PyErr_Occurred() ? NULL : PyComplex_FromDoubles(real, 0);
}

#define ITEM(name, convert)                    \
  static PyObject *as_##name(Value *v) {     \
    return converted_item(v, convert);       \
  }

ITEM(bool, truth)
ITEM(int, PyNumber_Long)
ITEM(float, PyNumber_Float)
ITEM(complex, with_imaginary)

static PyObject *as_index(Value *v) {
  bool integer = !is_inexact(v[0].array) && mlx_array_dtype(v[0].array) != MLX_BOOL;
  if (!integer || mlx_array_ndim(v[0].array)) {
    return PyErr_Format(PyExc_TypeError, "Only 0-dimensional integer arrays can be converted to an index.");
  }
  return item(v);
}

/* self, spec */
static PyObject *format(Value *v) {
  if (!mlx_array_ndim(v[0].array)) {
    PyObject *found = item(v), *text = found ? PyObject_Format(found, v[1].object) : NULL;
    Py_XDECREF(found);
    return text;
  }
  if (PyUnicode_Check(v[1].object) && !PyUnicode_GetLength(v[1].object)) {
    return PyObject_Repr(v[0].object);
  }
  return PyErr_Format(PyExc_TypeError, "unsupported format string passed to mlx.core.array.__format__");
}

static PyObject *length(Value *v) {
  if (!mlx_array_ndim(v[0].array)) {
    return PyErr_Format(PyExc_TypeError, "len() 0-dimensional array.");
  }
  return PyLong_FromLong(mlx_array_shape(v[0].array)[0]);
}

/* --- all of them --- */

typedef struct {
  int ndim, dtype;
  const int *sizes;
  const size_t *strides;
  Py_ssize_t itemsize;
} Layout;

static PyObject *nested(const Layout *layout, const char *at, int axis) {
  if (axis == layout->ndim) {
    return element_at(at, layout->dtype);
  }
  Py_ssize_t step = (Py_ssize_t)layout->strides[axis] * layout->itemsize, size = layout->sizes[axis];
  PyObject *list = PyList_New(size);
  for (Py_ssize_t i = 0; list && i < size; i++) {
    PyObject *element = nested(layout, at + i * step, axis + 1);
    if (!element || PyList_SetItem(list, i, element)) {
      Py_CLEAR(list);
    }
  }
  return list;
}

static PyObject *to_list(Value *v) {
  /* Making lists may run the garbage collector, and that any code: the memory is held until they are made. */
  mlx_array kept = own_handle(v[0].array), array = kept, waited;
  if (!kept.ctx || !compute(&array, &waited)) {
    mlx_array_free(kept);
    return NULL;
  }
  mlx_array_free(waited);
  Layout layout = {(int)mlx_array_ndim(kept), mlx_array_dtype(kept), mlx_array_shape(kept), mlx_array_strides(kept),
                   (Py_ssize_t)mlx_array_itemsize(kept)};
  PyObject *made = nested(&layout, mlx_array_size(kept) ? elements_of(kept) : NULL, 0);
  mlx_array_free(kept);
  return made;
}

const Row value_rows[] = {
  {"item", "a", item},
  {"bool of", "a", as_bool},
  {"int of", "a", as_int},
  {"float of", "a", as_float},
  {"complex of", "a", as_complex},
  {"index of", "a", as_index},
  {"format", "ao", format},
  {"length", "a", length},
  {"tolist", "a", to_list},
  {NULL, NULL, NULL},
};
