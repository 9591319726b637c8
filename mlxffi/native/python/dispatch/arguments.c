/* The arguments of operations as C reads them, and their results as Python takes them (see dispatch/arguments.h). */

#include "dispatch/arguments.h"

#include "objects/handle.h"

#include <string.h>

/* --- numbers --- */

static bool read_small(Value *value, PyObject *object) {
  return read_int64(&value->integer, object) && value->integer >= INT32_MIN && value->integer <= INT32_MAX;
}

static bool read_number(double *target, PyObject *object) {
  if (PyFloat_CheckExact(object)) {
    *target = PyFloat_AsDouble(object);
    return true;
  }
  int64_t value;
  bool fits = read_int64(&value, object);
  *target = fits ? (double)value : 0;
  return fits;
}

static bool read_flag(bool *target, PyObject *object) {
  *target = object == Py_True;
  return object == Py_True || object == Py_False;
}

static int read_items(void *target, bool wide, PyObject *sequence, bool list) {
  PyObject *(*item_of)(PyObject *, Py_ssize_t) = list ? PyList_GetItem : PyTuple_GetItem;
  Py_ssize_t size = list ? PyList_Size(sequence) : PyTuple_Size(sequence);
  if (size > (wide ? MOST_INTS / 2 : MOST_INTS)) {
    return -1;
  }
  for (Py_ssize_t i = 0; i < size; i++) {
    PyObject *item = item_of(sequence, i);
    if (!(wide ? read_int64((int64_t *)target + i, item) : read_int32((int *)target + i, item))) {
      return -1;
    }
  }
  return (int)size;
}

static int read_list(void *target, bool wide, PyObject *sequence) {
  int count = -1;
  bool list = PyList_CheckExact(sequence);
  if (list || PyTuple_CheckExact(sequence)) {
    LOCK(sequence)
    count = read_items(target, wide, sequence, list);
    UNLOCK
  }
  return count;
}

int read_ints(int *target, PyObject *sequence) {
  return read_list(target, false, sequence);
}

static bool read_one_or_more(Value *value, PyObject *object) {
  value->ints = value->few;
  if (PyLong_CheckExact(object)) {
    value->count = ONE_INT;
    return read_int32(value->ints, object);
  }
  value->count = read_ints(value->ints, object);
  return value->count >= 0;
}

bool is_one(const Value *value, const char *name) {
  if (value->count == ONE_INT) {
    PyErr_Format(PyExc_TypeError, "%s: expected a sequence of ints, got %R", name, value->object);
  }
  return value->count == ONE_INT;
}

bool reserve(Value *value, int count) {
  if (value->owned) {
    PyMem_Free(value->ints);
  }
  value->owned = count > MOST_INTS;
  value->ints = value->owned ? PyMem_Malloc((size_t)count * sizeof *value->ints) : value->few;
  if (!value->ints) {
    PyErr_NoMemory();
  }
  return value->ints;
}

bool room(Value *value, int count) {
  value->owned = false;
  value->made = NULL;
  return reserve(value, count);
}

bool all_axes(Value *value, mlx_array array) {
  value->count = (int)mlx_array_ndim(array);
  bool fits = reserve(value, value->count);
  for (int i = 0; fits && i < value->count; i++) {
    value->ints[i] = i;
  }
  return fits;
}

size_t ints_of(const Value *value) {
  return value->count == ONE_INT ? 1 : (size_t)value->count;
}

static bool repeat(Value *value, int count) {
  int one = value->ints[0];
  bool fits = reserve(value, count);
  for (int i = 0; fits && i < count; i++) {
    value->ints[i] = one;
  }
  value->count = count;
  return fits;
}

bool repeat_for(Value *value, const Value *axes) {
  return value->count != ONE_INT || !axes->given || axes->count == ONE_INT || repeat(value, axes->count);
}

