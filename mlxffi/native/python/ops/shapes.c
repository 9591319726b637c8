/* Operations that change shapes, and those that take parts and put arrays together, where their arguments are not
 * regular (see dispatch/arguments.h). */

#include "dispatch/conversions.h"

#include <string.h>

/* --- axes --- */

/* a, stream, and the sizes one by one or as one sequence */
static PyObject *reshape_by_rest(Value *v) {
  mlx_array made = {0};
  Value sizes;
  bool read = convert_rest(&sizes, "reshape", "shape", &v[2]);
  if (read) {
    mlx_reshape(&made, v[0].array, sizes.ints, (size_t)sizes.count, v[1].stream);
  }
  free_value(&sizes, 'n');
  return read ? one(made) : NULL;
}

static PyObject *transpose_by_rest(Value *v) {
  mlx_array made = {0};
  Value axes;
  bool read = convert_rest(&axes, "transpose", "axes", &v[2]);
  if (read && v[2].count) {
    mlx_transpose_axes(&made, v[0].array, axes.ints, (size_t)axes.count, v[1].stream);
  } else if (read) {
    mlx_transpose(&made, v[0].array, v[1].stream);
  }
  free_value(&axes, 'n');
  return read ? one(made) : NULL;
}

/* The strides of rows one after the other; false after an exception. */
static bool row_major(Value *strides, const int *shape, int ndim) {
  int64_t stride = 1;
  strides->count = ndim;
  strides->longs = PyMem_Malloc((size_t)(ndim ? ndim : 1) * sizeof *strides->longs);
  strides->owned = strides->longs;
  for (int i = ndim - 1; strides->owned && i >= 0; i--) {
    strides->longs[i] = stride;
    stride *= shape[i];
  }
  return strides->owned || PyErr_NoMemory();
}

/* a, shape, strides, offset, stream */
static PyObject *as_strided(Value *v) {
  mlx_array made = {0}, a = v[0].array;
  Value strides = {0};
  if (is_one(&v[1], "shape")) {
    return NULL;
  }
  const int *shape = v[1].given ? v[1].ints : mlx_array_shape(a);
  int ndim = v[1].given ? v[1].count : (int)mlx_array_ndim(a);
  bool read = v[2].object == Py_None ? row_major(&strides, shape, ndim)
                                     : convert_object(&strides, 'q', "as_strided", "strides", v[2].object);
  if (read) {
    size_t count = (size_t)strides.count;
    mlx_as_strided(&made, a, shape, (size_t)ndim, strides.longs, count, (size_t)v[3].integer, v[4].stream);
  }
  free_value(&strides, 'q');
  return read ? one(made) : NULL;
}

/* --- parts --- */

/* Why there is nothing to take along an axis; false after that is raised. */
static bool may_take(mlx_array a, int axis) {
  int ndim = (int)mlx_array_ndim(a);
  if (axis < -ndim || axis >= ndim) {
    return refused(MLXFFI_ERROR_OUT_OF_RANGE, "[take] Received invalid axis %d for array with %d dimensions.", axis, ndim);
  }
  if (!mlx_array_size(a)) {
    return refused(MLXFFI_ERROR_INVALID_ARGUMENT, "[take] Cannot do a non-empty take from an array with zero elements.");
  }
  return true;
}

/* The same of a position. */
static bool is_within(mlx_array a, int axis, int64_t position) {
  int at = axis < 0 ? axis + (int)mlx_array_ndim(a) : axis, size = mlx_array_shape(a)[at];
  return (position >= -size && position < size) ||
         refused(MLXFFI_ERROR_OUT_OF_RANGE, "[take] indices: expected positions from %d to %d on axis %d, got %lld", -size, size - 1, at, (long long)position);
}

