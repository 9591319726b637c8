/* Arrays of Python's numbers, lists and buffers, as operations (see dispatch/arguments.h).
 *
 * Lists are read twice: for their shape and what is in them, and then into memory. No code of Python runs meanwhile, as
 * nothing is read but ints, floats, bools, complex numbers, lists and tuples themselves. What does not fit, or fits in
 * some way only, is left to Python (core/_convert.py), which knows all rules and the words for errors.
 */

#include "convert/from_python.h"
#include "dispatch/arguments.h"
#include "dispatch/scalar_promotion.h"

#include <string.h>

/* --- what a list is --- */

typedef struct {
  int ndim, sizes[MOST_INTS];
  bool bools, ints, floats, complexes, arrays;
  int64_t smallest, largest;
} Contents;

static Py_ssize_t length_of(PyObject *sequence) {
  return PyList_CheckExact(sequence) ? PyList_Size(sequence) : PyTuple_CheckExact(sequence) ? PyTuple_Size(sequence) : -1;
}

static PyObject *item_of(PyObject *sequence, Py_ssize_t i) {
  return PyList_CheckExact(sequence) ? PyList_GetItem(sequence, i) : PyTuple_GetItem(sequence, i);
}

static bool note_int(Contents *contents, PyObject *object) {
  int64_t value;
  if (!read_int64(&value, object)) {
    return false;
  }
  contents->smallest = !contents->ints || value < contents->smallest ? value : contents->smallest;
  contents->largest = !contents->ints || value > contents->largest ? value : contents->largest;
  contents->ints = true;
  return true;
}

static bool note(Contents *contents, PyObject *object) {
  if (PyFloat_CheckExact(object)) {
    return contents->floats = true;
  }
  if (PyBool_Check(object)) {
    return contents->bools = true;
  }
  if (PyComplex_CheckExact(object)) {
    return contents->complexes = true;
  }
  if (is_array(object)) {
    return contents->arrays = true;
  }
  return note_int(contents, object);
}

/* The sizes along the first elements. */
static bool read_sizes(Contents *contents, PyObject *object) {
  for (Py_ssize_t size = length_of(object); size >= 0; size = length_of(object)) {
    if (contents->ndim == MOST_INTS || size > INT32_MAX) {
      return false;
    }
    contents->sizes[contents->ndim++] = (int)size;
    if (!size) {
      return true;
    }
    object = item_of(object, 0);
  }
  return true;
}

/* All other elements against these sizes. */
static bool read_contents(Contents *contents, PyObject *object, int axis) {
  Py_ssize_t size = length_of(object);
  if (axis == contents->ndim) {
    return size < 0 && note(contents, object);
  }
  if (size != contents->sizes[axis]) {
    return false;
  }
  for (Py_ssize_t i = 0; i < size; i++) {
    if (!read_contents(contents, item_of(object, i), axis + 1)) {
      return false;
    }
  }
  return true;
}

/* --- from it to an array --- */

static bool write_all(char **at, int dtype, size_t itemsize, PyObject *object) {
  Py_ssize_t size = length_of(object);
  if (size < 0) {
    bool written = write_number(*at, dtype, object);
    *at += itemsize;
    return written;
  }
  for (Py_ssize_t i = 0; i < size; i++) {
    if (!write_all(at, dtype, itemsize, item_of(object, i))) {
      return false;
    }
  }
  return true;
}

/* The dtype of numbers when nobody says which. */
static int usual_dtype(const Contents *contents) {
  if (contents->complexes) {
    return MLX_COMPLEX64;
  }
  if (contents->floats || (!contents->ints && !contents->bools)) {
    return MLX_FLOAT32;
  }
  if (!contents->ints) {
    return MLX_BOOL;
  }
  return contents->smallest >= INT32_MIN && contents->largest <= INT32_MAX ? MLX_INT32 : MLX_INT64;
}

#define FEW_BYTES 512

static bool from_numbers(mlx_array *made, const Contents *contents, PyObject *list, int dtype) {
  size_t itemsize = mlx_dtype_size((mlx_dtype)dtype), count = 1;
  for (int i = 0; i < contents->ndim; i++) {
    count *= (size_t)contents->sizes[i];
  }
  _Alignas(8) char few[FEW_BYTES];
  char *memory = count * itemsize <= FEW_BYTES ? few : PyMem_Malloc(count * itemsize), *at = memory;
  if (!memory) {
    return false;
  }
  bool written = write_all(&at, dtype, itemsize, list);
  if (written) {
    *made = mlx_array_new_data(memory, contents->sizes, contents->ndim, (mlx_dtype)dtype);
  }
  if (memory != few) {
    PyMem_Free(memory);
  }
  return written;
}

static int array_dtype(PyObject *object) {
  mlx_array array = {array_of(object)};
  return array.ctx ? (int)mlx_array_dtype(array) : -1;
}

