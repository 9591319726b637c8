/* The base class of `array.at[key]`: an array and a key, or none yet. */

#include "native.h"


typedef struct {
  PyObject_HEAD
  PyObject *array, *key;
} PartOwner;

static PyObject *part_owner;

bool part_array(PyObject *object, PyObject **array) {
  bool part = part_owner && PyObject_TypeCheck(object, (PyTypeObject *)part_owner);
  *array = part ? held_by(object, &((PartOwner *)object)->array) : NULL;
  return *array != NULL;
}

bool read_part(PyObject *object, PyObject **array, PyObject **key) {
  *key = part_array(object, array) ? held_by(object, &((PartOwner *)object)->key) : NULL;
  if (!*key) {
    Py_CLEAR(*array);
  }
  return *key != NULL;
}

PyObject *new_part(PyObject *array, PyObject *key) {
  PyObject *made = PyType_GenericAlloc((PyTypeObject *)told.array_at, 0);
  if (made) {
    Py_INCREF(array);
    Py_XINCREF(key);
    ((PartOwner *)made)->array = array;
    ((PartOwner *)made)->key = key;
  }
  return made;
}

static int part_clear(PyObject *self) {
  Py_CLEAR(((PartOwner *)self)->array);
  Py_CLEAR(((PartOwner *)self)->key);
  return 0;
}

static int part_traverse(PyObject *self, visitproc visit, void *arg) {
  Py_VISIT(((PartOwner *)self)->array);
  Py_VISIT(((PartOwner *)self)->key);
  Py_VISIT(Py_TYPE(self));
  return 0;
}

static void part_dealloc(PyObject *self) {
  PyObject_GC_UnTrack(self);
  part_clear(self);
  free_object(self, NULL);
}

static PyMemberDef members[] = {
  {"_array", T_OBJECT_EX, offsetof(PartOwner, array), 0, "The array."},
  {"_key", T_OBJECT_EX, offsetof(PartOwner, key), 0, "The key, where there is one."},
  {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
  {Py_tp_dealloc, part_dealloc},
  {Py_tp_traverse, part_traverse},
  {Py_tp_clear, part_clear},
  {Py_tp_members, members},
  {0, NULL},
};

#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC)
static PyType_Spec spec = {"mlxffi._native.PartOwner", sizeof(PartOwner), 0, FLAGS, slots};

bool init_parts(PyObject *module) {
  return (part_owner = added_class(module, "PartOwner", &spec));
}