/* One position takes its axis away: a slice of one element. */
static mlx_array taken(mlx_array a, int position, int axis, mlx_stream stream) {
  mlx_array part = {0}, made = {0};
  Value bounds;
  int ndim = (int)mlx_array_ndim(a), at = axis < 0 ? axis + ndim : axis;
  if (!room(&bounds, 3 * ndim)) {
    return made;
  }
  position += position < 0 ? mlx_array_shape(a)[at] : 0;
  int *starts = bounds.ints, *stops = starts + ndim, *steps = stops + ndim;
  for (int i = 0; i < ndim; i++) {
    starts[i] = i == at ? position : 0;
    stops[i] = i == at ? position + 1 : mlx_array_shape(a)[i];
    steps[i] = 1;
  }
  size_t count = (size_t)ndim;
  if (!mlx_slice(&part, a, starts, count, stops, count, steps, count, stream)) {
    mlx_squeeze_axis(&made, part, at, stream);
    mlx_array_free(part);
  }
  free_value(&bounds, 'n');
  return made;
}

static PyObject *take_one(Value *v) {
  Value position;
  int axis = (int)v[2].integer;
  if (!PyLong_Check(v[1].object)) {
    return PyErr_Format(PyExc_TypeError, "indices: expected an int or an array, got %R", Py_TYPE(v[1].object));
  }
  bool read = (v[2].given || flatten(&v[0], v[3].stream)) && may_take(v[0].array, axis) &&
              convert_object(&position, 'i', "take", "indices", v[1].object) &&
              is_within(v[0].array, axis, position.integer);
  return read ? one(taken(v[0].array, (int)position.integer, axis, v[3].stream)) : NULL;
}

/* a, indices, axis, stream */
static PyObject *take(Value *v) {
  mlx_array made = {0}, indices = {array_of(v[1].object)};
  if (!indices.ctx) {
    return take_one(v);
  }
  if (v[2].given) {
    mlx_take_axis(&made, v[0].array, indices, (int)v[2].integer, v[3].stream);
  } else {
    mlx_take(&made, v[0].array, indices, v[3].stream);
  }
  return one(made);
}

/* a, indices, values, axis, stream */
static PyObject *put_along_axis(Value *v) {
  mlx_array made = {0}, flat = {0}, put = {0}, a = v[0].array;
  mlx_stream stream = v[4].stream;
  if (v[3].given) {
    mlx_put_along_axis(&made, a, v[1].array, v[2].array, (int)v[3].integer, stream);
  } else if (!mlx_flatten(&flat, a, 0, -1, stream) && !mlx_put_along_axis(&put, flat, v[1].array, v[2].array, 0, stream)) {
    mlx_reshape(&made, put, mlx_array_shape(a), mlx_array_ndim(a), stream);
  }
  mlx_array_free(put);
  mlx_array_free(flat);
  return one(made);
}

/* a, size, return_index, return_inverse, return_counts, fill_value, stream: one array, or a tuple of several */
static PyObject *unique(Value *v) {
  mlx_vector_array made = {0};
  mlx_array a = v[0].array;
  if (v[5].given && !beside(&v[5], mlx_array_dtype(a))) {
    return NULL;
  }
  mlx_unique(&made, a, (int)v[1].integer, v[2].flag, v[3].flag, v[4].flag, v[5].array, v[6].stream);
  return one_or_tupled(made);
}

/* --- several arrays --- */

/* The arrays that `*arguments` stand for, as a new vector; an empty one after an exception. */
static mlx_vector_array packed_arrays(const Value *rest) {
  mlx_vector_array made = mlx_vector_array_new();
  bool read = made.ctx;
  for (int i = 0; i < rest->count && read; i++) {
    mlx_array array = {0};
    read = array_beside(&array, -1, rest->items[i]) && !mlx_vector_array_append_value(made, array);
    mlx_array_free(array);
  }
  if (!read) {
    if (!PyErr_Occurred()) {
      raise_last_error();
    }
    mlx_vector_array_free(made);
    made.ctx = NULL;
  }
  return made;
}

/* stream, and arrays */
static PyObject *broadcast_arrays(Value *v) {
  mlx_vector_array made = {0}, given = packed_arrays(&v[1]);
  if (!given.ctx) {
    return NULL;
  }
  mlx_broadcast_arrays(&made, given, v[0].stream);
  mlx_vector_array_free(given);
  return listed(made);
}

