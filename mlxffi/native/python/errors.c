/* Failures of C as exceptions: the one place that reads a thread's last error. */

#include "native.h"

#include <string.h>

void raise_error(mlxffi_error_kind kind, const char *text) {
  PyObject *message = PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
  PyObject *error = message && told.error ? PyObject_CallFunction(told.error, "iO", (int)kind, message) : NULL;
  if (error) {
    PyErr_SetObject((PyObject *)Py_TYPE(error), error);
  } else if (!PyErr_Occurred()) {
    PyErr_SetString(PyExc_RuntimeError, text);
  }
  Py_XDECREF(error);
  Py_XDECREF(message);
}

void raise_last_error(void) {
  mlxffi_error_kind kind = mlxffi_last_error_kind();
  PyObject *text = PyBytes_FromString(mlxffi_last_error_text());
  mlxffi_clear_error();
  if (text) {
    raise_error(kind, PyBytes_AsString(text));
    Py_DECREF(text);
  }
}

void raise_empty(void) {
  raise_error(MLXFFI_ERROR_INVALID_ARGUMENT, "the array was never given a value: array.__init__ has not run");
}
