/* Arrays of Python's numbers, lists and buffers, as operations (see dispatch/arguments.h).
 *
 * Lists are read twice: for their shape and what is in them, and then into memory. No code of Python runs meanwhile, as
 * nothing is read but numbers, lists and tuples (and classes derived from them) themselves. Lists with anything else in
 * them, and other libraries' objects, are left to Python (core/_convert.py). */

#include "convert/from_python.h"
#include "dispatch/conversions.h"

#include <string.h>

/* --- what a list is --- */

#define FEW 16
/* Lists within lists; no array has more axes of more than one element than the other. */
#define DEEPEST 100000
#define MOST_BRANCHES 64

typedef struct {
  int ndim, few[FEW], *sizes; /* the sizes along the first elements, in `few` where they fit */
  bool bools, ints, floats, complexes, arrays, others;
  bool uneven; /* other elements have other sizes */
  int64_t smallest, largest;
  PyObject *huge; /* an int that is none of C's, lent */
} Contents;

/* What is in a list or tuple; anything else has a size of -1. */
typedef struct {
  PyObject *object;
  Py_ssize_t size;
  bool list;
} Items;

/* Whether it is no list, as most elements show without a call. */
static bool is_plain(PyObject *object) {
  return PyFloat_CheckExact(object) || PyLong_CheckExact(object) || PyBool_Check(object);
}

static Items items_of(PyObject *object) {
  Items items = {object, -1, PyList_CheckExact(object)};
  if (!items.list && !is_plain(object)) {
    items.list = PyList_Check(object);
    items.size = !items.list && PyTuple_Check(object) ? PyTuple_Size(object) : -1;
  }
  items.size = items.list ? PyList_Size(object) : items.size;
  return items;
}

static PyObject *item_of(Items items, Py_ssize_t i) {
  return items.list ? PyList_GetItem(items.object, i) : PyTuple_GetItem(items.object, i);
}

/* A list or tuple that no other thread changes: where there is no GIL, lists of its own; NULL after an exception. */
static PyObject *settled(PyObject *object) {
  Items items;
  if (!FREE_THREADS || (items = items_of(object)).size < 0) {
    return Py_NewRef(object);
  }
  PyObject *list = items.list ? PyList_GetSlice(object, 0, items.size) : PyList_New(items.size);
  if (!list || Py_EnterRecursiveCall(": a list is too deep, or contains itself")) {
    Py_XDECREF(list);
    return NULL;
  }
  for (Py_ssize_t i = 0; list && i < PyList_Size(list); i++) {
    PyObject *item = settled(items.list ? PyList_GetItem(list, i) : PyTuple_GetItem(object, i));
    if (!item || PyList_SetItem(list, i, item)) {
      Py_CLEAR(list);
    }
  }
  Py_LeaveRecursiveCall();
  return list;
}

static void note_int(Contents *contents, PyObject *object) {
  int overflow;
  int64_t value = PyLong_AsLongLongAndOverflow(object, &overflow);
  contents->huge = overflow ? object : contents->huge;
  contents->smallest = !contents->ints || value < contents->smallest ? value : contents->smallest;
  contents->largest = !contents->ints || value > contents->largest ? value : contents->largest;
  contents->ints = true;
}

static void note(Contents *contents, PyObject *object) {
  if (PyFloat_CheckExact(object)) {
    contents->floats = true;
  } else if (PyBool_Check(object)) {
    contents->bools = true;
  } else if (PyLong_Check(object)) {
    note_int(contents, object);
  } else if (PyFloat_Check(object)) {
    contents->floats = true;
  } else if (PyComplex_Check(object)) {
    contents->complexes = true;
  } else if (is_array(object)) {
    contents->arrays = true;
  } else {
    contents->others = true;
  }
}

static int depth_of(PyObject *list) {
  int depth = 0;
  Items items = items_of(list);
  for (; items.size > 0 && depth <= DEEPEST; depth++) {
    items = items_of(item_of(items, 0));
  }
  return depth + (items.size == 0);
}

/* The sizes along the first elements; false after an exception. */
static bool read_sizes(Contents *contents, PyObject *object) {
  contents->ndim = depth_of(object);
  if (contents->ndim > DEEPEST) {
    return PyErr_Format(PyExc_RecursionError, "a list is too deep, or contains itself");
  }
  contents->sizes = contents->ndim <= FEW ? contents->few : PyMem_Malloc((size_t)contents->ndim * sizeof(int));
  if (!contents->sizes) {
    return PyErr_NoMemory();
  }
  for (int i = 0; i < contents->ndim; i++) {
    Items items = items_of(object);
    if (items.size > INT32_MAX) {
      return refused(MLXFFI_ERROR_INVALID_ARGUMENT, "value: expected lists of at most 2**31 - 1 elements, got %zd", items.size);
    }
    contents->sizes[i] = (int)items.size;
    object = items.size ? item_of(items, 0) : object;
  }
  return true;
}

