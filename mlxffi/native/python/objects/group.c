/* The base class of groups of processes: it owns one mlx_distributed_group. */

#include "dispatch/operation.h"

#include <stddef.h>
#include <structmember.h>

typedef struct {
  PyObject_HEAD
  mlx_distributed_group group;
  PyObject *weakrefs;
} GroupOwner;

PyObject *new_group(mlx_distributed_group group) {
  if (!group.ctx) {
    raise_last_error();
    return NULL;
  }
  PyObject *made = PyType_GenericAlloc((PyTypeObject *)told.group, 0);
  if (made) {
    ((GroupOwner *)made)->group = group;
  } else {
    mlx_distributed_group_free(group);
  }
  return made;
}

static PyObject *group_own(PyObject *unused, PyObject *handle) {
  (void)unused;
  void *group = PyLong_AsVoidPtr(handle);
  return PyErr_Occurred() ? NULL : new_group((mlx_distributed_group){group});
}

void *group_of(PyObject *object) {
  return PyObject_TypeCheck(object, (PyTypeObject *)told.group) ? ((GroupOwner *)object)->group.ctx : NULL;
}

static int group_init(PyObject *self, PyObject *arguments, PyObject *named) {
  (void)self, (void)arguments, (void)named;
  PyErr_SetString(PyExc_TypeError, "Group: no constructor defined; use distributed.init");
  return -1;
}

static void group_dealloc(PyObject *object) {
  GroupOwner *self = (GroupOwner *)object;
  PyTypeObject *type = Py_TYPE(object);
  if (self->weakrefs) {
    PyObject_ClearWeakRefs(object);
  }
  if (self->group.ctx) {
    mlx_distributed_group_free(self->group);
  }
  ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
  Py_DECREF(type);
}

static PyObject *group_handle(PyObject *self, void *unused) {
  (void)unused;
  return PyLong_FromVoidPtr(((GroupOwner *)self)->group.ctx);
}

static PyObject *group_rank(PyObject *self, PyObject *unused) {
  (void)unused;
  return PyLong_FromLong(mlx_distributed_group_rank(((GroupOwner *)self)->group));
}

static PyObject *group_size(PyObject *self, PyObject *unused) {
  (void)unused;
  return PyLong_FromLong(mlx_distributed_group_size(((GroupOwner *)self)->group));
}

static PyGetSetDef properties[] = {
  {"_h", group_handle, NULL, "The mlx_distributed_group as an int.", NULL},
  {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef members[] = {
  {"__weaklistoffset__", T_PYSSIZET, offsetof(GroupOwner, weakrefs), READONLY, NULL},
  {NULL, 0, 0, 0, NULL},
};

static PyMethodDef methods[] = {
  {"_own", group_own, METH_O | METH_CLASS, "The owner of a fresh handle; 0 stands for an error, which is raised."},
  {"rank", group_rank, METH_NOARGS, "The number of this process in the group."},
  {"size", group_size, METH_NOARGS, "How many processes the group has."},
  {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
  {Py_tp_init, group_init},
  {Py_tp_dealloc, group_dealloc},
  {Py_tp_getset, properties},
  {Py_tp_members, members},
  {Py_tp_methods, methods},
  {0, NULL},
};
static PyType_Spec spec = {"mlxffi._native.GroupOwner", sizeof(GroupOwner), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};

bool init_groups(PyObject *module) {
  PyObject *type = PyType_FromSpec(&spec);
  return type && PyModule_AddObject(module, "GroupOwner", type) == 0;
}
