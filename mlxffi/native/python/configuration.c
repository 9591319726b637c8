/* The function `configure` (see configuration.h). */

#include "configuration.h"

#include "free_threads.h"

#include <stddef.h>

Configuration told;

/* Those of told.dtypes, which keeps them. */
static PyObject *dtypes[DTYPES];

#define PLACE(name) {#name, offsetof(Configuration, name)}

static const struct {
  const char *name;
  size_t place;
} places[] = {
  PLACE(array), PLACE(array_at), PLACE(stream), PLACE(device), PLACE(cpu), PLACE(gpu), PLACE(make_default),
  PLACE(thread_local_stream), PLACE(group), PLACE(dtypes),
  PLACE(error), PLACE(misfit), PLACE(bounds), PLACE(as_arrays), PLACE(as_array), PLACE(next_key), PLACE(holder), PLACE(not_arrays),
  PLACE(constant),
};

static PyObject **place_of(PyObject *name) {
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    if (!PyUnicode_CompareWithASCIIString(name, places[i].name)) {
      return (PyObject **)((char *)&told + places[i].place);
    }
  }
  PyErr_Format(PyExc_TypeError, "configure() has no argument %R", name);
  return NULL;
}

static PyObject *configure(PyObject *module, PyObject *arguments, PyObject *named) {
  PyObject *name, *value;
  Py_ssize_t at = 0;
  if (PyTuple_Size(arguments)) {
    return PyErr_Format(PyExc_TypeError, "configure() takes its arguments by name");
  }
  while (named && PyDict_Next(named, &at, &name, &value)) {
    PyObject **place = place_of(name), *before;
    if (!place) {
      return NULL;
    }
    before = *place;
    *place = immortal(Py_NewRef(value));
    Py_XDECREF(before);
  }
  if (told.dtypes && (!PyTuple_Check(told.dtypes) || PyTuple_Size(told.dtypes) != DTYPES)) {
    return PyErr_Format(PyExc_ValueError, "dtypes: expected a tuple of %d, got %R", DTYPES, told.dtypes);
  }
  for (int number = 0; told.dtypes && number < DTYPES; number++) {
    dtypes[number] = immortal(PyTuple_GetItem(told.dtypes, number));
  }
  Py_RETURN_NONE;
}

/* --- what is looked up in it --- */

PyObject *dtype_object(int number) {
  return Py_NewRef(dtypes[number]);
}

int read_dtype(PyObject *object) {
  for (int number = 0; number < DTYPES; number++) {
    if (dtypes[number] == object) {
      return number;
    }
  }
  return -1;
}

int device_type_of(PyObject *object) {
  return object == told.cpu ? 0 : object == told.gpu ? 1 : -1;
}

PyObject *device_type_object(int type) {
  return Py_NewRef(type == 0 ? told.cpu : told.gpu);
}

PyMethodDef configuration_functions[] = {
  {"configure", (PyCFunction)(void (*)(void))configure, METH_VARARGS | METH_KEYWORDS, "Tell the classes and functions that C needs."},
  {NULL, NULL, 0, NULL},
};
