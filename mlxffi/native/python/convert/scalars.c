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

/* The low bytes of it, whatever the byte order. */
static void write_integer(void *target, int dtype, int64_t value) {
  switch (mlx_dtype_size((mlx_dtype)dtype)) {
    case 1:
      *(int8_t *)target = (int8_t)value;
      break;
    case 2:
      *(int16_t *)target = (int16_t)value;
      break;
    case 4:
      *(int32_t *)target = (int32_t)value;
      break;
    default:
      *(int64_t *)target = value;
  }
}

/* A float as an integer, where the processor's answer to what does not fit is the smallest one. */
static int64_t truncated(int dtype, double value) {
  if (mlx_dtype_size((mlx_dtype)dtype) <= 2 || dtype == MLX_INT32) {
    return value > -0x1p31 - 1 && value < 0x1p31 ? (int64_t)value : INT32_MIN;
  }
  if (dtype == MLX_UINT64 && value >= 0x1p63) {
    return value < 0x1p64 ? (int64_t)(uint64_t)value : 0;
  }
  return value > -0x1p63 && value < 0x1p63 ? (int64_t)value : INT64_MIN;
}

static void write_real(void *target, int dtype, double value) {
  switch (dtype) {
    case MLX_BOOL:
      *(bool *)target = value != 0;
      break;
    case MLX_FLOAT16:
      *(uint16_t *)target = half_of((float)value);
      break;
    case MLX_BFLOAT16:
      *(uint16_t *)target = bfloat16_of((float)value);
      break;
    case MLX_FLOAT32:
      *(float *)target = (float)value;
      break;
    case MLX_FLOAT64:
      *(double *)target = value;
      break;
    case MLX_COMPLEX64:
      ((float *)target)[0] = (float)value;
      ((float *)target)[1] = 0;
      break;
    default:
      write_integer(target, dtype, truncated(dtype, value));
  }
}

void write_number(void *target, int dtype, Reading reading, PyObject *object) {
  if (PyLong_Check(object) && reading == AS_IT_IS && !is_inexact_dtype(dtype)) {
    int overflow;
    int64_t value = PyLong_AsLongLongAndOverflow(object, &overflow);
    write_integer(target, dtype, dtype == MLX_BOOL ? value != 0 : value);
    return;
  }
  double real = PyLong_Check(object)      ? (double)PyLong_AsLongLong(object)
                : PyComplex_Check(object) ? PyComplex_RealAsDouble(object)
                                          : PyFloat_AsDouble(object);
  write_real(target, dtype, reading == AS_FLOAT32 && dtype != MLX_COMPLEX64 ? (float)real : real);
  if (PyComplex_Check(object) && dtype == MLX_COMPLEX64) {
    ((float *)target)[1] = (float)PyComplex_ImagAsDouble(object);
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
