/* What a key selects, and reading that (see selection.h). */

#include "convert/from_python.h"
#include "indexing/selection.h"

/* --- from a key --- */

static bool is_integer(mlx_array positions) {
  return !is_inexact(positions) && mlx_array_dtype(positions) != MLX_BOOL;
}

static void note_place(Selection *selection) {
  int place = selection->part.stay_num;
  selection->place = selection->place == MOST || selection->place == place ? place : -1;
}

static bool add_pick(Selection *selection, PyObject *item, int size) {
  Part *part = &selection->part;
  int axis = part->ndim++, at = selection->picks_num++;
  mlx_array *positions = &selection->picks[at];
  *positions = (mlx_array){0};
  selection->axes[at] = axis;
  selection->made[at] = !is_array(item);
  if (selection->made[at] ? !array_of_list(positions, item) : !(positions->ctx = array_of(item))) {
    return false;
  }
  note_place(selection);
  part->starts[axis] = 0;
  part->stops[axis] = size;
  part->steps[axis] = 1;
  part->gone[part->gone_num++] = axis;
  return is_integer(*positions) && (size || !mlx_array_size(*positions));
}

static bool add_entry(Selection *selection, PyObject *item, const int *shape, int ndim, int left, bool reading) {
  Part *part = &selection->part;
  if (is_array(item) || PyList_CheckExact(item)) {
    return part->ndim < ndim && add_pick(selection, item, shape[part->ndim]);
  }
  if (reading && PyLong_CheckExact(item)) {
    note_place(selection);
  }
  return add_item(part, item, shape, ndim, left);
}

/* The sizes that all positions broadcast to. */
static bool broadcast_picks(Selection *selection) {
  selection->picked_num = 0;
  for (int i = 0; i < selection->picks_num; i++) {
    int ndim = (int)mlx_array_ndim(selection->picks[i]);
    selection->picked_num = ndim > selection->picked_num ? ndim : selection->picked_num;
  }
  if (selection->picked_num > MOST) {
    return false;
  }
  for (int at = 0; at < selection->picked_num; at++) {
    int size = 1;
    for (int i = 0; i < selection->picks_num; i++) {
      int axis = at - selection->picked_num + (int)mlx_array_ndim(selection->picks[i]);
      int found = axis < 0 ? 1 : mlx_array_shape(selection->picks[i])[axis];
      if (found != 1 && size != 1 && found != size) {
        return false;
      }
      size = found == 1 ? size : found;
    }
    selection->picked[at] = size;
  }
  return true;
}

static void describe(Selection *selection) {
  const Part *part = &selection->part;
  for (int i = 0; i < part->ndim; i++) {
    selection->block[i] = 1;
  }
  for (int i = 0; i < part->stay_num; i++) {
    if (part->of[i] >= 0) {
      selection->block[part->of[i]] = part->stay[i];
    }
  }
  selection->place = selection->place < 0 || selection->place == MOST ? 0 : selection->place;
  selection->shape_num = 0;
  for (int i = 0; i <= part->stay_num; i++) {
    for (int k = 0; i == selection->place && k < selection->picked_num; k++) {
      selection->shape[selection->shape_num++] = selection->picked[k];
    }
    if (i < part->stay_num) {
      selection->shape[selection->shape_num++] = part->stay[i];
    }
  }
}

/* How many axes the entries of a key take; -1 for a key that is left to Python. */
static int axes_used(PyObject *const *items, int count, int ndim) {
  int used = 0, dots = 0;
  for (int i = 0; i < count; i++) {
    PyObject *item = items[i];
    dots += item == Py_Ellipsis;
    if (PyLong_CheckExact(item) || PySlice_Check(item) || is_array(item) || PyList_CheckExact(item)) {
      used++;
    } else if (item != Py_None && item != Py_Ellipsis) {
      return -1;
    }
  }
  return dots > 1 || used > ndim ? -1 : used;
}

