/* Reading and writing parts of arrays by keys: `a[key]`, `a[key] = value` and `a.at[key].add(value)` (see selection.h). */

#include "indexing/selection.h"

#include "convert/from_python.h"

/* How an update changes what is there. */
typedef enum { REPLACE, ADD, MULTIPLY, MAXIMUM, MINIMUM, SUBTRACT, DIVIDE } How;
typedef int Binary(mlx_array *result, const mlx_array a, const mlx_array b, const mlx_stream s);
typedef int Scatter(mlx_array *result, const mlx_array a, const mlx_vector_array indices, const mlx_array updates,
                    const int *axes, size_t axes_num, const mlx_stream s);

static Binary *const combine[] = {NULL, mlx_add, mlx_multiply, mlx_maximum, mlx_minimum, mlx_subtract, mlx_divide};
static Scatter *const scatter[] = {mlx_scatter, mlx_scatter_add, mlx_scatter_prod, mlx_scatter_max, mlx_scatter_min};

/* --- values --- */

/* A change of all values, before they are converted. */
typedef int Inverse(mlx_array *result, const mlx_array a, const mlx_stream s);

/* Values for a part, or the inverse of them where one is given: a new array, in the dtype of the one that takes them. */
static bool values_for(mlx_array *made, mlx_array array, PyObject *object, Inverse *inverse, mlx_stream stream) {
  mlx_array next = {0};
  if (!array_beside(made, mlx_array_dtype(array), object)) {
    return false;
  }
  if (inverse) {
    int failed = inverse(&next, *made, stream);
    if (!follow(made, next, failed)) {
      return false;
    }
    next = (mlx_array){0};
  }
  if (mlx_array_dtype(*made) == mlx_array_dtype(array)) {
    return true;
  }
  int failed = mlx_astype(&next, *made, mlx_array_dtype(array), stream);
  return follow(made, next, failed);
}

static bool refuse_values(mlx_array values, const int *shape, int ndim) {
  PyObject *found = shape_tuple(values), *wanted = found ? int_tuple(shape, ndim) : NULL;
  if (wanted) {
    refused(MLXFFI_ERROR_INVALID_ARGUMENT, "Cannot broadcast array of shape %R into shape %R.", found, wanted);
  }
  Py_XDECREF(found);
  Py_XDECREF(wanted);
  return false;
}

/* The sizes of values with as many axes as `shape`, to which they must broadcast; false after an exception. */
static bool fitting(int *sizes, mlx_array values, const int *shape, int ndim) {
  int values_ndim = (int)mlx_array_ndim(values), skipped = 0;
  const int *found = mlx_array_shape(values);
  while (values_ndim - skipped > ndim && found[skipped] == 1) {
    skipped++;
  }
  int before = ndim - (values_ndim - skipped);
  for (int i = 0; i < ndim && before >= 0; i++) {
    sizes[i] = i < before ? 1 : found[skipped + i - before];
    if (sizes[i] != 1 && sizes[i] != shape[i]) {
      before = -1;
    }
  }
  return before >= 0 || refuse_values(values, shape, ndim);
}

/* Whether an array has these sizes. */
static bool has_shape(mlx_array array, const int *sizes, int count) {
  const int *found = mlx_array_shape(array);
  bool same = (int)mlx_array_ndim(array) == count;
  for (int i = 0; i < count && same; i++) {
    same = found[i] == sizes[i];
  }
  return same;
}

/* A step that changes nothing where `current` has the sizes. */
static bool size_with(Shaping *call, mlx_array *current, const int *sizes, int count, mlx_stream stream) {
  return has_shape(*current, sizes, count) || shape_with(call, current, sizes, count, stream);
}

/* Values as a scatter takes them: the picked axes first, then those of the block. They become `current`. */
static bool scattered(mlx_array *current, const Selection *selection, const int *sizes, mlx_stream stream) {
  int wanted[2 * MOST], order[2 * MOST], count = 0, ndim = selection->shape_num, picked = selection->picked_num;
  for (int i = 0; i < picked; i++) {
    wanted[count++] = selection->picked[i];
  }
  for (int i = 0; i < selection->part.ndim; i++) {
    wanted[count++] = selection->block[i];
  }
  if (!mlx_array_ndim(*current)) {
    return size_with(mlx_broadcast_to, current, wanted, count, stream);
  }
  if (!size_with(mlx_reshape, current, sizes, ndim, stream) ||
      !size_with(mlx_broadcast_to, current, selection->shape, ndim, stream)) {
    return false;
  }
  if (selection->place && picked) {
    moved(order, ndim, picked, selection->place, true);
    if (!shape_with(mlx_transpose_axes, current, order, ndim, stream)) {
      return false;
    }
  }
  return size_with(mlx_reshape, current, wanted, count, stream);
}

/* --- updates --- */

