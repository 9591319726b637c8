/* Elements of arrays from Python's numbers and from buffers (see from_python.h). */

#include "convert/from_python.h"
#include "dispatch/scalar_promotion.h"

#include <string.h>

/* --- floating point in 16 bits --- */

static uint16_t bfloat16_of(float number) {
  uint32_t bits;
  memcpy(&bits, &number, sizeof bits);
  if ((bits & 0x7fffffff) > 0x7f800000) {
    return (uint16_t)(bits >> 16 | 0x40);
  }
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* Rounded to the nearest, ties to even; infinite from 65520 on. */
static uint16_t half_of(float number) {
  uint32_t bits;
  memcpy(&bits, &number, sizeof bits);
  uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
  int exponent = (int)(bits >> 23 & 255) - 127;
  uint32_t digits = (bits & 0x7fffff) | 0x800000;
  if (exponent == 128) {
    return sign | (digits > 0x800000 ? 0x7e00 : 0x7c00);
  }
  if (exponent > 15 || exponent < -25) {
    return sign | (exponent > 15 ? 0x7c00 : 0);
  }
  /* Half has 11 digits, and none below 2**-24. */
  int lost = exponent >= -14 ? 13 : -1 - exponent;
  uint32_t rest = digits & ((1u << lost) - 1), middle = 1u << (lost - 1);
  digits >>= lost;
  digits += rest > middle || (rest == middle && digits & 1);
  return (uint16_t)(sign + (exponent >= -14 ? (uint32_t)(exponent + 14) << 10 : 0) + digits);
}

/* --- numbers --- */

static bool write_integer(void *target, int dtype, int64_t value) {
  if (dtype != MLX_FLOAT16 && !holds(dtype, value)) { /* it may become infinite */
    return false;
  }
  /* The low bytes of it, whatever the byte order. */
  switch (mlx_dtype_size((mlx_dtype)dtype)) {
    case 1:
      *(int8_t *)target = (int8_t)value;
      return true;
    case 2:
      *(int16_t *)target = (int16_t)value;
      return true;
    case 4:
      *(int32_t *)target = (int32_t)value;
      return true;
    default:
      *(int64_t *)target = value;
      return true;
  }
}

static bool write_real(void *target, int dtype, double value) {
  switch (dtype) {
    case MLX_BOOL:
      *(bool *)target = value != 0;
      return true;
    case MLX_FLOAT16:
      *(uint16_t *)target = half_of((float)value);
      return true;
    case MLX_BFLOAT16:
      *(uint16_t *)target = bfloat16_of((float)value);
      return true;
    case MLX_FLOAT32:
      *(float *)target = (float)value;
      return true;
    case MLX_FLOAT64:
      *(double *)target = value;
      return true;
    case MLX_COMPLEX64:
      ((float *)target)[0] = (float)value;
      ((float *)target)[1] = 0;
      return true;
    default:
      return value > -2147483649.0 && value < 2147483648.0 && write_integer(target, dtype, (int64_t)value);
  }
}

bool write_number(void *target, int dtype, PyObject *object) {
  int64_t value;
  if (PyFloat_CheckExact(object)) {
    return write_real(target, dtype, PyFloat_AsDouble(object));
  }
  if (PyComplex_CheckExact(object)) {
    double real = PyComplex_RealAsDouble(object);
    if (dtype == MLX_COMPLEX64) {
      ((float *)target)[0] = (float)real;
      ((float *)target)[1] = (float)PyComplex_ImagAsDouble(object);
      return true;
    }
    return write_real(target, dtype, (float)real);
  }
  if (PyBool_Check(object)) {
    value = object == Py_True;
  } else if (!read_int64(&value, object)) {
    return false;
  }
  switch (dtype) {
    case MLX_BOOL:
      return value >= INT32_MIN && value <= INT32_MAX && write_real(target, dtype, (double)value);
    case MLX_FLOAT16:
    case MLX_BFLOAT16:
    case MLX_FLOAT32:
    case MLX_FLOAT64:
    case MLX_COMPLEX64:
      return write_real(target, dtype, (double)value);
    default:
      return write_integer(target, dtype, value);
  }
}

/* --- buffers --- */

/* The dtype of elements that are copied as they are; -1 for others. */
static int dtype_of(const char *format, Py_ssize_t itemsize) {
  static const char letters[] = "?BHIQbhiqefd";
  static const Py_ssize_t sizes[] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 4, 8};
  if (format[0] && !format[1]) {
    const char *found = strchr(letters, format[0]);
    if (found && sizes[found - letters] == itemsize) {
      return (int)(found - letters);
    }
    return itemsize != 8 ? -1 : format[0] == 'l' ? MLX_INT64 : format[0] == 'L' ? MLX_UINT64 : -1;
  }
  return !strcmp(format, "Zf") && itemsize == 8 ? MLX_COMPLEX64 : -1;
}

