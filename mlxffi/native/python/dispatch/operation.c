/* The class of operations: they read what they are called with in C, and call C. What they cannot read they convert, or
 * leave to Python. */

#include "dispatch/operation.h"

#include "dispatch/conversions.h"

#include <string.h>

/* In the limited API from 3.12 on, with the meaning that they have had since 3.9. */
#ifndef Py_TPFLAGS_HAVE_VECTORCALL
#define Py_TPFLAGS_HAVE_VECTORCALL (1UL << 11)
#endif
#define COUNT_MASK (~((size_t)1 << (8 * sizeof(size_t) - 1)))

typedef PyObject *Called(PyObject *self, PyObject *const *arguments, size_t count, PyObject *names);

typedef struct {
  PyObject_HEAD
  Called *called;
  AbiRow row;
  PyObject *function;   /* which it stands for */
  PyObject *joined;     /* the names of its parameters, between commas */
  bool reads, converts; /* arguments as they lie; all others, so that the function is never called */
  PyObject *weakrefs;
  int positional_only, positional, parameters; /* `parameters` without that of `*arguments` */
  bool rest;                                   /* whether there is one */
  bool has_likes, has_key;                     /* whether its row has such parameters */
  PyObject *names[MOST_PARAMETERS], *defaults[MOST_PARAMETERS];
} Operation;

static char left_mark;
PyObject *const left_to_python = (PyObject *)&left_mark;
static PyObject *method_class;

/* --- calls --- */

/* The call as Python makes it of arguments as they lie. */
static PyObject *call_function(Operation *self, PyObject *const *arguments, Py_ssize_t count, PyObject *names) {
  PyObject *positional = PyTuple_New(count), *named = names ? PyDict_New() : NULL, *result = NULL;
  bool made = positional && (named || !names);
  for (Py_ssize_t i = 0; i < count && made; i++) {
    Py_INCREF(arguments[i]);
    made = PyTuple_SetItem(positional, i, arguments[i]) == 0;
  }
  for (Py_ssize_t i = 0; names && made && i < PyTuple_Size(names); i++) {
    made = PyDict_SetItem(named, PyTuple_GetItem(names, i), arguments[count + i]) == 0;
  }
  if (made) {
    result = PyObject_Call(self->function, positional, named);
  }
  Py_XDECREF(positional);
  Py_XDECREF(named);
  return result;
}

/* The parameter of a keyword; -1 for none. Keywords in code are interned, as our names are. */
static int parameter_of(const Operation *self, PyObject *name) {
  for (int i = self->positional_only; i < self->parameters; i++) {
    if (self->names[i] == name) {
      return i;
    }
  }
  for (int i = self->positional_only; i < self->parameters; i++) {
    if (!PyUnicode_Compare(self->names[i], name)) {
      return i;
    }
  }
  return -1;
}

/* The arguments that have names in their places, of which the first `given` are taken; false where they do not fit. */
static bool place_named(const Operation *self, PyObject **places, int given, PyObject *const *values, PyObject *names) {
  for (Py_ssize_t i = 0, named = PyTuple_Size(names); i < named; i++) {
    int at = parameter_of(self, PyTuple_GetItem(names, i));
    if (at < given) {
      return false;
    }
    places[at] = values[i];
  }
  return true;
}

/* Each argument at its parameter, or the default; false where they do not fit. */
static bool place(const Operation *self, PyObject **places, PyObject *const *arguments, Py_ssize_t count,
                  PyObject *names) {
  int given = count < self->positional ? (int)count : self->positional;
  if (count > given && !self->rest) {
    return false;
  }
  for (int i = 0; i < self->parameters; i++) {
    places[i] = i < given ? arguments[i] : self->defaults[i];
  }
  bool fit = !names || place_named(self, places, given, arguments + count, names);
  for (int i = given; i < self->parameters && fit; i++) {
    fit = places[i] || self->row.row.letters[i] == 'm';
  }
  return fit;
}

