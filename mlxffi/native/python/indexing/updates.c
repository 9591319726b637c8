/* Reading and writing parts of arrays by keys: `a[key]`, `a[key] = value` and `a.at[key].add(value)` (see selection.h). */

#include "indexing/selection.h"

/* How an update changes what is there. */
typedef enum { REPLACE, ADD, MULTIPLY, MAXIMUM, MINIMUM } How;
typedef int Binary(mlx_array *result, const mlx_array a, const mlx_array b, const mlx_stream s);
typedef int Scatter(mlx_array *result, const mlx_array a, const mlx_vector_array indices, const mlx_array updates,
                    const int *axes, size_t axes_num, const mlx_stream s);

static Binary *const combine[] = {NULL, mlx_add, mlx_multiply, mlx_maximum, mlx_minimum};
static Scatter *const scatter[] = {mlx_scatter, mlx_scatter_add, mlx_scatter_prod, mlx_scatter_max, mlx_scatter_min};

/* --- values --- */

/* A change of all values, before they are converted. */
typedef int Inverse(mlx_array *result, const mlx_array a, const mlx_stream s);

/* Values for a part, or the inverse of them where one is given: a new array, in the dtype of the one that takes them. */
static bool values_for(mlx_array *made, mlx_array array, PyObject *object, Inverse *inverse, mlx_stream stream) {
  mlx_array next = {0};
  if (!number_beside(made, array, object)) {
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

/* The sizes of values with as many axes as `shape`, to which they must broadcast; false where they do not. */
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
      return false;
    }
  }
  return before >= 0;
}

/* A step of the kind that takes sizes or axes: `current` becomes what it makes. */
typedef int Shaping(mlx_array *result, const mlx_array a, const int *sizes, size_t count, const mlx_stream s);

static bool shape_with(Shaping *call, mlx_array *current, const int *sizes, int count, mlx_stream stream) {
  mlx_array next = {0};
  int failed = call(&next, *current, sizes, (size_t)count, stream);
  return follow(current, next, failed);
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
    return shape_with(mlx_broadcast_to, current, wanted, count, stream);
  }
  if (!shape_with(mlx_reshape, current, sizes, ndim, stream) ||
      !shape_with(mlx_broadcast_to, current, selection->shape, ndim, stream)) {
    return false;
  }
  if (selection->place && picked) {
    moved(order, ndim, picked, selection->place, true);
    if (!shape_with(mlx_transpose_axes, current, order, ndim, stream)) {
      return false;
    }
  }
  return shape_with(mlx_reshape, current, wanted, count, stream);
}

/* --- updates --- */

