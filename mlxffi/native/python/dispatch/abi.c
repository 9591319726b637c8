/* The functions of the C ABI for Python: `abi.sum_axis(a, axis, keepdims, stream)` is mlx_sum_axis(). They take their
 * arguments by position; those at the end that may be None can be left out. */

#include "dispatch/conversions.h"

#include <string.h>

/* What may be left out. */
static bool is_optional(char letter) {
  return strchr("sAIBFDyG", letter);
}

static PyObject *wrong_count(const AbiRow *row, Py_ssize_t count) {
  return PyErr_Format(PyExc_TypeError, "%s(%s): got %zd arguments", row->row.name, row->parameters, count);
}

static PyObject *row_called(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
  const AbiRow *row = PyCapsule_GetPointer(self, NULL);
  Py_ssize_t parameters = (Py_ssize_t)strlen(row->row.letters);
  if (count > parameters || (count < parameters && !is_optional(row->row.letters[count]))) {
    return wrong_count(row, count);
  }
  return call_converted(row, arguments, count, NULL);
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
