/* Failures of C as exceptions: the one place that reads a thread's last error. */

#include "native.h"

#include <stdarg.h>
#include <string.h>

PyObject *raise_error(mlxffi_error_kind kind, const char *text) {
  PyObject *message = PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
  PyObject *error = message && told.error ? PyObject_CallFunction(told.error, "iO", (int)kind, message) : NULL;
  if (error) {
    PyErr_SetObject((PyObject *)Py_TYPE(error), error);
  } else if (!PyErr_Occurred()) {
    PyErr_SetString(PyExc_RuntimeError, text);
  }
  Py_XDECREF(error);
  Py_XDECREF(message);
  return NULL;
}

PyObject *refused(mlxffi_error_kind kind, const char *format, ...) {
  va_list values;
  va_start(values, format);
  PyObject *text = PyUnicode_FromFormatV(format, values);
  va_end(values);
  const char *message = text ? PyUnicode_AsUTF8AndSize(text, NULL) : NULL;
  if (message) {
    raise_error(kind, message);
  }
  Py_XDECREF(text);
  return NULL;
}

PyObject *raise_last_error(void) {
  mlxffi_error_kind kind = mlxffi_last_error_kind();
  PyObject *text = PyBytes_FromString(mlxffi_last_error_text());
  mlxffi_clear_error();
  if (text) {
    raise_error(kind, PyBytes_AsString(text));
    Py_DECREF(text);
  }
  return NULL;
}

PyObject *raise_empty(void) {
  return raise_error(MLXFFI_ERROR_INVALID_ARGUMENT, "the array was never given a value: array.__init__ has not run");
}

/* --- exceptions on their way through C++ --- */

static _Thread_local PyObject *kept;

void forget_exception(void) {
  Py_CLEAR(kept);
}

void keep_exception(void) {
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  if (traceback) {
    PyException_SetTraceback(value, traceback);
  }
  Py_XDECREF(type);
  Py_XDECREF(traceback);
  forget_exception();
  kept = value;
}

PyObject *raise_failure(void) {
  PyObject *value = kept;
  kept = NULL;
  /* Where a callback failed, this takes the error away that C++ made of it. */
  raise_last_error();
  if (value) {
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(value)), value, PyException_GetTraceback(value));
  }
  return NULL;
}
