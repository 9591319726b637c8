/* Operations that change shapes, and those that take parts and put arrays together, where their arguments are not
 * regular (see operation.h). */

#include "dispatch/operation.h"

/* --- axes --- */

static PyObject *reshape_by_rest(Value *v) {
  mlx_array made = {0};
  int sizes[MOST_INTS], count = read_rest(sizes, &v[2]);
  if (count < 0) {
    return left_to_python;
  }
  mlx_reshape(&made, v[0].array, sizes, (size_t)count, v[1].stream);
  return one(made);
}

static PyObject *transpose_by_rest(Value *v) {
  mlx_array made = {0};
  int axes[MOST_INTS], count = read_rest(axes, &v[2]);
  if (count < 0) {
    return left_to_python;
  }
  if (v[2].count) {
    mlx_transpose_axes(&made, v[0].array, axes, (size_t)count, v[1].stream);
  } else {
    mlx_transpose(&made, v[0].array, v[1].stream);
  }
  return one(made);
}

static PyObject *transpose_axes(Value *v) {
  mlx_array made = {0};
  if (v[1].given && v[1].count == ONE_INT) {
    return left_to_python;
  }
  if (v[1].given) {
    mlx_transpose_axes(&made, v[0].array, v[1].ints, ints_of(&v[1]), v[2].stream);
  } else {
    mlx_transpose(&made, v[0].array, v[2].stream);
  }
  return one(made);
}

static PyObject *expand_dims(Value *v) {
  mlx_array made = {0};
  if (v[1].count == ONE_INT) {
    mlx_expand_dims(&made, v[0].array, v[1].ints[0], v[2].stream);
  } else {
    mlx_expand_dims_axes(&made, v[0].array, v[1].ints, ints_of(&v[1]), v[2].stream);
  }
  return one(made);
}

static PyObject *roll(Value *v) {
  mlx_array made = {0}, a = v[0].array;
  const Value *shift = &v[1], *axis = &v[2];
  if (!axis->given) {
    mlx_roll(&made, a, shift->ints, ints_of(shift), v[3].stream);
  } else if (axis->count == ONE_INT) {
    mlx_roll_axis(&made, a, shift->ints, ints_of(shift), axis->ints[0], v[3].stream);
  } else if (shift->count == ONE_INT && !spread(&v[1], axis->count)) {
    return left_to_python;
  } else {
    size_t shifts = shift->count == ONE_INT ? ints_of(axis) : ints_of(shift);
    mlx_roll_axes(&made, a, shift->ints, shifts, axis->ints, ints_of(axis), v[3].stream);
  }
  return one(made);
}

static PyObject *as_strided(Value *v) {
  mlx_array made = {0}, a = v[0].array;
  int64_t strides[MOST_INTS], stride = 1;
  const int *shape = v[1].given ? v[1].ints : mlx_array_shape(a);
  int ndim = v[1].given ? v[1].count : (int)mlx_array_ndim(a);
  bool lists = ndim != ONE_INT && (!v[2].given || v[2].count != ONE_INT);
  if (!lists || ndim > MOST_INTS) {
    return left_to_python;
  }
  for (int i = ndim - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape[i];
  }
  for (int i = 0; v[2].given && i < v[2].count; i++) {
    strides[i] = v[2].ints[i];
  }
  size_t strides_num = v[2].given ? ints_of(&v[2]) : (size_t)ndim;
  mlx_as_strided(&made, a, shape, (size_t)ndim, strides, strides_num, (size_t)v[3].integer, v[4].stream);
  return one(made);
}

/* --- parts --- */

/* One position takes its axis away: a slice of one element. */
static PyObject *take_one(Value *v, int position) {
  mlx_array a = v[0].array, part = {0}, made = {0};
  int ndim = (int)mlx_array_ndim(a), axis = (int)v[2].integer, start[MOST_INTS] = {0}, stop[MOST_INTS], step[MOST_INTS];
  if (!v[2].given || ndim > MOST_INTS || axis < -ndim || axis >= ndim || !mlx_array_size(a)) {
    return left_to_python;
  }
  for (int i = 0; i < ndim; i++) {
    stop[i] = mlx_array_shape(a)[i];
    step[i] = 1;
  }
  axis += axis < 0 ? ndim : 0;
  if (position < -stop[axis] || position >= stop[axis]) {
    return left_to_python;
  }
  start[axis] = position < 0 ? position + stop[axis] : position;
  stop[axis] = start[axis] + 1;
  if (mlx_slice(&part, a, start, (size_t)ndim, stop, (size_t)ndim, step, (size_t)ndim, v[3].stream) == 0) {
    mlx_squeeze_axis(&made, part, axis, v[3].stream);
    mlx_array_free(part);
  }
  return one(made);
}

static PyObject *take(Value *v) {
  mlx_array made = {0};
  int position;
  if (read_int32(&position, v[1].object)) {
    return take_one(v, position);
  }
  if (!is_array(v[1].object)) {
    return left_to_python;
  }
  mlx_array indices = {array_of(v[1].object)};
  if (!indices.ctx) {
    return left_to_python;
  }
  if (v[2].given) {
    mlx_take_axis(&made, v[0].array, indices, (int)v[2].integer, v[3].stream);
  } else {
    mlx_take(&made, v[0].array, indices, v[3].stream);
  }
  return one(made);
}

/* --- several arrays --- */

#define FEW 16

