/* Rows as functions of Python: those of the C ABI, such as `abi.sum_axis(a, axis, keepdims, stream)`, which is
 * mlx_sum_axis(), and others of the module. They take their arguments by position; those at the end that may be None can
 * be left out. */

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

/* --- as functions of a module --- */

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

bool add_rows(PyObject *module, const AbiRow *rows) {
  size_t count = 0;
  while (rows[count].row.name) {
    count++;
  }
  PyMethodDef *methods = PyMem_Calloc(count, sizeof *methods); /* as long as the process */
  bool added = methods || PyErr_NoMemory();
  for (size_t i = 0; i < count && added; i++) {
    added = add_row(module, &rows[i], &methods[i]);
  }
  return added;
}
