/* Strided parts of arrays by Python keys of ints, slices, None and ... (see slice_key.h). */

#include "indexing/slice_key.h"

static bool is_bound(PyObject *slice, const char *name, PyObject **interned) {
  *interned = *interned ? *interned : PyUnicode_InternFromString(name);
  PyObject *bound = *interned ? PyObject_GetAttr(slice, *interned) : NULL;
  int overflow = 0;
  bool fits = bound == Py_None;
  if (bound && !fits && PyLong_CheckExact(bound)) {
    long value = PyLong_AsLongAndOverflow(bound, &overflow);
    fits = !overflow && value >= INT32_MIN && value <= INT32_MAX;
  }
  Py_XDECREF(bound);
  return fits;
}

static bool add_slice(Part *part, PyObject *slice, int size) {
  static PyObject *names[3];
  Py_ssize_t start, stop, step;
  if (part->stay_num == MOST || !is_bound(slice, "start", &names[0]) || !is_bound(slice, "stop", &names[1]) ||
      !is_bound(slice, "step", &names[2]) || PySlice_Unpack(slice, &start, &stop, &step)) {
    return false;
  }
  Py_ssize_t count = PySlice_AdjustIndices(size, &start, &stop, step);
  int axis = part->ndim++;
  step = count <= 1 ? 1 : step;
  start = count ? start : 0;
  stop = start + count * step;
  part->whole &= count == size && step == 1;
  part->empty |= !count;
  part->starts[axis] = (int)start;
  /* Backwards over the first element: MLX takes -1 for the last one. */
  part->stops[axis] = stop < 0 ? -size - 1 : stop > size ? size : (int)stop;
  part->steps[axis] = (int)step;
  part->of[part->stay_num] = axis;
  part->stay[part->stay_num++] = (int)count;
  return true;
}

bool add_whole(Part *part, int size) {
  if (part->stay_num == MOST) {
    return false;
  }
  int axis = part->ndim++;
  part->empty |= !size;
  part->starts[axis] = 0;
  part->stops[axis] = size;
  part->steps[axis] = 1;
  part->of[part->stay_num] = axis;
  part->stay[part->stay_num++] = size;
  return true;
}

static bool add_position(Part *part, PyObject *position, int size) {
  int overflow, axis = part->ndim++;
  long value = PyLong_AsLongAndOverflow(position, &overflow);
  if (overflow || value < -(long)size || value >= size) {
    return false;
  }
  value += value < 0 ? size : 0;
  part->whole &= size == 1;
  part->starts[axis] = (int)value;
  part->stops[axis] = (int)value + 1;
  part->steps[axis] = 1;
  part->gone[part->gone_num++] = axis;
  return true;
}

bool add_item(Part *part, PyObject *item, const int *shape, int ndim, int left) {
  if (item == Py_None) {
    if (part->stay_num == MOST) {
      return false;
    }
    part->added[part->added_num++] = part->stay_num;
    part->of[part->stay_num] = -1;
    part->stay[part->stay_num++] = 1;
    return true;
  }
  if (item == Py_Ellipsis) {
    for (int i = 0; i < left; i++) {
      if (!add_whole(part, shape[part->ndim])) {
        return false;
      }
    }
    return true;
  }
  if (part->ndim == ndim) {
    return false;
  }
  int size = shape[part->ndim];
  return PySlice_Check(item) ? add_slice(part, item, size) : add_position(part, item, size);
}

/* Each step takes the array of the one before, and frees it. The first one's is only lent. */
static bool step(mlx_array *current, bool *owned, mlx_array next, int failed) {
  if (*owned) {
    mlx_array_free(*current);
  }
  *current = next;
  *owned = true;
  return !failed;
}

mlx_array take_part(const Part *part, mlx_array array, mlx_stream stream) {
  size_t ndim = (size_t)part->ndim;
  mlx_array current = array, next = {0};
  bool owned = false, done = true;
  if (!part->whole) {
    int failed = mlx_slice(&next, array, part->starts, ndim, part->stops, ndim, part->steps, ndim, stream);
    done = step(&current, &owned, next, failed);
  }
  if (done && part->gone_num) {
    next = (mlx_array){0};
    int failed = mlx_squeeze_axes(&next, current, part->gone, (size_t)part->gone_num, stream);
    done = step(&current, &owned, next, failed);
  }
  if (done && part->added_num) {
    next = (mlx_array){0};
    int failed = mlx_expand_dims_axes(&next, current, part->added, (size_t)part->added_num, stream);
    done = step(&current, &owned, next, failed);
  }
  if (!owned) {
    next = (mlx_array){0};
    mlx_array_set(&next, array);
    return next;
  }
  return current;
}

bool fit_values(const Part *part, mlx_array values, int *sizes) {
  int ndim = (int)mlx_array_ndim(values), skipped = 0;
  const int *shape = mlx_array_shape(values);
  while (ndim - skipped > part->stay_num && shape[skipped] == 1) {
    skipped++;
  }
  int before = part->stay_num - (ndim - skipped);
  if (before < 0) {
    return false;
  }
  for (int i = 0; i < part->ndim; i++) {
    sizes[i] = 1;
  }
  for (int i = before; i < part->stay_num; i++) {
    int size = shape[skipped + i - before];
    if (size != 1 && size != part->stay[i]) {
      return false;
    }
    if (part->of[i] >= 0) {
      sizes[part->of[i]] = size;
    }
  }
  return true;
}

mlx_array put_part(const Part *part, mlx_array array, mlx_array values, const int *sizes, mlx_stream stream) {
  size_t ndim = (size_t)part->ndim;
  mlx_array shaped = {0}, result = {0};
  /* One number fits everywhere as it is. */
  if (mlx_array_ndim(values) ? mlx_reshape(&shaped, values, sizes, ndim, stream) : mlx_array_set(&shaped, values)) {
    return result;
  }
  if (part->whole) {
    mlx_broadcast_to(&result, shaped, mlx_array_shape(array), ndim, stream);
  } else {
    mlx_slice_update(&result, array, shaped, part->starts, ndim, part->stops, ndim, part->steps, ndim, stream);
  }
  mlx_array_free(shaped);
  return result;
}
