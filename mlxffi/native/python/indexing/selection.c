/* What a key selects, and reading that (see selection.h). */

#include "indexing/selection.h"

/* --- from a key --- */

static void note_place(Selection *selection) {
  int place = selection->part.stay_num;
  selection->place = selection->place == MOST || selection->place == place ? place : -1;
}

static bool add_pick(Selection *selection, mlx_array positions, int size) {
  Part *part = &selection->part;
  int at = selection->picks_num++;
  if (!size && mlx_array_size(positions)) {
    return PyErr_Format(told.bounds, "[take] Cannot do a non-empty take from an empty axis.");
  }
  selection->picks[at] = positions;
  selection->axes[at] = part->ndim;
  note_place(selection);
  part->gone[part->gone_num++] = part->ndim;
  part->starts[part->ndim] = 0;
  part->stops[part->ndim] = size;
  part->steps[part->ndim++] = 1;
  return true;
}

static bool refuse_shapes(const Selection *selection) {
  PyObject *shapes = PyList_New(0);
  for (int i = 0; shapes && i < selection->picks_num; i++) {
    if (append_new(shapes, shape_tuple(selection->picks[i]))) {
      Py_CLEAR(shapes);
    }
  }
  if (shapes) {
    PyErr_Format(told.bounds, "[broadcast_shapes] Shapes %R cannot be broadcast.", shapes);
    Py_DECREF(shapes);
  }
  return false;
}

/* The sizes that all positions broadcast to. */
static bool broadcast_picks(Selection *selection) {
  selection->picked_num = 0;
  for (int i = 0; i < selection->picks_num; i++) {
    int ndim = (int)mlx_array_ndim(selection->picks[i]);
    selection->picked_num = ndim > selection->picked_num ? ndim : selection->picked_num;
  }
  if (selection->picked_num > MOST) {
    return PyErr_Format(told.bounds, "Arrays of indices can have at most %d axes.", MOST);
  }
  for (int at = 0; at < selection->picked_num; at++) {
    int size = 1;
    for (int i = 0; i < selection->picks_num; i++) {
      int axis = at - selection->picked_num + (int)mlx_array_ndim(selection->picks[i]);
      int found = axis < 0 ? 1 : mlx_array_shape(selection->picks[i])[axis];
      if (found != 1 && size != 1 && found != size) {
        return refuse_shapes(selection);
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

/* Axes that have no entry in the key. */
static bool add_others(Selection *selection, const int *shape, int count) {
  bool added = true;
  for (int i = 0; i < count && added; i++) {
    added = add_whole(&selection->part, shape[selection->part.ndim]);
  }
  return added;
}

/* Whether a key is one for an array of so many axes; false after an exception. */
static bool fits(const Key *key, int ndim) {
  int dots = 0;
  for (int i = 0; i < key->count; i++) {
    dots += key->entries[i].kind == DOTS;
  }
  if (dots > 1) {
    PyErr_SetString(told.bounds, "An index can only have a single ellipsis (...)");
  } else if (key->used > ndim) {
    PyErr_Format(told.bounds, "Too many indices for array with %d dimensions.", ndim);
  } else if (ndim > MOST) {
    PyErr_Format(told.bounds, "Expected an array of at most %d axes, got %d.", MOST, ndim);
  }
  return !PyErr_Occurred();
}

bool read_selection(Selection *selection, mlx_array array, const Key *key, bool reading) {
  int ndim = (int)mlx_array_ndim(array);
  const int *shape = mlx_array_shape(array);
  Part *part = &selection->part;
  part->ndim = part->gone_num = part->added_num = part->stay_num = selection->picks_num = 0;
  part->whole = true;
  selection->place = MOST;
  bool read = fits(key, ndim);
  for (int i = 0; i < key->count && read; i++) {
    const Entry *entry = &key->entries[i];
    if (entry->kind == POSITION && reading) {
      note_place(selection);
    }
    if (entry->kind == DOTS) {
      read = add_others(selection, shape, ndim - key->used);
    } else if (entry->kind == PICK) {
      read = add_pick(selection, entry->picks, shape[part->ndim]);
    } else {
      read = add_entry(part, entry, part->ndim < ndim ? shape[part->ndim] : 0);
    }
  }
  if (!read || !add_others(selection, shape, ndim - part->ndim) || !broadcast_picks(selection)) {
    return false;
  }
  describe(selection);
  return true;
}

/* --- reading --- */

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

static mlx_array gathered(const Selection *selection, mlx_array array, mlx_stream stream) {
  const Part *part = &selection->part;
  mlx_array from = strided_part(part, array, stream), current = {0};
  mlx_vector_array picks = packed_picks(selection);
  int order[2 * MOST], before = selection->picked_num;
  if (from.ctx && picks.ctx) {
    size_t axes = (size_t)selection->picks_num;
    mlx_gather(&current, from, picks, selection->axes, axes, selection->block, (size_t)part->ndim, stream);
  }
  mlx_vector_array_free(picks);
  mlx_array_free(from);
  if (with_axes_of(part, &current, before, stream) && selection->place && before) {
    moved(order, selection->shape_num, before, selection->place, false);
    shape_with(mlx_transpose_axes, &current, order, selection->shape_num, stream);
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
