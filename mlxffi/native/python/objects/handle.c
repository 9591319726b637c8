/* The class of what owns a handle that is none of an array (see handle.h). */

#include "objects/handle.h"

typedef struct {
  Weak head;
  void *ctx;
  char kind;
} Handle;

static PyTypeObject *handle_class;

const char *handle_name(char kind) {
  switch (kind) {
#define NAME(letter, type) \
  case letter:             \
    return #type;
    HANDLES(NAME)
    default:
      return "handle";
  }
}

static void free_handle(char kind, void *ctx) {
  switch (kind) {
#define FREE(letter, type)       \
  case letter:                   \
    type##_free((type){ctx});    \
    return;
    HANDLES(FREE)
  }
}

PyObject *new_handle(char kind, void *made) {
  if (!made) {
    return raise_last_error();
  }
  PyObject *self = PyType_GenericAlloc(kind == 'g' ? (PyTypeObject *)told.group : handle_class, 0);
  if (self) {
    ((Handle *)self)->ctx = made;
    ((Handle *)self)->kind = kind;
  } else {
    free_handle(kind, made);
  }
  return self;
}

void *handle_of(char kind, PyObject *object) {
  bool fit = PyObject_TypeCheck(object, handle_class) && ((Handle *)object)->kind == kind;
  return fit ? ((Handle *)object)->ctx : NULL;
}

static void handle_dealloc(PyObject *object) {
  Handle *self = (Handle *)object;
  free_handle(self->kind, self->ctx);
  free_object(object, self->head.weakrefs);
}

static PyObject *handle_repr(PyObject *object) {
  return PyUnicode_FromFormat("<%s>", handle_name(((Handle *)object)->kind));
}

static PyType_Slot slots[] = {
  {Py_tp_dealloc, handle_dealloc},
  {Py_tp_repr, handle_repr},
  {Py_tp_members, weak_members},
  {0, NULL},
};

#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION)
static PyType_Spec spec = {"mlxffi._native.Handle", sizeof(Handle), 0, FLAGS, slots};

bool init_handles(PyObject *module) {
  return (handle_class = (PyTypeObject *)added_class(module, "Handle", &spec));
}