bool spread(Value *value, int count, const char *name) {
  if (value->count == ONE_INT) {
    return repeat(value, count);
  }
  if (value->count != count) {
    PyErr_Format(PyExc_TypeError, "%s: expected an int or %d of them, got %R", name, count, value->object);
  }
  return value->count == count;
}

bool is_inexact(mlx_array array) {
  return is_inexact_dtype((int)mlx_array_dtype(array));
}

/* --- streams --- */

static bool read_stream(Value *value, PyObject *object) {
  value->stream = (mlx_stream){0};
  if (object == Py_None) {
    value->stream = mlxffi_default_stream();
    return true;
  }
  value->stream.ctx = stream_of(object);
  if (value->stream.ctx) {
    return true;
  }
  mlx_device device = device_for(object);
  value->owned = device.ctx && mlx_get_default_stream(&value->stream, device) == 0;
  mlx_device_free(device);
  return value->owned;
}

/* --- arrays --- */

static bool read_array(Value *value, PyObject *object) {
  value->array.ctx = is_array(object) ? ((ArrayOwner *)object)->array.ctx : NULL;
  return value->array.ctx && hold_array(value);
}

static bool read_text(Value *value, PyObject *object) {
  Py_ssize_t size = 0, length = 0;
  value->text = PyUnicode_CheckExact(object) ? PyUnicode_AsUTF8AndSize(object, &size) : NULL;
  if (!value->text) {
    PyErr_Clear();
    return false;
  }
  while (length < size && value->text[length]) {
    length++;
  }
  return length == size;
}

static bool read_vector(Value *value, PyObject *object) {
  bool plain = PyList_CheckExact(object) || PyTuple_CheckExact(object);
  value->owned = plain && pack_all(&value->vector, object) == PACKED;
  if (!value->owned) {
    PyErr_Clear();
  }
  return value->owned;
}

/* Python knows what else may stand for an array. */
static mlx_array array_by_python(PyObject *object, int dtype) {
  PyObject *known = dtype < 0 ? Py_NewRef(Py_None) : dtype_object(dtype);
  PyObject *array = PyObject_CallFunctionObjArgs(told.as_array, object, known, NULL);
  mlx_array made = {0};
  if (array) {
    made = own_handle((mlx_array){array_of(array)});
  }
  Py_XDECREF(array);
  Py_DECREF(known);
  return made;
}

bool array_beside(mlx_array *made, int dtype, PyObject *object) {
  if (is_array(object)) {
    *made = own_handle((mlx_array){array_of(object)});
  } else if (!number_beside(made, dtype, object)) {
    *made = array_by_python(object, dtype);
  }
  return made->ctx;
}

bool beside(Value *value, int dtype) {
  value->owned = array_beside(&value->array, dtype, value->object);
  return value->owned;
}

/* The dtype of an array among the operands, or -1. */
static int dtype_of_likes(const Value *values, const char *letters) {
  int dtype = -1;
  for (int i = 0; letters[i]; i++) {
    if ((letters[i] == 'l' || letters[i] == '=') && values[i].array.ctx) {
      dtype = mlx_array_dtype(values[i].array);
    }
  }
  return dtype;
}

/* Numbers among the parameters that may be one become arrays, in the dtype of the array beside them. */
bool match_likes(Value *values, const char *letters) {
  bool fit = true, known = false;
  for (int i = 0, dtype = -1; fit && letters[i]; i++) {
    if (letters[i] == 'l' && !values[i].array.ctx) {
      dtype = known ? dtype : dtype_of_likes(values, letters);
      known = true;
      fit = values[i].owned = number_beside(&values[i].array, dtype, values[i].object);
    }
  }
  return fit;
}

bool take_key(Value *value) {
  value->made = PyObject_CallNoArgs(told.next_key);
  value->array.ctx = array_of(value->made);
  return value->array.ctx;
}

bool take_keys(Value *values, const char *letters) {
  bool taken = true;
  for (int i = 0; taken && letters[i]; i++) {
    taken = letters[i] != 'r' || values[i].given || take_key(&values[i]);
  }
  return taken;
}