/* The values are given up, here and below. */
static mlx_array put_picked(const Selection *selection, mlx_array array, mlx_array values, const int *sizes, How how,
                            mlx_stream stream) {
  const Part *part = &selection->part;
  mlx_array changed = {0};
  if (scattered(&values, selection, sizes, stream)) {
    mlx_array from = strided_part(part, array, stream);
    mlx_vector_array picks = packed_picks(selection);
    if (from.ctx && picks.ctx) {
      scatter[how](&changed, from, picks, values, selection->axes, (size_t)selection->picks_num, stream);
    }
    mlx_vector_array_free(picks);
    mlx_array_free(from);
  }
  mlx_array_free(values);
  if (part->whole || !changed.ctx) {
    return changed;
  }
  mlx_array made = put_part(part, array, changed, stream);
  mlx_array_free(changed);
  return made;
}

/* The values with all axes of the part, from the sizes that they have among those of the result; one number fits as it
 * is. */
static bool shape_for(const Part *part, mlx_array *values, const int *sizes, mlx_stream stream) {
  int wanted[MOST];
  for (int i = 0; i < part->ndim; i++) {
    wanted[i] = 1;
  }
  for (int i = 0; i < part->stay_num; i++) {
    if (part->of[i] >= 0) {
      wanted[part->of[i]] = sizes[i];
    }
  }
  return !mlx_array_ndim(*values) || size_with(mlx_reshape, values, wanted, part->ndim, stream);
}

/* One step of MLX's for a sum and the like exists, but loses the batch of the array under vmap. */
static bool combine_with(const Part *part, mlx_array array, mlx_array *values, How how, mlx_stream stream) {
  mlx_array changed = {0}, found = strided_part(part, array, stream);
  int failed = !found.ctx || combine[how](&changed, found, *values, stream);
  mlx_array_free(found);
  return follow(values, changed, failed);
}

static mlx_array put_strided(const Selection *selection, mlx_array array, mlx_array values, const int *sizes, How how,
                             mlx_stream stream) {
  const Part *part = &selection->part;
  mlx_array made = {0};
  if (shape_for(part, &values, sizes, stream) &&
      (how == REPLACE || combine_with(part, array, &values, how, stream))) {
    made = put_part(part, array, values, stream);
  }
  mlx_array_free(values);
  return made;
}

/* What the array becomes by an update of what a key selects; an empty one after an error, which may be one of Python. */
static mlx_array update(mlx_array array, const Key *key, mlx_array values, How how, mlx_stream stream) {
  Selection selection;
  mlx_array made = {0};
  int sizes[2 * MOST];
  if (!read_selection(&selection, array, key, false) ||
      !fitting(sizes, values, selection.shape, selection.shape_num)) {
    mlx_array_free(values);
  } else if (is_empty(&selection)) {
    mlx_array_free(values);
    mlx_array_set(&made, array);
  } else {
    made = (selection.picks_num ? put_picked : put_strided)(&selection, array, values, sizes, how, stream);
  }
  return made;
}

/* --- masks --- */

/* Whether a key is a mask of another library. */
static bool is_foreign_mask(PyObject *key) {
  bool other = !array_of(key) && !PyTuple_Check(key) && !PyLong_Check(key) && !PySlice_Check(key);
  PyObject *dtype = other ? PyObject_GetAttrString(key, "dtype") : NULL, *name = dtype ? PyObject_Str(dtype) : NULL;
  bool found = name && !PyUnicode_CompareWithASCIIString(name, "bool");
  Py_XDECREF(dtype);
  Py_XDECREF(name);
  PyErr_Clear();
  return found;
}

/* The array that a key is or stands for, if it has no other entries, or the key itself: a new reference. */
static PyObject *key_or_array(PyObject *key) {
  return PyList_Check(key) || PyBool_Check(key) || is_foreign_mask(key) ? array_object(key) : Py_NewRef(key);
}

/* A mask that a key is; a Python list without axes is none. */
static bool is_mask(mlx_array key) {
  return key.ctx && mlx_array_dtype(key) == MLX_BOOL;
}

/* --- every kind of key --- */

static mlx_array put_key(mlx_array array, PyObject *object, mlx_array values, How how, mlx_stream stream) {
  Key key;
  mlx_array made = {0};
  if (read_key(&key, object)) {
    made = update(array, &key, values, how, stream);
  } else {
    mlx_array_free(values);
  }
  free_key(&key);
  return made;
}

static mlx_array put_masked(mlx_array array, mlx_array mask, mlx_array values, How how, mlx_stream stream) {
  mlx_array made = {0};
  if (how == REPLACE) {
    mlx_masked_scatter(&made, array, mask, values, stream);
  } else {
    PyErr_SetString(told.bounds, "boolean indices are not supported in array.at");
  }
  mlx_array_free(values);
  return made;
}

