/* Rows as functions of Python: those of the C ABI, such as `abi.sum_axis(a, axis, keepdims, stream)`, which is
 * mlx_sum_axis(), and others of the module. They take their arguments by position; those at the end that may be None can
 * be left out. */

#include "dispatch/conversions.h"

#include <string.h>

extern const AbiRow abi_rows[]; /* in generated/ */

/* A row as a function: how many parameters it has, and how many of these must be given. */
typedef struct {
  PyMethodDef method;
  const AbiRow *row;
  Py_ssize_t parameters, required;
} AbiFunction;

static PyObject *row_called(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
  const AbiFunction *function = PyCapsule_GetPointer(self, NULL);
  const AbiRow *row = function->row;
  if (count > function->parameters || count < function->required) {
    return PyErr_Format(PyExc_TypeError, "%s(%s): got %zd arguments", row->row.name, row->parameters, count);
  }
  return call_converted(row, arguments, count, NULL);
}

/* --- as functions of a module --- */

static Py_ssize_t required(const char *letters) {
  Py_ssize_t count = (Py_ssize_t)strlen(letters);
  while (count && strchr("sAIBFDyG", letters[count - 1])) {
    count--;
  }
  return count;
}

static bool add_row(PyObject *module, const AbiRow *row) {
  AbiFunction *place = PyMem_Calloc(1, sizeof *place); /* as long as the process */
  PyObject *self = place ? PyCapsule_New(place, NULL, NULL) : PyErr_NoMemory(), *function = NULL;
  if (self) {
    PyMethodDef method = {row->row.name, FAST(row_called), row->parameters};
    *place = (AbiFunction){method, row, (Py_ssize_t)strlen(row->row.letters), required(row->row.letters)};
    function = PyCFunction_NewEx(&place->method, self, NULL);
  }
  bool added = function && !PyObject_SetAttrString(module, row->row.name, function);
  Py_XDECREF(self);
  Py_XDECREF(function);
  return added;
}

bool add_rows(PyObject *module, const AbiRow *rows) {
  while (rows->row.name && add_row(module, rows)) {
    rows++;
  }
  return !rows->row.name;
}

/* --- the module of the ABI --- */

/* All at once: a module that makes them on demand has a `__getattr__`, with which each look-up costs three times as much. */
bool add_abi(PyObject *module) {
  PyObject *abi = PyModule_New("mlxffi._native.abi");
  return abi && add_rows(abi, abi_rows) && !PyModule_AddObject(module, "abi", abi);
}