/* The values are given up, here and below. */
static mlx_array put_picked(const Selection *selection, mlx_array array, mlx_array values, const int *sizes, How how,
                            mlx_stream stream) {
  const Part *part = &selection->part;
  mlx_array made = {0}, changed = {0};
  if (scattered(&values, selection, sizes, stream)) {
    mlx_array from = strided_part(selection, array, stream);
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
  size_t ndim = (size_t)part->ndim;
  mlx_slice_update(&made, array, changed, part->starts, ndim, part->stops, ndim, part->steps, ndim, stream);
  mlx_array_free(changed);
  return made;
}

/* The part with all of its axes, so that nothing is reshaped but the values. One step of MLX's for a sum and the like
 * exists, but loses the batch of the array under vmap. */
static mlx_array combine_strided(const Part *part, mlx_array array, mlx_array *values, How how, mlx_stream stream) {
  mlx_array made = {0}, found = {0}, changed = {0};
  int sizes[MOST];
  size_t ndim = (size_t)part->ndim;
  if (!fit_values(part, *values, sizes) ||
      (mlx_array_ndim(*values) && !shape_with(mlx_reshape, values, sizes, part->ndim, stream))) {
    return made;
  }
  if (part->whole) {
    combine[how](&made, array, *values, stream);
  } else if (!mlx_slice(&found, array, part->starts, ndim, part->stops, ndim, part->steps, ndim, stream) &&
             !combine[how](&changed, found, *values, stream)) {
    mlx_slice_update(&made, array, changed, part->starts, ndim, part->stops, ndim, part->steps, ndim, stream);
  }
  mlx_array_free(found);
  mlx_array_free(changed);
  return made;
}

static mlx_array put_strided(const Part *part, mlx_array array, mlx_array values, How how, mlx_stream stream) {
  mlx_array made = {0};
  int sizes[MOST];
  if (how != REPLACE) {
    made = combine_strided(part, array, &values, how, stream);
  } else if (fit_values(part, values, sizes)) {
    made = put_part(part, array, values, sizes, stream);
  }
  mlx_array_free(values);
  return made;
}

/* What the array becomes by an update; false, without an exception, for what is left to Python. */
static bool update(mlx_array *made, mlx_array array, PyObject *key, mlx_array values, How how, mlx_stream stream) {
  Selection selection;
  int sizes[2 * MOST];
  bool read = read_selection(&selection, array, key, false) && !is_empty(&selection) &&
              fitting(sizes, values, selection.shape, selection.shape_num);
  /* What is combined with a part must not have more axes than it. */
  read = read && (selection.picks_num || how == REPLACE || (int)mlx_array_ndim(values) <= selection.shape_num);
  if (!read) {
    mlx_array_free(values);
  } else if (selection.picks_num) {
    *made = put_picked(&selection, array, values, sizes, how, stream);
  } else {
    *made = put_strided(&selection.part, array, values, how, stream);
  }
  free_selection(&selection);
  return read;
}

static bool is_mask(PyObject *key, mlx_array *mask) {
  mask->ctx = is_array(key) ? array_of(key) : NULL;
  return mask->ctx && mlx_array_dtype(*mask) == MLX_BOOL;
}

static bool put_masked(mlx_array *made, mlx_array array, mlx_array mask, PyObject *value, mlx_stream stream) {
  mlx_array values = {0};
  if (!values_for(&values, array, value, NULL, stream)) {
    return false;
  }
  mlx_masked_scatter(made, array, mask, values, stream);
  mlx_array_free(values);
  return true;
}

/* All elements: the new values keep their dtype. */
static bool put_everywhere(mlx_array *made, mlx_array array, PyObject *value, mlx_stream stream) {
  mlx_array values = {0};
  int sizes[MOST], ndim = (int)mlx_array_ndim(array);
  if (ndim > MOST || mlx_array_dtype(array) == MLX_COMPLEX64 || !number_beside(&values, array, value)) {
    return false;
  }
  bool fits = fitting(sizes, values, mlx_array_shape(array), ndim);
  if (fits && shape_with(mlx_reshape, &values, sizes, ndim, stream)) {
    mlx_broadcast_to(made, values, mlx_array_shape(array), (size_t)ndim, stream);
  }
  mlx_array_free(values);
  return fits;
}

static bool put(mlx_array *made, mlx_array array, PyObject *key, PyObject *value, mlx_stream stream) {
  mlx_array mask, values = {0};
  if (key == Py_Ellipsis || key == Py_None) {
    return put_everywhere(made, array, value, stream);
  }
  if (is_mask(key, &mask)) {
    return put_masked(made, array, mask, value, stream);
  }
  return values_for(&values, array, value, NULL, stream) && update(made, array, key, values, REPLACE, stream);
}

/* --- operations --- */

static PyObject *item_at(mlx_array array, PyObject *key) {
  Selection selection;
  mlx_array made = {0};
  bool read = read_selection(&selection, array, key, true);
  if (read) {
    mlx_stream stream = mlxffi_default_stream();
    made = selected(&selection, array, stream);
  }
  free_selection(&selection);
  return read ? one(made) : left_to_python;
}

/* Whether a key is an integer of another library. */
static bool is_other_integer(PyObject *key) {
  return PyIndex_Check(key) && !PyLong_Check(key) && !PyObject_TypeCheck(key, (PyTypeObject *)owner_class);
}

static PyObject *get_item(Value *v) {
  mlx_array made = {0};
  PyObject *key = v[1].object;
  if (key == Py_Ellipsis) {
    mlx_array_set(&made, v[0].array);
    return one(made);
  }
  if (!is_other_integer(key)) {
    return item_at(v[0].array, key);
  }
  PyObject *position = PyNumber_Index(key);
  PyErr_Clear();
  PyObject *found = position ? item_at(v[0].array, position) : left_to_python;
  Py_XDECREF(position);
  return found;
}

static PyObject *set_item(Value *v) {
  mlx_array made = {0};
  mlx_stream stream = mlxffi_default_stream();
  bool read = put(&made, v[0].array, v[1].object, v[2].object, stream);
  PyObject *same = read ? replaced(v[0].object, made) : NULL;
  if (!same) {
    return read ? NULL : left_to_python;
  }
  Py_DECREF(same);
  Py_RETURN_NONE;
}

/* The array, the key and the values of an update by `at`; `inverse` turns one into another. */
static PyObject *update_at(Value *v, How how, Inverse *inverse) {
  mlx_array made = {0}, values = {0}, array;
  PyObject *owner, *key;
  if (!read_part(v[0].object, &owner, &key)) {
    return left_to_python;
  }
  array.ctx = is_array(owner) ? array_of(owner) : NULL;
  /* Python knows the inverse of numbers beside integers. */
  bool plain = !inverse || is_array(v[1].object) || (array.ctx && is_inexact(array));
  if (!array.ctx || key == Py_None || key == Py_Ellipsis || !plain) {
    return left_to_python;
  }
  mlx_stream stream = mlxffi_default_stream();
  bool read = values_for(&values, array, v[1].object, inverse, stream);
  read = read && update(&made, array, key, values, how, stream);
  return read ? one(made) : left_to_python;
}

static PyObject *at(Value *v) {
  return new_part(v[0].object, NULL);
}

static PyObject *at_item(Value *v) {
  PyObject *owner;
  return part_array(v[0].object, &owner) ? new_part(owner, v[1].object) : left_to_python;
}

static PyObject *at_add(Value *v) {
  return update_at(v, ADD, NULL);
}

static PyObject *at_subtract(Value *v) {
  return update_at(v, ADD, mlx_negative);
}

static PyObject *at_multiply(Value *v) {
  return update_at(v, MULTIPLY, NULL);
}

static PyObject *at_divide(Value *v) {
  return update_at(v, MULTIPLY, mlx_reciprocal);
}

static PyObject *at_maximum(Value *v) {
  return update_at(v, MAXIMUM, NULL);
}

static PyObject *at_minimum(Value *v) {
  return update_at(v, MINIMUM, NULL);
}

const Row update_rows[] = {
  {"get item", "ao", get_item},
  {"set item", "aoo", set_item},
  {"at", "a", at},
  {"at item", "oo", at_item},
  {"at add", "oo", at_add},
  {"at subtract", "oo", at_subtract},
  {"at multiply", "oo", at_multiply},
  {"at divide", "oo", at_divide},
  {"at maximum", "oo", at_maximum},
  {"at minimum", "oo", at_minimum},
  {NULL, NULL, NULL},
};