bool read_selection(Selection *selection, mlx_array array, PyObject *key, bool reading) {
  PyObject *items[MOST];
  bool tuple = PyTuple_CheckExact(key);
  Py_ssize_t count = tuple ? PyTuple_Size(key) : 1;
  int ndim = (int)mlx_array_ndim(array);
  const int *shape = mlx_array_shape(array);
  selection->part = (Part){.whole = true};
  selection->picks_num = 0;
  selection->place = MOST;
  for (int i = 0; i < count && count <= MOST; i++) {
    items[i] = tuple ? PyTuple_GetItem(key, i) : key;
  }
  int used = ndim > MOST || count > MOST ? -1 : axes_used(items, (int)count, ndim);
  bool read = used >= 0;
  for (int i = 0; i < count && read; i++) {
    read = add_entry(selection, items[i], shape, ndim, ndim - used, reading);
  }
  while (read && selection->part.ndim < ndim) {
    read = add_whole(&selection->part, shape[selection->part.ndim]);
  }
  PyErr_Clear();
  if (read && broadcast_picks(selection)) {
    describe(selection);
    return true;
  }
  return false;
}

void free_selection(Selection *selection) {
  for (int i = 0; i < selection->picks_num; i++) {
    if (selection->made[i]) {
      mlx_array_free(selection->picks[i]);
    }
  }
}

/* --- reading --- */

bool follow(mlx_array *current, mlx_array next, int failed) {
  mlx_array_free(*current);
  *current = next;
  return !failed;
}

mlx_array strided_part(const Selection *selection, mlx_array array, mlx_stream stream) {
  const Part *part = &selection->part;
  size_t ndim = (size_t)part->ndim;
  mlx_array made = {0};
  if (part->whole) {
    mlx_array_set(&made, array);
  } else {
    mlx_slice(&made, array, part->starts, ndim, part->stops, ndim, part->steps, ndim, stream);
  }
  return made;
}

mlx_vector_array packed_picks(const Selection *selection) {
  return mlx_vector_array_new_data(selection->picks, (size_t)selection->picks_num);
}

void moved(int *order, int ndim, int picked, int before, bool back) {
  int first = back ? before : picked, second = back ? picked : before;
  for (int i = 0; i < ndim; i++) {
    order[i] = i < second ? i + first : i < first + second ? i - second : i;
  }
}

bool is_empty(const Selection *selection) {
  for (int i = 0; i < selection->shape_num; i++) {
    if (!selection->shape[i]) {
      return true;
    }
  }
  return false;
}

/* One array of positions, and all of the other axes. */
static bool takes_along(const Selection *selection) {
  const Part *part = &selection->part;
  return selection->picks_num == 1 && part->whole && part->gone_num == 1 && !part->added_num;
}

static bool squeezed(mlx_array *current, const int *axes, int count, int before, bool add, mlx_stream stream) {
  int places[MOST];
  mlx_array next = {0};
  if (!count) {
    return true;
  }
  for (int i = 0; i < count; i++) {
    places[i] = before + axes[i];
  }
  int failed = (add ? mlx_expand_dims_axes : mlx_squeeze_axes)(&next, *current, places, (size_t)count, stream);
  return follow(current, next, failed);
}

static mlx_array gathered(const Selection *selection, mlx_array array, mlx_stream stream) {
  const Part *part = &selection->part;
  mlx_array current = strided_part(selection, array, stream), next = {0};
  mlx_vector_array picks = packed_picks(selection);
  int order[2 * MOST], before = selection->picked_num, failed = 1;
  if (current.ctx && picks.ctx) {
    size_t axes = (size_t)selection->picks_num;
    failed = mlx_gather(&next, current, picks, selection->axes, axes, selection->block, (size_t)part->ndim, stream);
  }
  mlx_vector_array_free(picks);
  bool done = follow(&current, next, failed);
  done = done && squeezed(&current, part->gone, part->gone_num, before, false, stream);
  done = done && squeezed(&current, part->added, part->added_num, before, true, stream);
  if (done && selection->place && before) {
    next = (mlx_array){0};
    moved(order, selection->shape_num, before, selection->place, false);
    follow(&current, next, mlx_transpose_axes(&next, current, order, (size_t)selection->shape_num, stream));
  }
  return current;
}

mlx_array selected(const Selection *selection, mlx_array array, mlx_stream stream) {
  mlx_array made = {0};
  if (!selection->picks_num) {
    return take_part(&selection->part, array, stream);
  }
  if (takes_along(selection)) {
    mlx_take_axis(&made, array, selection->picks[0], selection->axes[0], stream);
    return made;
  }
  if (is_empty(selection)) {
    mlx_zeros(&made, selection->shape, (size_t)selection->shape_num, mlx_array_dtype(array), stream);
    return made;
  }
  return gathered(selection, array, stream);
}
