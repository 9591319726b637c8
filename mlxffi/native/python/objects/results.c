/* What calls give, as Python takes it. What C has made is given up; an empty handle stands for an error,
 * which is raised. */

#include "native.h"

#include <string.h>

PyObject *none_after(int failed) {
  return failed ? raise_failure() : Py_NewRef(Py_None);
}

/* --- arrays --- */

static PyObject *all_of(mlx_vector_array made, bool tuple) {
  PyObject *all = share_all(made, tuple);
  mlx_vector_array_free(made);
  return all;
}

PyObject *listed(mlx_vector_array made) {
  return all_of(made, false);
}

PyObject *tupled(mlx_vector_array made) {
  return all_of(made, true);
}

PyObject *one_or_tupled(mlx_vector_array made) {
  mlx_array first = {0};
  if (!made.ctx || mlx_vector_array_size(made) > 1) {
    return tupled(made);
  }
  mlx_vector_array_get(&first, made, 0);
  mlx_vector_array_free(made);
  return one(first);
}

PyObject *pair(mlx_array first, mlx_array second) {
  PyObject *a = one(first), *b = a ? one(second) : NULL;
  PyObject *both = b ? PyTuple_Pack(2, a, b) : NULL;
  Py_XDECREF(a);
  Py_XDECREF(b);
  return both;
}

PyObject *replaced(PyObject *array, mlx_array made) {
  return replace(array, made) ? Py_NewRef(array) : NULL;
}

/* --- texts and ints --- */

int append_new(PyObject *list, PyObject *item) {
  int failed = !item || PyList_Append(list, item);
  Py_XDECREF(item);
  return failed ? -1 : 0;
}

static PyObject *decoded(const char *text) {
  return PyUnicode_DecodeUTF8(text ? text : "", text ? (Py_ssize_t)strlen(text) : 0, "surrogateescape");
}

PyObject *text_of(mlx_string made) {
  PyObject *text = made.ctx ? decoded(mlx_string_data(made)) : raise_failure();
  mlx_string_free(made);
  return text;
}

PyObject *texts_of(mlx_vector_string made) {
  PyObject *list = made.ctx ? PyList_New(0) : raise_failure();
  for (size_t i = 0; list && i < mlx_vector_string_size(made); i++) {
    char *text = NULL;
    mlx_vector_string_get(&text, made, i);
    if (append_new(list, decoded(text))) {
      Py_CLEAR(list);
    }
  }
  mlx_vector_string_free(made);
  return list;
}

PyObject *ints_in(mlx_vector_int made) {
  PyObject *list = made.ctx ? PyList_New(0) : raise_failure();
  for (size_t i = 0; list && i < mlx_vector_int_size(made); i++) {
    int value = 0;
    mlx_vector_int_get(&value, made, i);
    if (append_new(list, PyLong_FromLong(value))) {
      Py_CLEAR(list);
    }
  }
  mlx_vector_int_free(made);
  return list;
}

/* --- dicts --- */

static bool put_item(PyObject *dict, const char *name, PyObject *value) {
  PyObject *key = value ? decoded(name) : NULL;
  bool done = key && !PyDict_SetItem(dict, key, value);
  Py_XDECREF(key);
  Py_XDECREF(value);
  return done;
}

PyObject *named_arrays(mlx_map_string_to_array map) {
  PyObject *dict = map.ctx ? PyDict_New() : raise_failure();
  mlx_map_string_to_array_iterator at = mlx_map_string_to_array_iterator_new(map);
  const char *name;
  mlx_array array = {0};
  while (dict && !mlx_map_string_to_array_iterator_next(&name, &array, at)) {
    PyObject *value = one(array);
    array = (mlx_array){0};
    if (!put_item(dict, name, value)) {
      Py_CLEAR(dict);
    }
  }
  mlx_map_string_to_array_iterator_free(at);
  return dict;
}

PyObject *arrays_by_name(mlx_map_string_to_array made) {
  PyObject *dict = named_arrays(made);
  mlx_map_string_to_array_free(made);
  return dict;
}

PyObject *texts_by_name(mlx_map_string_to_string made) {
  PyObject *dict = made.ctx ? PyDict_New() : raise_failure();
  mlx_map_string_to_string_iterator at = mlx_map_string_to_string_iterator_new(made);
  const char *name, *text;
  while (dict && !mlx_map_string_to_string_iterator_next(&name, &text, at)) {
    if (!put_item(dict, name, decoded(text))) {
      Py_CLEAR(dict);
    }
  }
  mlx_map_string_to_string_iterator_free(at);
  mlx_map_string_to_string_free(made);
  return dict;
}