/* All elements: new values keep their dtype, others get the one that both have together. */
static mlx_array put_everywhere(mlx_array array, PyObject *value, How how, mlx_stream stream) {
  mlx_array values = {0}, made = {0};
  int sizes[MOST], ndim = (int)mlx_array_ndim(array);
  if (ndim > MOST) {
    PyErr_Format(told.bounds, "Expected an array of at most %d axes, got %d.", MOST, ndim);
    return made;
  }
  if (array_beside(&values, mlx_array_dtype(array), value) && fitting(sizes, values, mlx_array_shape(array), ndim) &&
      size_with(mlx_reshape, &values, sizes, ndim, stream)) {
    if (how == REPLACE) {
      mlx_broadcast_to(&made, values, mlx_array_shape(array), (size_t)ndim, stream);
    } else {
      combine[how](&made, array, values, stream);
    }
  }
  mlx_array_free(values);
  return made;
}

/* What the array becomes by `array[key] = value`, or by another update. */
static mlx_array put(mlx_array array, PyObject *object, PyObject *value, How how) {
  mlx_array values = {0}, made = {0};
  mlx_stream stream = mlxffi_default_stream();
  if (object == Py_Ellipsis || object == Py_None) {
    return put_everywhere(array, value, how, stream);
  }
  Inverse *inverse = how == SUBTRACT ? mlx_negative : how == DIVIDE ? mlx_reciprocal : NULL;
  how = how == SUBTRACT ? ADD : how == DIVIDE ? MULTIPLY : how;
  if (!values_for(&values, array, value, inverse, stream)) {
    return made;
  }
  PyObject *key = key_or_array(object);
  mlx_array mask = hold((mlx_array){array_of(key)});
  if (!key) {
    mlx_array_free(values);
  } else if (is_mask(mask)) {
    made = put_masked(array, mask, values, how, stream);
  } else {
    made = put_key(array, key, values, how, stream);
  }
  let_go(mask);
  Py_XDECREF(key);
  return made;
}

/* --- operations --- */

/* Where no exception of Python says what is wrong, the error of C does. */
static PyObject *one_or_error(mlx_array made) {
  return !made.ctx && PyErr_Occurred() ? NULL : one(made);
}

static PyObject *get_item(Value *v) {
  Selection selection;
  Key key;
  mlx_array made = {0};
  if (v[1].object == Py_Ellipsis) {
    mlx_array_set(&made, v[0].array);
    return one(made);
  }
  if (read_key(&key, v[1].object) && read_selection(&selection, v[0].array, &key, true)) {
    made = selected(&selection, v[0].array, mlxffi_default_stream());
  }
  free_key(&key);
  return one_or_error(made);
}

static PyObject *set_item(Value *v) {
  mlx_array made = put(v[0].array, v[1].object, v[2].object, REPLACE);
  PyObject *same = !made.ctx && PyErr_Occurred() ? NULL : replaced(v[0].object, made);
  if (!same) {
    return NULL;
  }
  Py_DECREF(same);
  Py_RETURN_NONE;
}

/* The array, the key and the values of an update by `at`, both of which code that runs meanwhile may exchange. */
static PyObject *update_at(Value *v, How how) {
  PyObject *owner, *key, *made = NULL;
  if (!read_part(v[0].object, &owner, &key)) {
    return refused(MLXFFI_ERROR_INVALID_ARGUMENT, "Must give indices to array.at (e.g. `x.at[0].add(4)`).");
  }
  mlx_array array = hold((mlx_array){array_of(owner)});
  if (array.ctx) {
    made = one_or_error(put(array, key, v[1].object, how));
  } else if (!PyErr_Occurred()) {
    raise_empty();
  }
  let_go(array);
  Py_DECREF(owner);
  Py_DECREF(key);
  return made;
}

static PyObject *at(Value *v) {
  return new_part(v[0].object, NULL);
}

static PyObject *at_item(Value *v) {
  PyObject *owner;
  if (!part_array(v[0].object, &owner)) {
    return PyErr_Format(PyExc_TypeError, "expected what array.at gives, got %R", Py_TYPE(v[0].object));
  }
  PyObject *part = new_part(owner, v[1].object);
  Py_DECREF(owner);
  return part;
}

#define UPDATES(OF)                                                                       \
  OF(add, ADD) OF(subtract, SUBTRACT) OF(multiply, MULTIPLY) OF(divide, DIVIDE)           \
  OF(maximum, MAXIMUM) OF(minimum, MINIMUM)

#define UPDATE(name, how)                    \
  static PyObject *at_##name(Value *v) {     \
    return update_at(v, how);                \
  }
#define ROW(name, how) {"at " #name, "oo", at_##name},

UPDATES(UPDATE)

const Row update_rows[] = {
  {"get item", "ao", get_item},
  {"set item", "aoo", set_item},
  {"at", "a", at},
  {"at item", "oo", at_item},
  UPDATES(ROW)
  {NULL, NULL, NULL},
};