/* What C gives for arguments in their places; `left_to_python` for others than it reads. */
static PyObject *call_row(const Operation *self, PyObject *const *places, PyObject *const *rest, int rest_count) {
  Value values[MOST_PARAMETERS];
  const char *letters = self->row.row.letters;
  bool read = true;
  int count = 0;
  for (; count < self->parameters && read; count++) {
    read = read_value(&values[count], letters[count], places[count]);
  }
  if (self->rest) {
    values[count].items = rest;
    values[count].count = rest_count;
  }
  PyObject *result = left_to_python;
  if (read && (!self->has_likes || match_likes(values, letters))) {
    /* The keys last, for they must not be taken twice. */
    bool keyed = !self->has_key || take_keys(values, letters);
    result = keyed ? self->row.row.call(values) : NULL;
  }
  free_values(values, letters, count);
  return result;
}

static PyObject *call_with_others(const Operation *self, PyObject *const *places, PyObject *const *rest, int rest_count) {
  Value values = {.items = rest, .count = rest_count};
  return call_converted(&self->row, places, self->parameters, self->rest ? &values : NULL);
}

static PyObject *operation_called(PyObject *object, PyObject *const *arguments, size_t flagged, PyObject *names) {
  Operation *self = (Operation *)object;
  Py_ssize_t count = (Py_ssize_t)(flagged & COUNT_MASK);
  PyObject *places[MOST_PARAMETERS];
  if (told.array && count < INT32_MAX && place(self, places, arguments, count, names)) {
    PyObject *const *rest = arguments + self->positional;
    int rest_count = count > self->positional ? (int)count - self->positional : 0;
    PyObject *result = self->reads ? call_row(self, places, rest, rest_count) : left_to_python;
    if (result == left_to_python && self->converts) {
      result = call_with_others(self, places, rest, rest_count);
    }
    if (result != left_to_python) {
      return result;
    }
  }
  /* Of one that converts this raises the error for arguments that do not fit the signature. */
  PyObject *result = call_function(self, arguments, count, names);
  if (result && self->converts) {
    Py_CLEAR(result);
    PyErr_Format(PyExc_SystemError, "operation %s has no body in Python", self->row.row.name);
  }
  return result;
}

static PyObject *operation_call(PyObject *self, PyObject *arguments, PyObject *named) {
  return PyObject_Call(self, arguments, named); /* by vectorcall */
}

/* --- the object --- */

static PyObject *operation_get(PyObject *self, PyObject *object, PyObject *type) {
  if (object && object != Py_None) {
    return PyObject_CallFunctionObjArgs(method_class, self, object, NULL);
  }
  return Py_NewRef(self);
}

/* Its name, its documentation and the like are the function's. */
static PyObject *operation_attribute(PyObject *self, PyObject *name) {
  PyObject *found = PyObject_GenericGetAttr(self, name);
  if (!found && PyErr_ExceptionMatches(PyExc_AttributeError)) {
    PyErr_Clear();
    found = PyObject_GetAttr(((Operation *)self)->function, name);
  }
  return found;
}

static PyObject *operation_attribute_of_function(PyObject *self, void *name) {
  return PyObject_GetAttrString(((Operation *)self)->function, name);
}

static PyObject *operation_repr(PyObject *self) {
  PyObject *name = PyObject_GetAttrString(((Operation *)self)->function, "__qualname__");
  PyObject *text = name ? PyUnicode_FromFormat("<operation %U>", name) : NULL;
  Py_XDECREF(name);
  return text;
}

/* Pickled by its name, as functions are. */
static PyObject *operation_reduce(PyObject *self, PyObject *unused) {
  return PyObject_GetAttrString(((Operation *)self)->function, "__qualname__");
}

static void operation_dealloc(PyObject *object) {
  Operation *self = (Operation *)object;
  Py_XDECREF(self->function);
  Py_XDECREF(self->joined);
  for (int i = 0; i < self->parameters; i++) {
    Py_XDECREF(self->names[i]);
    Py_XDECREF(self->defaults[i]);
  }
  free_object(object, self->weakrefs);
}

