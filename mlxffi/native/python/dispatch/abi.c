/* The functions of the C ABI for Python: `abi.sum_axis(a, axis, keepdims, stream)` is mlx_sum_axis(). They take their
 * arguments by position; those at the end that may be None can be left out. */

#include "dispatch/conversions.h"

#include <string.h>

/* What may be left out. */
static bool is_optional(char letter) {
  return strchr("sAIBFDyG", letter);
}

static PyObject *wrong_count(const AbiRow *row, Py_ssize_t count) {
  PyErr_Format(PyExc_TypeError, "%s(%s): got %zd arguments", row->row.name, row->parameters, count);
  return NULL;
}

/* The arrays that operands stand for, which may be anything: a tuple; NULL after an exception. */
static PyObject *arrays_of_likes(const AbiRow *row, PyObject *const *arguments, Py_ssize_t count) {
  PyObject *likes = PyList_New(0), *tuple = NULL;
  for (Py_ssize_t i = 0; likes && i < count; i++) {
    if (row->row.letters[i] == 'l' && PyList_Append(likes, arguments[i])) {
      Py_CLEAR(likes);
    }
  }
  if (likes) {
    PyObject *given = PyList_AsTuple(likes);
    tuple = given ? PyObject_CallObject(told.as_arrays, given) : NULL;
    Py_XDECREF(given);
  }
  Py_XDECREF(likes);
  return tuple;
}

static bool needs_arrays(const AbiRow *row, PyObject *const *arguments, Py_ssize_t count) {
  for (Py_ssize_t i = 0; i < count; i++) {
    if (row->row.letters[i] == 'l' && !is_array(arguments[i])) {
      return true;
    }
  }
  return false;
}

/* Calls with so many arguments, of which `likes` replaces the operands. */
static PyObject *call_with(const AbiRow *row, PyObject *const *arguments, Py_ssize_t count, PyObject *likes) {
  Value values[MOST_PARAMETERS];
  int parameters = (int)strlen(row->row.letters), read = 0, next = 0;
  bool fit = true;
  while (fit && read < parameters) {
    PyObject *argument = read < count ? arguments[read] : Py_None;
    if (likes && row->row.letters[read] == 'l') {
      argument = PyTuple_GetItem(likes, next++);
    }
    fit = argument && convert_value(&values[read], row, read, argument);
    read += argument != NULL;
  }
  PyObject *result = fit ? row->row.call(values) : NULL;
  free_values(values, row->row.letters, read);
  return result;
}

static PyObject *row_called(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
  const AbiRow *row = PyCapsule_GetPointer(self, NULL);
  PyObject *likes = NULL;
  Py_ssize_t parameters = (Py_ssize_t)strlen(row->row.letters);
  if (count > parameters || (count < parameters && !is_optional(row->row.letters[count]))) {
    return wrong_count(row, count);
  }
  if (needs_arrays(row, arguments, count) && !(likes = arrays_of_likes(row, arguments, count))) {
    return NULL;
  }
  PyObject *result = call_with(row, arguments, count, likes);
  Py_XDECREF(likes);
  return result;
}

/* --- the module `abi` --- */

static bool add_row(PyObject *module, const AbiRow *row, PyMethodDef *method) {
  PyObject *self = PyCapsule_New((void *)row, NULL, NULL), *function = NULL;
  *method = (PyMethodDef){row->row.name, FAST(row_called), row->parameters};
  if (self) {
    function = PyCFunction_NewEx(method, self, NULL);
    Py_DECREF(self);
  }
  bool added = function && !PyObject_SetAttrString(module, row->row.name, function);
  Py_XDECREF(function);
  return added;
}

bool init_abi(PyObject *module, const AbiRow *rows) {
  size_t count = 0;
  while (rows[count].row.name) {
    count++;
  }
  static PyMethodDef *methods; /* as long as the process */
  methods = PyMem_Calloc(count, sizeof *methods);
  PyObject *abi = methods ? PyModule_New("mlxffi._native.abi") : NULL;
  bool added = abi != NULL;
  for (size_t i = 0; i < count && added; i++) {
    added = add_row(abi, &rows[i], &methods[i]);
  }
  return added && PyModule_AddObject(module, "abi", abi) == 0;
}
