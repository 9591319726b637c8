/* Elements of arrays from buffers (see from_python.h). */

#include "convert/from_python.h"
#include "dispatch/scalar_promotion.h"

#include <string.h>

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

bool has_attribute(PyObject *object, const char *name, PyObject **place) {
  PyObject *wanted = interned(place, name);
  return wanted ? PyObject_HasAttr(object, wanted) : (PyErr_Clear(), false);
}

/* What a view has by a name, which is made once. */
static PyObject *attribute(PyObject *view, const char *name, PyObject **place) {
  PyObject *wanted = interned(place, name);
  return wanted ? PyObject_GetAttr(view, wanted) : NULL;
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
  /* Asked for first: an AttributeError takes as long as all of the rest. */
  bool scalar = has_attribute(object, "dtype", &names[0]);
  PyObject *dtype = scalar ? attribute(object, "dtype", &names[0]) : NULL;
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

/* Whether it stands for an array of ours, whose graph its memory knows nothing of: a gradient would end there. */
static bool has_graph(PyObject *object) {
  static PyObject *names[2];
  return has_attribute(object, "_mlxffi_share", &names[0]) || has_attribute(object, "__mlx_array__", &names[1]);
}

bool from_buffer(mlx_array *made, PyObject *object, int dtype) {
  PyObject *view = has_graph(object) ? NULL : PyMemoryView_FromObject(object);
  bool copied = view && copy_view(made, object, view, dtype);
  Py_XDECREF(view);
  PyErr_Clear();
  return copied;
}