/* What a view has by a name, which is made once. */
static PyObject *attribute(PyObject *view, const char *name, PyObject **interned) {
  *interned = *interned ? *interned : PyUnicode_InternFromString(name);
  return *interned ? PyObject_GetAttr(view, *interned) : NULL;
}

static bool read_found(PyObject *found, Value *value, char letter) {
  bool read = found && read_value(value, letter, found);
  Py_XDECREF(found);
  return read;
}

static bool read_shape(PyObject *view, Value *shape) {
  static PyObject *name;
  return read_found(attribute(view, "shape", &name), shape, 'n');
}

static bool read_format(PyObject *view, int *dtype) {
  static PyObject *names[2];
  Value itemsize;
  PyObject *format = attribute(view, "format", &names[0]);
  const char *text = format ? PyUnicode_AsUTF8AndSize(format, NULL) : NULL;
  bool read = text && read_found(attribute(view, "itemsize", &names[1]), &itemsize, 'u');
  *dtype = read ? dtype_of(text, (Py_ssize_t)itemsize.integer) : -1;
  Py_XDECREF(format);
  return *dtype >= 0;
}

/* Other libraries' float64 becomes float32 where nobody asks for it. */
static mlx_array narrowed(const double *numbers, size_t count, const Value *shape) {
  float *memory = PyMem_Malloc(count * sizeof *memory);
  mlx_array made = {0};
  for (size_t i = 0; memory && i < count; i++) {
    memory[i] = (float)numbers[i];
  }
  if (memory) {
    made = mlx_array_new_data(memory, shape->ints, shape->count, MLX_FLOAT32);
  }
  PyMem_Free(memory);
  return made;
}

/* Whether a scalar is numpy's datetime64 or timedelta64, which says that it is a row of bytes. */
static bool is_time(PyObject *object) {
  static PyObject *names[2];
  PyObject *dtype = attribute(object, "dtype", &names[0]);
  PyObject *kind = dtype ? attribute(dtype, "kind", &names[1]) : NULL;
  bool found = kind && PyUnicode_Check(kind) && (!PyUnicode_CompareWithASCIIString(kind, "M") ||
                                                 !PyUnicode_CompareWithASCIIString(kind, "m"));
  Py_XDECREF(dtype);
  Py_XDECREF(kind);
  PyErr_Clear();
  return found;
}

static bool copy_view(mlx_array *made, PyObject *object, PyObject *view, int dtype) {
  Value shape;
  const void *memory;
  Py_ssize_t bytes;
  int found;
  if (!read_format(view, &found) || !read_shape(view, &shape) ||
      PyObject_AsReadBuffer(view, &memory, &bytes) || !bytes) {
    return false;
  }
  if (found == MLX_UINT8 && is_time(object)) {
    return false;
  }
  if (found == MLX_FLOAT64 && (dtype < 0 || dtype == MLX_FLOAT32)) {
    *made = narrowed(memory, (size_t)bytes / sizeof(double), &shape);
    return true;
  }
  /* A GPU has no float64, and Python knows who converts it then. */
  if (found == MLX_FLOAT64 && dtype != found) {
    return false;
  }
  *made = mlx_array_new_data(memory, shape.ints, shape.count, (mlx_dtype)found);
  if (dtype >= 0 && dtype != found && made->ctx) {
    *made = converted(*made, dtype);
  }
  return true;
}

bool from_buffer(mlx_array *made, PyObject *object, int dtype) {
  PyObject *view = PyMemoryView_FromObject(object);
  bool copied = view && copy_view(made, object, view, dtype);
  Py_XDECREF(view);
  PyErr_Clear();
  return copied;
}