/* The arrays of `*arguments`, lent; false where something else is among them, or too many. */
static bool lend(mlx_array *arrays, const Value *rest) {
  for (int i = 0; i < rest->count && i < FEW; i++) {
    arrays[i].ctx = is_array(rest->items[i]) ? array_of(rest->items[i]) : NULL;
    if (!arrays[i].ctx) {
      return false;
    }
  }
  return rest->count <= FEW;
}

static mlx_vector_array packed_arrays(const Value *rest) {
  mlx_array arrays[FEW];
  return lend(arrays, rest) ? mlx_vector_array_new_data(arrays, (size_t)rest->count) : (mlx_vector_array){0};
}

static PyObject *broadcast_arrays(Value *v) {
  mlx_vector_array made = {0}, given = packed_arrays(&v[1]);
  if (!given.ctx) {
    return left_to_python;
  }
  mlx_broadcast_arrays(&made, given, v[0].stream);
  mlx_vector_array_free(given);
  return listed(made);
}

typedef int AtLeast(mlx_array *result, const mlx_array a, const mlx_stream s);

static PyObject *at_least(AtLeast *call, Value *v) {
  mlx_array given, made = {0};
  if (v[1].count != 1 || !lend(&given, &v[1])) {
    return left_to_python;
  }
  call(&made, given, v[0].stream);
  return one(made);
}

static PyObject *atleast_1d(Value *v) {
  return at_least(mlx_atleast_1d, v);
}

static PyObject *atleast_2d(Value *v) {
  return at_least(mlx_atleast_2d, v);
}

static PyObject *atleast_3d(Value *v) {
  return at_least(mlx_atleast_3d, v);
}

/* --- shapes alone --- */

/* Broadcast a shape into another one, both in as many axes as `shape` has room for; the number of axes, or -1. */
static int broadcast_into(int *shape, int ndim, const int *other, int other_ndim) {
  int most = ndim > other_ndim ? ndim : other_ndim;
  for (int i = 1; i <= most; i++) {
    int a = i <= ndim ? shape[MOST_INTS - i] : 1, b = i <= other_ndim ? other[other_ndim - i] : 1;
    if (a != b && a != 1 && b != 1) {
      return -1;
    }
    shape[MOST_INTS - i] = a == 1 ? b : a;
  }
  return most;
}

static PyObject *broadcast_shapes(Value *v) {
  int shape[MOST_INTS], ndim = 0;
  for (int i = 0; i < v[0].count; i++) {
    int other[MOST_INTS], count = read_ints(other, v[0].items[i]);
    ndim = count < 0 ? -1 : broadcast_into(shape, ndim, other, count);
    if (ndim < 0) {
      return left_to_python;
    }
  }
  return v[0].count ? int_tuple(shape + MOST_INTS - ndim, ndim) : left_to_python;
}

/* --- margins --- */

/* The margins of all axes from an int, a pair of them, or a pair for each axis; false for anything else. */
static bool read_margins(int *low, int *high, int ndim, PyObject *width) {
  int ints[MOST_INTS], count = read_ints(ints, width);
  if (count == 1 || count == 2) {
    for (int i = 0; i < ndim; i++) {
      low[i] = ints[0];
      high[i] = ints[count - 1];
    }
    return true;
  }
  bool list = PyList_CheckExact(width);
  if (count >= 0 || (!list && !PyTuple_CheckExact(width)) || (list ? PyList_Size(width) : PyTuple_Size(width)) != ndim) {
    return false;
  }
  for (int i = 0; i < ndim; i++) {
    if (read_ints(ints, list ? PyList_GetItem(width, i) : PyTuple_GetItem(width, i)) != 2) {
      return false;
    }
    low[i] = ints[0];
    high[i] = ints[1];
  }
  return true;
}

static PyObject *pad(Value *v) {
  mlx_array made = {0}, a = v[0].array, filling = {0};
  int low[MOST_INTS], high[MOST_INTS], axes[MOST_INTS], width, ndim = (int)mlx_array_ndim(a);
  bool same = read_int32(&width, v[1].object);
  if (ndim > MOST_INTS || (!same && !read_margins(low, high, ndim, v[1].object)) ||
      !number_beside(&filling, a, v[3].object)) {
    return left_to_python;
  }
  for (int i = 0; i < ndim; i++) {
    axes[i] = i;
  }
  size_t count = (size_t)ndim;
  if (same) {
    mlx_pad_symmetric(&made, a, width, filling, v[2].text, v[4].stream);
  } else {
    mlx_pad(&made, a, axes, count, low, count, high, count, filling, v[2].text, v[4].stream);
  }
  mlx_array_free(filling);
  return one(made);
}

const Row shape_rows[] = {
  {"reshape by rest", "as*", reshape_by_rest},
  {"transpose by rest", "as*", transpose_by_rest},
  {"transpose", "axs", transpose_axes},
  {"expand_dims", "aNs", expand_dims},
  {"roll", "aNxs", roll},
  {"as_strided", "axxus", as_strided},
  {"take", "aoIs", take},
  {"broadcast_arrays", "s*", broadcast_arrays},
  {"atleast_1d", "s*", atleast_1d},
  {"atleast_2d", "s*", atleast_2d},
  {"atleast_3d", "s*", atleast_3d},
  {"broadcast_shapes", "*", broadcast_shapes},
  {"pad", "aotos", pad},
  {NULL, NULL, NULL},
};
