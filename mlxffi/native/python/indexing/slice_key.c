/* Keys of Python, and strided parts of arrays (see slice_key.h). */

#include "indexing/slice_key.h"

#include "convert/from_python.h"

/* --- entries of keys --- */

/* The name of a type is what may be long: it is read as any attribute. */
static bool refuse_entry(PyObject *item) {
  PyObject *name = PyObject_GetAttrString((PyObject *)Py_TYPE(item), "__name__");
  if (name) {
    PyErr_Format(told.bounds, "Cannot index mlx array using the given type (%U).", name);
  }
  Py_XDECREF(name);
  return false;
}

static bool is_array_of_any_class(PyObject *item) {
  return PyObject_TypeCheck(item, (PyTypeObject *)owner_class);
}

/* The int of Python that stands for an integer of any library; NULL, without an exception, for anything else. */
static PyObject *integer_of(PyObject *item) {
  if (PyBool_Check(item) || is_array_of_any_class(item) || !PyIndex_Check(item)) {
    return NULL;
  }
  PyObject *integer = PyNumber_Index(item);
  if (!integer && PyErr_ExceptionMatches(PyExc_TypeError)) {
    PyErr_Clear();
  }
  return integer;
}

static bool read_position(Entry *entry, PyObject *item) {
  int overflow;
  PyObject *integer = PyLong_CheckExact(item) ? Py_NewRef(item) : integer_of(item);
  if (!integer) {
    return !PyErr_Occurred() && refuse_entry(item);
  }
  entry->kind = POSITION;
  entry->position = PyLong_AsLongLongAndOverflow(integer, &overflow);
  if (overflow) {
    refused(MLXFFI_ERROR_OTHER, "[index] expected a position of 64 bits, got %R", integer);
  }
  Py_DECREF(integer);
  return !overflow;
}

/* A bound of a slice, or its step. What is missing stays. */
static bool read_bound(Py_ssize_t *bound, PyObject *slice, const char *name, PyObject **place) {
  PyObject *wanted = interned(place, name);
  PyObject *given = wanted ? PyObject_GetAttr(slice, wanted) : NULL;
  PyObject *integer = !given || given == Py_None ? NULL : integer_of(given);
  int overflow = 0;
  bool missing = given == Py_None;
  int64_t value = integer ? PyLong_AsLongLongAndOverflow(integer, &overflow) : 0;
  if (overflow || value < INT32_MIN || value > INT32_MAX) {
    const char *text = "Slice indices must be 32-bit integers, got %R.";
    overflow ? refused(MLXFFI_ERROR_OTHER, text, integer) : PyErr_Format(told.bounds, text, integer);
  } else if (given && !missing && !integer && !PyErr_Occurred()) {
    PyErr_SetString(told.bounds, "Slice indices must be integers or None.");
  }
  *bound = missing ? *bound : (Py_ssize_t)value;
  Py_XDECREF(given);
  Py_XDECREF(integer);
  return !PyErr_Occurred();
}

static bool read_slice(Entry *entry, PyObject *slice) {
  static PyObject *names[3];
  entry->kind = SLICE;
  entry->step = 1;
  if (!read_bound(&entry->step, slice, "step", &names[2])) {
    return false;
  }
  if (!entry->step) {
    return PyErr_Format(told.bounds, "Slice steps must not be zero.");
  }
  entry->start = entry->step < 0 ? PY_SSIZE_T_MAX : 0;
  entry->stop = entry->step < 0 ? PY_SSIZE_T_MIN : PY_SSIZE_T_MAX;
  return read_bound(&entry->start, slice, "start", &names[0]) && read_bound(&entry->stop, slice, "stop", &names[1]);
}

/* Of an array, which is given up. */
static bool read_picks(Entry *entry, PyObject *array) {
  entry->kind = PICK;
  entry->kept = array;
  entry->picks = hold((mlx_array){array_of(array)});
  if (!entry->picks.ctx) {
    if (array && !PyErr_Occurred()) {
      raise_empty();
    }
    return false;
  }
  if (mlx_array_dtype(entry->picks) == MLX_BOOL) {
    return PyErr_Format(told.bounds, "boolean indices are not yet supported");
  }
  if (is_inexact(entry->picks)) {
    return PyErr_Format(told.bounds, "[index] Got indices with invalid dtype. Indices must be integral.");
  }
  return true;
}

static bool read_entry(Key *key, PyObject *item) {
  if (key->count == MOST) {
    return PyErr_Format(told.bounds, "An index can have at most %d entries.", MOST);
  }
  Entry *entry = &key->entries[key->count++];
  entry->kept = NULL;
  entry->picks = (mlx_array){0};
  entry->kind = item == Py_None ? NEW_AXIS : DOTS;
  if (item == Py_None || item == Py_Ellipsis) {
    return true;
  }
  key->used++;
  if (PySlice_Check(item)) {
    return read_slice(entry, item);
  }
  if (is_array_of_any_class(item)) {
    return read_picks(entry, Py_NewRef(item));
  }
  return PyList_Check(item) ? read_picks(entry, array_object(item)) : read_position(entry, item);
}