static void free_sizes(Contents *contents) {
  if (contents->sizes != contents->few) {
    PyMem_Free(contents->sizes);
  }
}

/* All other elements against these sizes. Lists of one element are no branch: there may be many in each other. */
static void read_contents(Contents *contents, PyObject *object, int axis, int branches) {
  Items items = items_of(object);
  for (; axis < contents->ndim && items.size == 1 && contents->sizes[axis] == 1; axis++) {
    items = items_of(item_of(items, 0));
  }
  bool innermost = axis + 1 == contents->ndim;
  if (axis == contents->ndim && items.size < 0) {
    note(contents, items.object);
  } else if (axis == contents->ndim || items.size != contents->sizes[axis] || branches == MOST_BRANCHES) {
    contents->uneven = true;
  } else {
    for (Py_ssize_t i = 0; i < items.size && !contents->uneven; i++) {
      PyObject *item = item_of(items, i);
      if (innermost && is_plain(item)) {
        note(contents, item);
      } else {
        read_contents(contents, item, axis + 1, branches + 1);
      }
    }
  }
}

/* --- from it to an array --- */

typedef struct {
  char *at;
  int dtype;
  size_t itemsize;
  Reading reading;
} Target;

static void write_one(Target *target, PyObject *number) {
  write_number(target->at, target->dtype, target->reading, number);
  target->at += target->itemsize;
}

static void write_all(Target *target, PyObject *object) {
  Items items = items_of(object);
  while (items.size == 1) {
    items = items_of(item_of(items, 0));
  }
  if (items.size < 0) {
    write_one(target, items.object);
  }
  for (Py_ssize_t i = 0; i < items.size; i++) {
    PyObject *item = item_of(items, i);
    (is_plain(item) ? write_one : write_all)(target, item);
  }
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
  bool narrow = !contents->huge && contents->smallest >= INT32_MIN && contents->largest <= INT32_MAX;
  return narrow ? MLX_INT32 : MLX_INT64;
}

#define FEW_BYTES 512

/* An empty array after an exception. */
static mlx_array from_numbers(const Contents *contents, PyObject *list, int dtype) {
  mlx_array made = {0};
  size_t itemsize = mlx_dtype_size((mlx_dtype)dtype), count = 1;
  for (int i = 0; i < contents->ndim; i++) {
    count *= (size_t)contents->sizes[i];
  }
  _Alignas(8) char few[FEW_BYTES];
  char *memory = count * itemsize <= FEW_BYTES ? few : PyMem_Malloc(count * itemsize);
  if (!memory) {
    PyErr_NoMemory();
    return made;
  }
  Reading reading = contents->complexes ? AS_FLOAT32 : contents->floats ? AS_FLOAT64 : AS_IT_IS;
  write_all(&(Target){memory, dtype, itemsize, reading}, list);
  made = mlx_array_new_data(memory, contents->sizes, contents->ndim, (mlx_dtype)dtype);
  if (memory != few) {
    PyMem_Free(memory);
  }
  if (!made.ctx) {
    raise_last_error();
  }
  return made;
}

/* The ints that C++ reads a list as, before it makes another dtype of them. */
static void range_of(int64_t *low, int64_t *high, const Contents *contents, int dtype) {
  bool wide = contents->floats || contents->complexes || dtype == MLX_INT64 || is_inexact_dtype(dtype);
  bool natural = !wide && (dtype == MLX_UINT32 || dtype == MLX_UINT64);
  *low = wide ? INT64_MIN : natural ? 0 : INT32_MIN;
  *high = wide || dtype == MLX_UINT64 ? INT64_MAX : dtype == MLX_UINT32 ? UINT32_MAX : INT32_MAX;
}

static bool require_range(const Contents *contents, int dtype) {
  int64_t low, high;
  range_of(&low, &high, contents, dtype);
  if (!contents->ints || (!contents->huge && contents->smallest >= low && contents->largest <= high)) {
    return true;
  }
  PyObject *other = PyLong_FromLongLong(contents->smallest < low ? contents->smallest : contents->largest);
  PyObject *name = PyObject_GetAttrString(PyTuple_GetItem(told.dtypes, dtype), "name");
  if (other && name) {
    refused(MLXFFI_ERROR_OTHER, "value: expected integers from %lld to %lld for %U, got %R", (long long)low,
            (long long)high, name, contents->huge ? contents->huge : other);
  }
  Py_XDECREF(other);
  Py_XDECREF(name);
  return false;
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
  Items items = items_of(list);
  mlx_vector_array rows = mlx_vector_array_new();
  bool read = items.size > 0;
  for (Py_ssize_t i = 0; i < items.size && read; i++) {
    PyObject *item = item_of(items, i);
    mlx_array row = {0};
    read = is_array(item) ? from_array(&row, item, -1) : from_arrays(&row, item);
    read = read && row.ctx && mlx_vector_array_append_value(rows, row) == 0 && like_first(rows, row);
    mlx_array_free(row);
  }
  mlx_stream stream = mlxffi_default_stream();
  read = read && mlx_stack(made, rows, stream) == 0;
  mlx_vector_array_free(rows);
  return read;
}

