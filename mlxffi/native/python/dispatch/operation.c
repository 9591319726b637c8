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
  PyObject *name, *otherwise; /* its default, if it has one */
} Parameter;

typedef struct {
  PyObject_VAR_HEAD
  Called *called;
  AbiRow row;
  PyObject *function;   /* which it stands for; a tuple until somebody asks for it: see `imported` */
  PyObject *name;       /* of the function; NULL: that of the row does */
  PyObject *joined;     /* the names of its parameters, between commas */
  bool reads, converts; /* arguments as they lie; all others, so that the function is never called */
  PyObject *weakrefs;
  int positional_only, positional, parameters; /* `parameters` without that of `*arguments` */
  bool rest;                                   /* whether there is one */
  bool has_likes, has_key;                     /* whether its row has such parameters */
  Parameter given[];
} Operation;

static char left_mark;
PyObject *const left_to_python = (PyObject *)&left_mark;
static PyObject *bound_class;

/* --- the function --- */

/* The function of a name in a module, which says that it is of another one: where the operation stands. */
static PyObject *imported(PyObject *place) {
  PyObject *module = PyImport_Import(PyTuple_GetItem(place, 0));
  PyObject *function = module ? PyObject_GetAttr(module, PyTuple_GetItem(place, 1)) : NULL;
  if (function && PyObject_SetAttrString(function, "__module__", PyTuple_GetItem(place, 2))) {
    Py_CLEAR(function);
  }
  Py_XDECREF(module);
  return function;
}

/* A new reference to the function that it stands for. Of most there is nothing but a signature and a documentation: they are
 * loaded when somebody asks for these. */
static PyObject *function_of(Operation *self) {
  PyObject *held = held_by((PyObject *)self, &self->function);
  if (!PyTuple_Check(held)) {
    return held;
  }
  PyObject *function = imported(held);
  if (function) {
    Py_DECREF(exchanged((PyObject *)self, &self->function, Py_NewRef(function)));
  }
  Py_DECREF(held);
  return function;
}

/* --- calls --- */

/* The call as Python makes it of arguments as they lie. */
static PyObject *call_function(Operation *self, PyObject *const *arguments, Py_ssize_t count, PyObject *names) {
  PyObject *positional = PyTuple_New(count), *named = names ? PyDict_New() : NULL, *result = NULL;
  PyObject *function = function_of(self);
  bool made = function && positional && (named || !names);
  for (Py_ssize_t i = 0; i < count && made; i++) {
    Py_INCREF(arguments[i]);
    made = PyTuple_SetItem(positional, i, arguments[i]) == 0;
  }
  for (Py_ssize_t i = 0; names && made && i < PyTuple_Size(names); i++) {
    made = PyDict_SetItem(named, PyTuple_GetItem(names, i), arguments[count + i]) == 0;
  }
  if (made) {
    result = PyObject_Call(function, positional, named);
  }
  Py_XDECREF(function);
  Py_XDECREF(positional);
  Py_XDECREF(named);
  return result;
}