/* sparse, indexing, stream, and arrays */
static PyObject *meshgrid(Value *v) {
  mlx_vector_array made = {0}, given = packed_arrays(&v[3]);
  if (!given.ctx) {
    return NULL;
  }
  mlx_meshgrid(&made, given, v[0].flag, v[1].text, v[2].stream);
  mlx_vector_array_free(given);
  return tupled(made);
}

typedef int AtLeast(mlx_array *result, const mlx_array a, const mlx_stream s);

static PyObject *with_axes(AtLeast *call, PyObject *object, mlx_stream stream) {
  mlx_array given = {0}, made = {0};
  if (!array_beside(&given, -1, object)) {
    return NULL;
  }
  call(&made, given, stream);
  mlx_array_free(given);
  return one(made);
}

/* stream, and arrays: one array for one, else a list */
static PyObject *at_least(AtLeast *call, Value *v) {
  if (v[1].count == 1) {
    return with_axes(call, v[1].items[0], v[0].stream);
  }
  PyObject *list = PyList_New(v[1].count);
  for (int i = 0; list && i < v[1].count; i++) {
    PyObject *made = with_axes(call, v[1].items[i], v[0].stream);
    if (!made || PyList_SetItem(list, i, made)) {
      Py_CLEAR(list);
    }
  }
  return list;
}