static bool from_array(mlx_array *made, PyObject *object, int dtype) {
  mlx_array array = {array_of(object)};
  if (!array.ctx) {
    return false;
  }
  if (dtype < 0 || dtype == (int)mlx_array_dtype(array)) {
    return mlx_array_set(made, array) == 0;
  }
  mlx_stream stream = mlxffi_default_stream();
  int failed = mlx_astype(made, array, (mlx_dtype)dtype, stream);
  return !failed;
}

static bool like_first(mlx_vector_array rows, mlx_array row) {
  mlx_array first = {0};
  mlx_vector_array_get(&first, rows, 0);
  size_t ndim = mlx_array_ndim(first);
  bool like = ndim == mlx_array_ndim(row) && !memcmp(mlx_array_shape(first), mlx_array_shape(row), ndim * sizeof(int));
  mlx_array_free(first);
  return like;
}

/* Lists of arrays of one shape, stacked from the inside. */
static bool from_arrays(mlx_array *made, PyObject *list) {
  Py_ssize_t size = length_of(list);
  mlx_vector_array rows = mlx_vector_array_new();
  bool read = size > 0;
  for (Py_ssize_t i = 0; i < size && read; i++) {
    PyObject *item = item_of(list, i);
    mlx_array row = {0};
    read = is_array(item) ? from_array(&row, item, -1) : length_of(item) > 0 && from_arrays(&row, item);
    read = read && row.ctx && mlx_vector_array_append_value(rows, row) == 0 && like_first(rows, row);
    mlx_array_free(row);
  }
  mlx_stream stream = mlxffi_default_stream();
  read = read && mlx_stack(made, rows, stream) == 0;
  mlx_vector_array_free(rows);
  return read;
}

static bool from_list(mlx_array *made, PyObject *list, int dtype) {
  Contents contents = {0};
  if (!read_sizes(&contents, list) || !read_contents(&contents, list, 0)) {
    return false;
  }
  bool numbers = contents.bools || contents.ints || contents.floats || contents.complexes;
  if (contents.arrays) {
    return !numbers && dtype < 0 && from_arrays(made, list);
  }
  /* Ints among floats are floats on the way: Python knows. */
  if (dtype >= 0 && contents.ints && (contents.floats || contents.complexes)) {
    return false;
  }
  return from_numbers(made, &contents, list, dtype < 0 ? usual_dtype(&contents) : dtype);
}

/* --- from other things --- */

static bool from_number(mlx_array *made, PyObject *object, int dtype) {
  Contents contents = {0};
  if (!note(&contents, object)) {
    return false;
  }
  return from_numbers(made, &contents, object, dtype < 0 ? usual_dtype(&contents) : dtype);
}

/* False, without an exception, for what is left to Python. */
static bool from_value(mlx_array *made, PyObject *object, int dtype) {
  bool read;
  if (is_array(object)) {
    read = from_array(made, object, dtype);
  } else if (length_of(object) >= 0) {
    read = from_list(made, object, dtype);
  } else if (PyFloat_CheckExact(object) || PyLong_Check(object) || PyComplex_CheckExact(object)) {
    read = from_number(made, object, dtype);
  } else {
    read = !PyObject_TypeCheck(object, (PyTypeObject *)owner_class) && from_buffer(made, object, dtype);
  }
  return read && made->ctx;
}

PyObject *array_object(PyObject *value) {
  mlx_array made = {0};
  return from_value(&made, value, -1) ? one(made) : PyObject_CallFunctionObjArgs(told.array, value, NULL);
}

/* self, val, dtype */
static PyObject *initialize(Value *v) {
  mlx_array made = {0};
  PyObject *self = v[0].object;
  int dtype = v[2].given ? (int)v[2].integer : -1;
  if (!PyObject_TypeCheck(self, (PyTypeObject *)told.array) || !from_value(&made, v[1].object, dtype)) {
    return left_to_python;
  }
  PyObject *same = replaced(self, made);
  if (!same) {
    return NULL;
  }
  Py_DECREF(same);
  Py_RETURN_NONE;
}

/* A copy, also where an array would do. */
static bool copy_array(mlx_array *made, PyObject *object, int dtype) {
  mlx_array copy = {0}, array = {array_of(object)};
  mlx_stream stream = mlxffi_default_stream();
  bool copied = array.ctx && mlx_copy(&copy, array, stream) == 0;
  *made = !copied || dtype < 0 ? copy : converted(copy, dtype);
  return made->ctx != NULL;
}

/* a, dtype, copy: an array itself where nothing is to be done with it */
static PyObject *asarray(Value *v) {
  mlx_array made = {0};
  PyObject *object = v[0].object, *copy = v[2].object;
  int dtype = v[1].given ? (int)v[1].integer : -1;
  bool array = is_array(object);
  if (copy == Py_None && array && (dtype < 0 || dtype == array_dtype(object))) {
    Py_INCREF(object);
    return object;
  }
  if (copy == Py_True && array) {
    return copy_array(&made, object, dtype) ? one(made) : left_to_python;
  }
  return copy != Py_False && from_value(&made, object, dtype) ? one(made) : left_to_python;
}

const Row literal_rows[] = {
  {"array", "ooD", initialize},
  {"asarray", "oDo", asarray},
  {NULL, NULL, NULL},
};
