/* The module mlxffi._dynamic: shared libraries by their path, for the loader. See mlxffi/_dynamic.py, whose functions these
 * are. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <dlfcn.h>
#include <stdint.h>

static PyObject *open_library(PyObject *module, PyObject *arguments) {
  PyObject *path;
  int mode;
  if (!PyArg_ParseTuple(arguments, "O&i", PyUnicode_FSConverter, &path, &mode)) {
    return NULL;
  }
  void *library = dlopen(PyBytes_AsString(path), mode);
  Py_DECREF(path);
  return library ? PyLong_FromVoidPtr(library) : PyErr_Format(PyExc_OSError, "%s", dlerror());
}

/* The function of a library that a call names first; NULL after an exception. */
static void *function_of(PyObject *library, const char *name) {
  void *handle = PyLong_AsVoidPtr(library);
  void *function = PyErr_Occurred() ? NULL : dlsym(handle, name);
  if (!function && !PyErr_Occurred()) {
    PyErr_Format(PyExc_AttributeError, "%s", dlerror());
  }
  return function;
}

static PyObject *text_of(PyObject *module, PyObject *arguments) {
  PyObject *library;
  const char *name;
  if (!PyArg_ParseTuple(arguments, "Os", &library, &name)) {
    return NULL;
  }
  const char *(*function)(void) = (const char *(*)(void))(uintptr_t)function_of(library, name);
  return function ? PyUnicode_FromString(function()) : NULL;
}

static PyObject *tell(PyObject *module, PyObject *arguments) {
  PyObject *library, *path;
  const char *name;
  if (!PyArg_ParseTuple(arguments, "OsO&", &library, &name, PyUnicode_FSConverter, &path)) {
    return NULL;
  }
  void (*function)(const char *) = (void (*)(const char *))(uintptr_t)function_of(library, name);
  if (function) {
    function(PyBytes_AsString(path));
  }
  Py_DECREF(path);
  return function ? Py_NewRef(Py_None) : NULL;
}

static PyMethodDef functions[] = {
  {"open_library", open_library, METH_VARARGS, "Load a shared library."},
  {"text_of", text_of, METH_VARARGS, "What a function without parameters returns."},
  {"tell", tell, METH_VARARGS, "Call a function with a path."},
  {NULL, NULL, 0, NULL},
};

/* In two phases, so that it loads in a subinterpreter, where the loader refuses in words. */
static PyModuleDef_Slot slots[] = {
#ifdef Py_GIL_DISABLED
  {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
  {0, NULL},
};

static struct PyModuleDef definition = {
  PyModuleDef_HEAD_INIT, "_dynamic", "Shared libraries by their path.", 0, functions, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__dynamic(void) {
  return PyModuleDef_Init(&definition);
}