#define AT_LEAST(name)                   \
  static PyObject *name(Value *v) {      \
    return at_least(mlx_##name, v);      \
  }

AT_LEAST(atleast_1d)
AT_LEAST(atleast_2d)
AT_LEAST(atleast_3d)

/* --- shapes alone --- */

/* Broadcast the shorter of two shapes into the longer; false where they do not fit. */
static bool broadcast_into(Value *longer, const Value *shorter) {
  bool fit = true;
  for (int i = 1; i <= shorter->count && fit; i++) {
    int *a = &longer->ints[longer->count - i], b = shorter->ints[shorter->count - i];
    fit = *a == b || *a == 1 || b == 1;
    *a = *a == 1 ? b : *a;
  }
  return fit;
}

/* A TypeError is a ValueError here. */
static bool is_no_shape(PyObject *object) {
  if (PyErr_ExceptionMatches(PyExc_TypeError)) {
    PyErr_Clear();
    refused(MLXFFI_ERROR_INVALID_ARGUMENT, "[broadcast_shapes] shapes: expected sequences of ints, got %R", object);
  }
  return false;
}

/* One of the shapes, which is to be freed; false after an exception. */
static inline bool read_shape(Value *shape, PyObject *object) {
  return convert_object(shape, 'n', "broadcast_shapes", "shapes", object) || is_no_shape(object);
}

/* shapes */
static PyObject *broadcast_shapes(Value *v) {
  Value values[2], *shape = &values[0], *other = &values[1];
  if (!v[0].count) {
    return refused(MLXFFI_ERROR_INVALID_ARGUMENT, "[broadcast_shapes] Must provide at least one shape.");
  }
  bool fit = read_shape(shape, v[0].items[0]);
  for (int i = 1; i < v[0].count && fit; i++) {
    fit = read_shape(other, v[0].items[i]);
    if (fit && other->count > shape->count) {
      Value *shorter = shape;
      shape = other;
      other = shorter;
    }
    if (fit && !broadcast_into(shape, other)) {
      const char *text = "[broadcast_shapes] Shape %R cannot be broadcast to those before it.";
      fit = refused(MLXFFI_ERROR_INVALID_ARGUMENT, text, v[0].items[i]);
    }
    free_value(other, 'n');
  }
  PyObject *made = fit ? int_tuple(shape->ints, shape->count) : NULL;
  free_value(shape, 'n');
  return made;
}

/* --- margins --- */

/* What stands before and after the elements of each axis. */
typedef struct {
  Value low, high;
  PyObject *width;
} Margins;

static bool not_pairs(const Margins *margins) {
  if (!PyErr_Occurred()) {
    PyErr_Format(PyExc_TypeError, "pad_width: expected an int, a pair or a pair for each axis, got %R", margins->width);
  }
  return false;
}

/* One int or two for some axes. */
static bool set_margins(Margins *margins, int first, int count, const Value *ints) {
  size_t given = ints_of(ints);
  if (given != 1 && given != 2) {
    return not_pairs(margins);
  }
  for (int i = first; i < first + count; i++) {
    margins->low.ints[i] = ints->ints[0];
    margins->high.ints[i] = ints->ints[given - 1];
  }
  return true;
}

/* A pair for each axis, or one for all. */
static bool read_pairs(Margins *margins, PyObject *pairs, int ndim) {
  int size = (int)PyTuple_Size(pairs);
  bool fit = true;
  for (int i = 0; i < size && fit; i++) {
    Value pair;
    fit = convert_object(&pair, 'n', "pad", "pad_width", PyTuple_GetItem(pairs, i)) &&
          (pair.count == 2 ? i >= ndim || set_margins(margins, i, size == 1 ? ndim : 1, &pair) : not_pairs(margins));
    free_value(&pair, 'n');
  }
  if (fit && size != 1 && size != ndim) {
    return refused(MLXFFI_ERROR_INVALID_ARGUMENT, "[pad] expected %d pairs, got %d", ndim, size);
  }
  return fit;
}

static bool are_pairs(PyObject *items) {
  PyObject *first = PyTuple_Size(items) ? PyTuple_GetItem(items, 0) : NULL;
  if (!first || PyTuple_Check(first) || PyList_Check(first)) {
    return true;
  }
  bool pairs = PySequence_Check(first) && PySequence_Size(first) >= 0;
  PyErr_Clear();
  return pairs;
}

/* Ints for all axes, or pairs. */
static bool read_margins(Margins *margins, int ndim) {
  PyObject *items = PyLong_Check(margins->width) ? NULL : sequence_tuple(margins->width);
  bool read = false;
  if (items && are_pairs(items)) {
    read = read_pairs(margins, items, ndim);
  } else if (items || !PyErr_Occurred()) {
    Value ints;
    read = convert_object(&ints, 'N', "pad", "pad_width", items ? items : margins->width) && set_margins(margins, 0, ndim, &ints);
    free_value(&ints, 'N');
  }
  Py_XDECREF(items);
  return read;
}

/* a, pad_width, mode, constant_values, stream */
static PyObject *pad(Value *v) {
  mlx_array made = {0}, a = v[0].array;
  Margins margins;
  Value axes;
  int ndim = (int)mlx_array_ndim(a);
  size_t count = (size_t)ndim;
  margins.width = v[1].object;
  bool read = room(&margins.low, ndim) & room(&margins.high, ndim) & room(&axes, ndim);
  for (int i = 0; read && i < ndim; i++) {
    axes.ints[i] = i;
  }
  read = read && read_margins(&margins, ndim) && beside(&v[3], mlx_array_dtype(a));
  if (read) {
    mlx_pad(&made, a, axes.ints, count, margins.low.ints, count, margins.high.ints, count, v[3].array, v[2].text,
            v[4].stream);
  }
  free_value(&margins.low, 'n');
  free_value(&margins.high, 'n');
  free_value(&axes, 'n');
  return read ? one(made) : NULL;
}

const Row shape_rows[] = {
  {"reshape by rest", "as*", reshape_by_rest},
  {"transpose by rest", "as*", transpose_by_rest},
  {"as_strided", "axous", as_strided},
  {"take", "aoIs", take},
  {"put_along_axis", "aaaIs", put_along_axis},
  {"unique", "aibbbos", unique},
  {"broadcast_arrays", "s*", broadcast_arrays},
  {"meshgrid", "bts*", meshgrid},
  {"atleast_1d", "s*", atleast_1d},
  {"atleast_2d", "s*", atleast_2d},
  {"atleast_3d", "s*", atleast_3d},
  {"broadcast_shapes", "*", broadcast_shapes},
  {"pad", "aotos", pad},
  {NULL, NULL, NULL},
};