/* The parameter of a keyword; -1 for none. Keywords in code are interned, as our names are. */
static int parameter_of(const Operation *self, PyObject *name) {
  for (int i = self->positional_only; i < self->parameters; i++) {
    if (self->given[i].name == name) {
      return i;
    }
  }
  for (int i = self->positional_only; i < self->parameters; i++) {
    if (!PyUnicode_Compare(self->given[i].name, name)) {
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
    places[i] = i < given ? arguments[i] : self->given[i].otherwise;
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

static PyObject *method_get(PyObject *self, PyObject *object, PyObject *type) {
  if (object && object != Py_None) {
    return PyObject_CallFunctionObjArgs(bound_class, self, object, NULL);
  }
  return Py_NewRef(self);
}

/* Its name, its documentation and the like are the function's, but not what binds that. */
static PyObject *operation_attribute(PyObject *self, PyObject *name) {
  PyObject *found = PyObject_GenericGetAttr(self, name);
  if (!found && PyErr_ExceptionMatches(PyExc_AttributeError) && PyUnicode_CompareWithASCIIString(name, "__get__")) {
    PyErr_Clear();
    PyObject *function = function_of((Operation *)self);
    found = function ? PyObject_GetAttr(function, name) : NULL;
    Py_XDECREF(function);
  }
  return found;
}

static PyObject *operation_attribute_of_function(PyObject *self, void *name) {
  PyObject *function = function_of((Operation *)self);
  PyObject *found = function ? PyObject_GetAttrString(function, name) : NULL;
  Py_XDECREF(function);
  return found;
}

static PyObject *operation_wrapped(PyObject *self, void *unused) {
  return function_of((Operation *)self);
}

static PyObject *operation_repr(PyObject *self) {
  PyObject *name = operation_attribute_of_function(self, "__qualname__");
  PyObject *text = name ? PyUnicode_FromFormat("<operation %U>", name) : NULL;
  Py_XDECREF(name);
  return text;
}

/* Pickled by its name, as functions are. */
static PyObject *operation_reduce(PyObject *self, PyObject *unused) {
  return operation_attribute_of_function(self, "__qualname__");
}

static void operation_dealloc(PyObject *object) {
  Operation *self = (Operation *)object;
  Py_XDECREF(self->function);
  Py_XDECREF(self->name);
  Py_XDECREF(self->joined);
  for (int i = 0; i < self->parameters; i++) {
    Py_XDECREF(self->given[i].name);
    Py_XDECREF(self->given[i].otherwise);
  }
  free_object(object, self->weakrefs);
}

static PyMemberDef members[] = {
  {"__vectorcalloffset__", T_PYSSIZET, offsetof(Operation, called), READONLY, NULL},
  {"__weaklistoffset__", T_PYSSIZET, offsetof(Operation, weakrefs), READONLY, NULL},
  {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef properties[] = {
  {"__wrapped__", operation_wrapped, NULL, "The function that it stands for.", NULL},
  {"__doc__", operation_attribute_of_function, NULL, NULL, "__doc__"},
  {"__module__", operation_attribute_of_function, NULL, NULL, "__module__"},
  {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef methods[] = {
  {"__reduce__", operation_reduce, METH_NOARGS, "Its name."},
  {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
  {Py_tp_descr_get, method_get},
  {Py_tp_dealloc, operation_dealloc},
  {Py_tp_call, operation_call},
  {Py_tp_getattro, operation_attribute},
  {Py_tp_repr, operation_repr},
  {Py_tp_members, members},
  {Py_tp_getset, properties},
  {Py_tp_methods, methods},
  {0, NULL},
};

#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_IMMUTABLETYPE)
#define METHOD_FLAGS (FLAGS | Py_TPFLAGS_METHOD_DESCRIPTOR)
/* Functions have no `__get__`, as those of mlx.core have none: they may stand in anybody's class. */
static PyType_Spec spec = {"mlxffi._native.Operation", sizeof(Operation), sizeof(Parameter), FLAGS, slots + 1};
static PyType_Spec method_spec = {"mlxffi._native.Method", sizeof(Operation), sizeof(Parameter), METHOD_FLAGS, slots};
static PyTypeObject *operation_class, *method_class;

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

/* The names of its parameters, and the defaults of those that have one. */
static bool read_parameters(Operation *self, PyObject *names, PyObject *defaults) {
  for (; self->parameters < (int)PyList_Size(names); self->parameters++) {
    PyObject *name = Py_NewRef(PyList_GetItem(names, self->parameters));
    PyObject *otherwise = PyTuple_GetItem(defaults, self->parameters);
    if (!otherwise) {
      return false;
    }
    PyUnicode_InternInPlace(&name);
    self->given[self->parameters] = (Parameter){name, otherwise == Py_Ellipsis ? NULL : Py_NewRef(otherwise)};
  }
  self->row.parameters = PyUnicode_AsUTF8AndSize(self->joined, NULL);
  return self->row.parameters;
}

/* Errors name what was called, where the row has the name of a function of C. */
static bool read_name(Operation *self) {
  if (PyTuple_Check(self->function)) {
    self->name = Py_NewRef(PyTuple_GetItem(self->function, 1));
    self->row.row.name = PyUnicode_AsUTF8AndSize(self->name, NULL);
  }
  return self->row.row.name;
}

/* An operation with the names in a list, or NULL where they are not as many as C reads. */
static Operation *allocated(const Row *row, PyObject *names) {
  bool rest = strchr(row->letters, '*') != NULL;
  Py_ssize_t count = PyList_Size(names), read = (Py_ssize_t)strlen(row->letters) - rest;
  if (count != read) {
    const char *text = "operation %s: C reads %zd parameters, the function has %zd";
    PyErr_Format(PyExc_TypeError, text, row->name, read, count);
    return NULL;
  }
  Operation *self = (Operation *)PyType_GenericAlloc(operation_class, count);
  if (self) {
    self->called = operation_called;
    self->row.row = *row;
    self->rest = rest;
    self->has_likes = strchr(row->letters, 'l') != NULL;
    self->has_key = strchr(row->letters, 'r') != NULL;
  }
  return self;
}

/* The names between commas. */
static PyObject *apart(PyObject *joined) {
  PyObject *comma = PyUnicode_FromString(",");
  PyObject *names = comma ? PyUnicode_Split(joined, comma, -1) : NULL;
  Py_XDECREF(comma);
  if (names && !PyUnicode_GetLength(joined) && PyList_SetSlice(names, 0, 1, NULL)) {
    Py_CLEAR(names);
  }
  return names;
}

static PyObject *new_operation(PyObject *module, PyObject *arguments) {
  const char *name;
  PyObject *function, *joined, *defaults;
  int positional_only, positional, reads, converts;
  if (!PyArg_ParseTuple(arguments, "sOUO!iipp", &name, &function, &joined, &PyTuple_Type, &defaults, &positional_only,
                        &positional, &reads, &converts)) {
    return NULL;
  }
  const Row *row = row_named(name);
  if (!row) {
    return PyErr_Format(PyExc_ValueError, "operation %s: C has no row for it", name);
  }
  PyObject *names = apart(joined);
  Operation *self = names ? allocated(row, names) : NULL;
  if (self) {
    self->function = Py_NewRef(function);
    self->joined = Py_NewRef(joined);
    self->positional_only = positional_only;
    self->positional = positional;
    self->reads = reads;
    self->converts = converts;
    if (!read_name(self) || !read_parameters(self, names, defaults)) {
      Py_CLEAR(self);
    }
  }
  Py_XDECREF(names);
  return immortal((PyObject *)self);
}

/* An operation as a method, which is bound to the object whose attribute it is; anything else as it is. */
static PyObject *new_method(PyObject *module, PyObject *object) {
  if (Py_TYPE(object) != operation_class) {
    return Py_NewRef(object);
  }
  const Operation *given = (Operation *)object;
  Operation *self = (Operation *)PyType_GenericAlloc(method_class, given->parameters);
  if (self) {
    const size_t head = offsetof(Operation, called);
    memcpy((char *)self + head, (char *)object + head, offsetof(Operation, given[given->parameters]) - head);
    self->weakrefs = NULL;
    self->function = held_by(object, &given->function);
    Py_XINCREF(self->name);
    Py_XINCREF(self->joined);
    for (int i = 0; i < self->parameters; i++) {
      Py_XINCREF(self->given[i].name);
      Py_XINCREF(self->given[i].otherwise);
    }
  }
  return immortal((PyObject *)self);
}

PyMethodDef operation_functions[] = {
  {"operation", new_operation, METH_VARARGS, "An operation: see mlxffi/core/_binding.py."},
  {"method", new_method, METH_O, "An operation as a method; anything else as it is."},
  {NULL, NULL, 0, NULL},
};

bool init_operations(const Row *const *all) {
  tables = all;
  PyObject *types = PyImport_ImportModule("types");
  bound_class = types ? PyObject_GetAttrString(types, "MethodType") : NULL;
  Py_XDECREF(types);
  operation_class = bound_class ? (PyTypeObject *)immortal(PyType_FromSpec(&spec)) : NULL;
  method_class = operation_class ? (PyTypeObject *)immortal(PyType_FromSpec(&method_spec)) : NULL;
  return method_class;
}