static PyMemberDef members[] = {
  {"__wrapped__", T_OBJECT_EX, offsetof(Operation, function), READONLY, "The function that it stands for."},
  {"__vectorcalloffset__", T_PYSSIZET, offsetof(Operation, called), READONLY, NULL},
  {"__weaklistoffset__", T_PYSSIZET, offsetof(Operation, weakrefs), READONLY, NULL},
  {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef properties[] = {
  {"__doc__", operation_attribute_of_function, NULL, NULL, "__doc__"},
  {"__module__", operation_attribute_of_function, NULL, NULL, "__module__"},
  {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef methods[] = {
  {"__reduce__", operation_reduce, METH_NOARGS, "Its name."},
  {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
  {Py_tp_dealloc, operation_dealloc},
  {Py_tp_call, operation_call},
  {Py_tp_descr_get, operation_get},
  {Py_tp_getattro, operation_attribute},
  {Py_tp_repr, operation_repr},
  {Py_tp_members, members},
  {Py_tp_getset, properties},
  {Py_tp_methods, methods},
  {0, NULL},
};

#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR | Py_TPFLAGS_IMMUTABLETYPE)
static PyType_Spec spec = {"mlxffi._native.Operation", sizeof(Operation), 0, FLAGS, slots};
static PyTypeObject *operation_class;

/* --- from functions --- */

/* Told by module.c, which stands above them all. */
static const Row *const *tables;

static const Row *row_named(const char *name) {
  for (int table = 0; tables[table]; table++) {
    for (const Row *row = tables[table]; row->name; row++) {
      if (!strcmp(row->name, name)) {
        return row;
      }
    }
  }
  return NULL;
}

/* The names of its parameters, those that can be left out by their names, and how many letters its row has for them. */
static bool read_parameters(Operation *self, PyObject *names, PyObject *defaults) {
  const char *letters = self->row.row.letters;
  PyObject *comma = PyUnicode_FromString(",");
  self->rest = strchr(letters, '*') != NULL;
  self->has_likes = strchr(letters, 'l') != NULL;
  self->has_key = strchr(letters, 'r') != NULL;
  int count = (int)PyTuple_Size(names), read = (int)strlen(letters) - self->rest;
  if (count != read) {
    const char *text = "operation %s: C reads %d parameters, the function has %d";
    PyErr_Format(PyExc_TypeError, text, self->row.row.name, read, count);
  }
  for (; !PyErr_Occurred() && self->parameters < count; self->parameters++) {
    PyObject *name = PyTuple_GetItem(names, self->parameters);
    self->names[self->parameters] = Py_NewRef(name);
    self->defaults[self->parameters] = Py_XNewRef(PyDict_GetItemWithError(defaults, name));
  }
  self->joined = comma && !PyErr_Occurred() ? PyUnicode_Join(comma, names) : NULL;
  self->row.parameters = self->joined ? PyUnicode_AsUTF8AndSize(self->joined, NULL) : NULL;
  Py_XDECREF(comma);
  return self->row.parameters;
}

static PyObject *new_operation(PyObject *module, PyObject *arguments) {
  const char *name;
  PyObject *function, *names, *defaults;
  int positional_only, positional, reads, converts;
  if (!PyArg_ParseTuple(arguments, "sOO!O!iipp", &name, &function, &PyTuple_Type, &names, &PyDict_Type, &defaults,
                        &positional_only, &positional, &reads, &converts)) {
    return NULL;
  }
  const Row *row = row_named(name);
  if (!row) {
    return PyErr_Format(PyExc_ValueError, "operation %s: C has no row for it", name);
  }
  Operation *self = (Operation *)PyType_GenericAlloc(operation_class, 0);
  if (self) {
    self->called = operation_called;
    self->row.row = *row;
    self->function = Py_NewRef(function);
    self->positional_only = positional_only;
    self->positional = positional;
    self->reads = reads;
    self->converts = converts;
    if (!read_parameters(self, names, defaults)) {
      Py_CLEAR(self);
    }
  }
  return immortal((PyObject *)self);
}

PyMethodDef operation_functions[] = {
  {"operation", new_operation, METH_VARARGS, "An operation: see mlxffi/core/_binding.py."},
  {NULL, NULL, 0, NULL},
};

bool init_operations(const Row *const *all) {
  tables = all;
  PyObject *types = PyImport_ImportModule("types");
  method_class = types ? PyObject_GetAttrString(types, "MethodType") : NULL;
  Py_XDECREF(types);
  operation_class = method_class ? (PyTypeObject *)immortal(PyType_FromSpec(&spec)) : NULL;
  return operation_class;
}
