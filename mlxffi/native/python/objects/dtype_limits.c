/* The base class of finfo and iinfo: one object for each dtype, which Python has made and put into a table. */

#include "dispatch/operation.h"

static PyObject *table_name, *fill_name;

/* What the table of a class has for a dtype, lent; NULL, without an exception, for anything else. */
static PyObject *in_table(PyObject *type, PyObject *arguments) {
  int number = PyTuple_Size(arguments) == 1 ? read_dtype(PyTuple_GetItem(arguments, 0)) : -1;
  PyObject *table = number >= 0 ? PyObject_GetAttr(type, table_name) : NULL, *found = NULL;
  if (table && PyTuple_Check(table) && number < PyTuple_Size(table)) {
    found = PyTuple_GetItem(table, number);
  }
  Py_XDECREF(table); /* its class keeps it */
  PyErr_Clear();
  return found && (PyObject *)Py_TYPE(found) == type ? found : NULL;
}

static PyObject *limits_new(PyTypeObject *type, PyObject *arguments, PyObject *named) {
  PyObject *found = named ? NULL : in_table((PyObject *)type, arguments);
  if (found) {
    Py_INCREF(found);
    return found;
  }
  PyObject *made = PyType_GenericAlloc(type, 0);
  PyObject *fill = made ? PyObject_GetAttr(made, fill_name) : NULL;
  PyObject *filled = fill ? PyObject_Call(fill, arguments, named) : NULL;
  if (!filled) {
    Py_CLEAR(made);
  }
  Py_XDECREF(fill);
  Py_XDECREF(filled);
  return made;
}

static PyType_Slot slots[] = {
  {Py_tp_new, limits_new},
  {0, NULL},
};
static PyType_Spec spec = {"mlxffi._native.OneForDtype", sizeof(PyObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};

bool init_limits(PyObject *module) {
  table_name = PyUnicode_InternFromString("_made");
  fill_name = PyUnicode_InternFromString("_fill");
  PyObject *type = table_name && fill_name ? PyType_FromSpec(&spec) : NULL;
  return type && PyModule_AddObject(module, "OneForDtype", type) == 0;
}