bool own(Value *value) {
  mlx_array made = {0};
  if (value->owned || !value->array.ctx) {
    return true;
  }
  made = own_handle(value->array);
  value->array = made;
  value->owned = made.ctx;
  return value->owned;
}

bool flatten(Value *value, mlx_stream stream) {
  mlx_array flat = {0};
  mlx_flatten(&flat, value->array, 0, -1, stream);
  if (value->owned) {
    mlx_array_free(value->array);
  }
  value->array = flat;
  value->owned = flat.ctx;
  return value->owned || raise_last_error();
}

/* --- all of them --- */

bool read_value(Value *value, char letter, PyObject *object) {
  value->object = object;
  value->given = object != Py_None;
  value->owned = false;
  value->made = NULL;
  switch (letter) {
    case 'a':
    case '=':
      return read_array(value, object);
    case 'A':
    case 'r':
      value->array.ctx = NULL;
      return !value->given || read_array(value, object);
    case 'l':
      return read_array(value, object) || PyFloat_CheckExact(object) || PyLong_CheckExact(object);
    case 'o':
    case 'm':
      value->array.ctx = NULL; /* see `beside` */
      return true;
    case 'I':
      value->integer = 0;
      return !value->given || read_small(value, object);
    case 'i':
      return read_small(value, object);
    case 'u':
      return read_int64(&value->integer, object) && value->integer >= 0;
    case 'B':
      value->flag = false;
      return !value->given || read_flag(&value->flag, object);
    case 'b':
      return read_flag(&value->flag, object);
    case 'F':
      value->number = 0;
      return !value->given || read_number(&value->number, object);
    case 'f':
      return read_number(&value->number, object);
    case 'n':
      value->ints = value->few;
      value->count = read_ints(value->ints, object);
      return value->count >= 0;
    case 'x':
      value->count = 0;
      value->ints = value->few;
      return !value->given || read_one_or_more(value, object);
    case 'N':
      return read_one_or_more(value, object);
    case 'q':
      value->longs = value->few_longs;
      value->count = read_list(value->longs, true, object);
      return value->count >= 0;
    case 'D':
      value->integer = 0;
      return !value->given || (value->integer = read_dtype(object)) >= 0;
    case 'd':
      return (value->integer = read_dtype(object)) >= 0;
    case 's':
      return read_stream(value, object);
    case 'w':
      return (value->stream.ctx = stream_of(object));
    case 'g':
    case 'G':
      value->handle = handle_of('g', object);
      return value->handle || (letter == 'G' && !value->given);
    case 'p':
      value->handle = device_for(object).ctx;
      return value->owned = value->handle;
    case 'T':
      return (value->integer = device_type_of(object)) >= 0;
    case 'y':
      value->text = NULL;
      return !value->given || read_text(value, object);
    case 't':
      return read_text(value, object);
    case 'v':
      return read_vector(value, object);
    default:
      return false;
  }
}

void free_owned(Value *value, char letter) {
  switch (letter) {
    case 's':
      mlx_stream_free(value->stream);
      break;
    case 'v':
      mlx_vector_array_free(value->vector);
      break;
    case 'n':
    case 'N':
    case 'x':
      PyMem_Free(value->ints);
      break;
    case 'q':
      PyMem_Free(value->longs);
      break;
    case 'p':
      mlx_device_free((mlx_device){value->handle});
      break;
    case 'V':
      mlx_vector_string_free((mlx_vector_string){value->handle});
      break;
    case 'M':
      mlx_map_string_to_array_free((mlx_map_string_to_array){value->handle});
      break;
    case 'S':
      mlx_map_string_to_string_free((mlx_map_string_to_string){value->handle});
      break;
    default:
      mlx_array_free(value->array);
  }
}

void free_values(Value *values, const char *letters, int count) {
  for (int i = 0; i < count; i++) {
    free_value(&values[i], letters[i]);
  }
}