bool read_key(Key *key, PyObject *object) {
  bool tuple = PyTuple_Check(object), read = true;
  Py_ssize_t count = tuple ? PyTuple_Size(object) : 1;
  key->count = key->used = 0;
  for (Py_ssize_t i = 0; i < count && read; i++) {
    read = read_entry(key, tuple ? PyTuple_GetItem(object, i) : object);
  }
  return read;
}

void free_key(Key *key) {
  for (int i = 0; i < key->count; i++) {
    let_go(key->entries[i].picks);
    Py_XDECREF(key->entries[i].kept);
  }
}

/* --- strided parts --- */

static void add_axis(Part *part, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t step) {
  int axis = part->ndim++;
  part->starts[axis] = (int)start;
  part->stops[axis] = (int)stop;
  part->steps[axis] = (int)step;
}

static bool add_size(Part *part, Py_ssize_t size, int axis) {
  if (part->stay_num == MOST) {
    return PyErr_Format(told.bounds, "An array can have at most %d axes.", MOST);
  }
  part->of[part->stay_num] = axis;
  part->stay[part->stay_num++] = (int)size;
  return true;
}

bool add_whole(Part *part, int size) {
  add_axis(part, 0, size, 1);
  return add_size(part, size, part->ndim - 1);
}

static bool add_slice(Part *part, const Entry *slice, int size) {
  Py_ssize_t start = slice->start, stop = slice->stop, step = slice->step;
  Py_ssize_t count = PySlice_AdjustIndices(size, &start, &stop, step);
  step = count <= 1 ? 1 : step;
  start = count ? start : 0;
  stop = start + count * step;
  part->whole &= count == size && step == 1;
  /* Backwards over the first element: MLX takes -1 for the last one. */
  add_axis(part, start, stop < 0 ? -size - 1 : stop > size ? size : stop, step);
  return add_size(part, count, part->ndim - 1);
}

static bool add_position(Part *part, int64_t position, int size) {
  if (position < -(int64_t)size || position >= size) {
    return PyErr_Format(told.bounds, "[index] expected positions from %d to %d on axis %d, got %lld", -size, size - 1, part->ndim,
                 (long long)position);
  }
  position += position < 0 ? size : 0;
  part->whole &= size == 1;
  part->gone[part->gone_num++] = part->ndim;
  add_axis(part, (Py_ssize_t)position, (Py_ssize_t)position + 1, 1);
  return true;
}

bool add_entry(Part *part, const Entry *entry, int size) {
  if (entry->kind == NEW_AXIS) {
    part->added[part->added_num++] = part->stay_num;
    return add_size(part, 1, -1);
  }
  return entry->kind == SLICE ? add_slice(part, entry, size) : add_position(part, entry->position, size);
}

/* --- steps: each takes the array of the one before, and frees it --- */

bool follow(mlx_array *current, mlx_array next, int failed) {
  mlx_array_free(*current);
  *current = next;
  return !failed;
}

bool shape_with(Shaping *call, mlx_array *current, const int *numbers, int count, mlx_stream stream) {
  mlx_array next = {0};
  int failed = call(&next, *current, numbers, (size_t)count, stream);
  return follow(current, next, failed);
}

mlx_array strided_part(const Part *part, mlx_array array, mlx_stream stream) {
  size_t ndim = (size_t)part->ndim;
  mlx_array made = {0};
  if (part->whole) {
    mlx_array_set(&made, array);
  } else {
    mlx_slice(&made, array, part->starts, ndim, part->stops, ndim, part->steps, ndim, stream);
  }
  return made;
}

static bool along(Shaping *call, mlx_array *current, const int *axes, int count, int before, mlx_stream stream) {
  int places[MOST];
  for (int i = 0; i < count; i++) {
    places[i] = before + axes[i];
  }
  return !count || shape_with(call, current, places, count, stream);
}

bool with_axes_of(const Part *part, mlx_array *current, int before, mlx_stream stream) {
  return current->ctx && along(mlx_squeeze_axes, current, part->gone, part->gone_num, before, stream) &&
         along(mlx_expand_dims_axes, current, part->added, part->added_num, before, stream);
}

mlx_array take_part(const Part *part, mlx_array array, mlx_stream stream) {
  mlx_array current = {0};
  if (part->whole && part->added_num && !part->gone_num) { /* one step: it needs no handle before it */
    mlx_expand_dims_axes(&current, array, part->added, (size_t)part->added_num, stream);
    return current;
  }
  current = strided_part(part, array, stream);
  with_axes_of(part, &current, 0, stream);
  return current;
}

mlx_array put_part(const Part *part, mlx_array array, mlx_array values, mlx_stream stream) {
  size_t ndim = (size_t)part->ndim;
  mlx_array made = {0};
  if (part->whole) {
    mlx_broadcast_to(&made, values, mlx_array_shape(array), ndim, stream);
  } else {
    mlx_slice_update(&made, array, values, part->starts, ndim, part->stops, ndim, part->steps, ndim, stream);
  }
  return made;
}