/* What was read as an array; false for what is left to Python. */
static bool from_contents(mlx_array *made, const Contents *contents, PyObject *list, int dtype) {
  bool numbers = contents->bools || contents->ints || contents->floats || contents->complexes;
  if (contents->others || (contents->arrays && (numbers || contents->uneven || dtype >= 0))) {
    return false;
  }
  if (contents->arrays) {
    return from_arrays(made, list) && made->ctx;
  }
  dtype = dtype < 0 ? usual_dtype(contents) : dtype;
  if (contents->uneven) {
    refused(MLXFFI_ERROR_INVALID_ARGUMENT, "Initialization encountered non-uniform length.");
  } else if (require_range(contents, dtype)) {
    *made = from_numbers(contents, list, dtype);
  }
  return true;
}

static bool from_settled_list(mlx_array *made, PyObject *list, int dtype) {
  Contents contents = {0};
  bool sized = read_sizes(&contents, list);
  if (sized) {
    read_contents(&contents, list, 0, 0);
  }
  bool read = !sized || from_contents(made, &contents, list, dtype);
  free_sizes(&contents);
  return read;
}

/* Whether this is such a list; the array is empty after an exception. */
static bool from_list(mlx_array *made, PyObject *object, int dtype) {
  PyObject *list = settled(object);
  bool read = !list || from_settled_list(made, list, dtype);
  Py_XDECREF(list);
  return read;
}

/* --- from other things --- */

/* One that needs more than 64 bits is no number of C's. */
static void from_number(mlx_array *made, PyObject *object, int dtype) {
  Contents contents = {0};
  contents.sizes = contents.few;
  note(&contents, object);
  if (contents.huge) {
    refused(MLXFFI_ERROR_OTHER, "expected integers of 64 bits, got %R", object);
  } else {
    *made = from_numbers(&contents, object, dtype < 0 ? usual_dtype(&contents) : dtype);
  }
}

static bool is_number(PyObject *object) {
  return is_plain(object) || PyFloat_Check(object) || PyLong_Check(object) || PyComplex_Check(object);
}

/* False, without an exception, for what is left to Python; the array is empty after an exception. */
static bool from_value(mlx_array *made, PyObject *object, int dtype) {
  if (items_of(object).size >= 0) {
    return from_list(made, object, dtype);
  }
  if (is_number(object)) {
    from_number(made, object, dtype);
    return true;
  }
  bool array = PyObject_TypeCheck(object, (PyTypeObject *)owner_class);
  bool read = array ? from_array(made, object, dtype) : from_buffer(made, object, dtype);
  return read && made->ctx;
}

PyObject *array_object(PyObject *value) {
  mlx_array made = {0};
  if (from_value(&made, value, -1)) {
    return made.ctx ? one(made) : NULL;
  }
  return PyObject_CallFunctionObjArgs(told.array, value, NULL);
}

/* A number or a list, and a dtype or None: an array, or None for a list with something else than numbers in it, and for
 * everything else. */
static PyObject *array_of_numbers(Value *v) {
  mlx_array made = {0};
  int dtype = v[1].given ? (int)v[1].integer : -1;
  if (is_number(v[0].object)) {
    from_number(&made, v[0].object, dtype);
  } else if (items_of(v[0].object).size < 0 || !from_list(&made, v[0].object, dtype)) {
    Py_RETURN_NONE;
  }
  return made.ctx ? one(made) : NULL;
}

const AbiRow literal_functions[] = {
  {{"array_of_numbers", "oD", array_of_numbers}, "value,dtype"},
  {{NULL, NULL, NULL}, NULL},
};

/* self, val, dtype */
static PyObject *initialize(Value *v) {
  mlx_array made = {0};
  PyObject *self = v[0].object;
  int dtype = v[2].given ? (int)v[2].integer : -1;
  if (!PyObject_TypeCheck(self, (PyTypeObject *)told.array) || !from_value(&made, v[1].object, dtype)) {
    return left_to_python;
  }
  PyObject *same = made.ctx ? replaced(self, made) : NULL;
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

/* a, dtype, copy: another array also where nothing is to be done with one, which assignments to it must not change */
static PyObject *asarray(Value *v) {
  mlx_array made = {0};
  PyObject *object = v[0].object, *copy = v[2].object;
  int dtype = v[1].given ? (int)v[1].integer : -1;
  bool array = is_array(object);
  if (copy == Py_True && array) {
    return copy_array(&made, object, dtype) ? one(made) : left_to_python;
  }
  if (copy == Py_False || !from_value(&made, object, dtype)) {
    return left_to_python;
  }
  return made.ctx ? one(made) : NULL;
}

const Row literal_rows[] = {
  {"array", "ooD", initialize},
  {"asarray", "oDo", asarray},
  {NULL, NULL, NULL},
};
