/* The base classes of devices and streams of mlxffi.core. A device is its type and index, of which calls make a C object. A
 * stream owns its C object. */

#include "native.h"

typedef struct {
  Weak head;
  int type, index; /* type: in the C enum */
} DeviceOwner;

typedef struct {
  Weak head;
  mlx_stream stream;
} StreamOwner;

static PyObject *device_owner, *stream_owner;

static bool is_device(PyObject *object) {
  return PyObject_TypeCheck(object, (PyTypeObject *)device_owner);
}

static bool is_stream(PyObject *object) {
  return PyObject_TypeCheck(object, (PyTypeObject *)stream_owner);
}

/* --- devices --- */

bool device_place(PyObject *object, int *type, int *index) {
  *index = 0;
  *type = device_type_of(object);
  if (*type < 0 && is_device(object)) {
    *type = ((DeviceOwner *)object)->type;
    *index = ((DeviceOwner *)object)->index;
  }
  return *type >= 0;
}

mlx_device device_for(PyObject *object) {
  int type, index;
  return device_place(object, &type, &index) ? mlx_device_new_type((mlx_device_type)type, index) : (mlx_device){0};
}

PyObject *new_device(mlx_device device) {
  mlx_device_type type;
  int index;
  PyObject *made = NULL;
  if (!device.ctx || mlx_device_get_type(&type, device) || mlx_device_get_index(&index, device)) {
    raise_last_error();
  } else if ((made = PyType_GenericAlloc((PyTypeObject *)told.device, 0))) {
    ((DeviceOwner *)made)->type = (int)type;
    ((DeviceOwner *)made)->index = index;
  }
  mlx_device_free(device);
  return made;
}

static bool read_place(DeviceOwner *self, PyObject *kind, PyObject *index) {
  int type = device_type_of(kind), overflow = 0;
  bool whole = !index || PyLong_Check(index);
  int64_t number = index && whole ? PyLong_AsLongLongAndOverflow(index, &overflow) : 0;
  if (type < 0) {
    return PyErr_Format(PyExc_TypeError, "type: expected a DeviceType, got %R", kind);
  }
  if (!whole || overflow || number < INT32_MIN || number > INT32_MAX) {
    return PyErr_Format(PyExc_TypeError, "index: expected an int of 32 bits, got %R", index);
  }
  self->type = type;
  self->index = (int)number;
  return true;
}

static int device_init(PyObject *self, PyObject *arguments, PyObject *named) {
  static char *names[] = {"type", "index", NULL};
  Py_ssize_t count = PyTuple_Size(arguments);
  PyObject *kind, *index = NULL;
  if (!named && (count == 1 || count == 2)) {
    kind = PyTuple_GetItem(arguments, 0);
    index = count == 2 ? PyTuple_GetItem(arguments, 1) : NULL;
  } else if (!PyArg_ParseTupleAndKeywords(arguments, named, "O|O:Device", names, &kind, &index)) {
    return -1;
  }
  return read_place((DeviceOwner *)self, kind, index) ? 0 : -1;
}

static PyObject *device_type(PyObject *self, void *unused) {
  return device_type_object(((DeviceOwner *)self)->type);
}

static PyObject *device_index(PyObject *self, void *unused) {
  return PyLong_FromLong(((DeviceOwner *)self)->index);
}

static PyObject *device_repr(PyObject *object) {
  DeviceOwner *self = (DeviceOwner *)object;
  return PyUnicode_FromFormat("Device(%s, %d)", self->type == MLX_CPU ? "cpu" : "gpu", self->index);
}

static PyObject *device_compare(PyObject *object, PyObject *other, int operator) {
  DeviceOwner *self = (DeviceOwner *)object;
  int type, index;
  if (operator != Py_EQ && operator != Py_NE) {
    Py_RETURN_NOTIMPLEMENTED;
  }
  bool same = device_place(other, &type, &index) && type == self->type && index == self->index;
  return PyBool_FromLong(same == (operator == Py_EQ));
}

static Py_hash_t hash_of_object(PyObject *self) {
  Py_hash_t hash = (Py_hash_t)((uintptr_t)self >> 4);
  return hash == -1 ? -2 : hash;
}

static PyGetSetDef device_properties[] = {
  {"type", device_type, NULL, "Its type.", NULL},
  {"index", device_index, NULL, "Its number among the devices of its type.", NULL},
  {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot device_slots[] = {
  {Py_tp_init, device_init},
  {Py_tp_repr, device_repr},
  {Py_tp_richcompare, device_compare},
  {Py_tp_hash, hash_of_object},
  {Py_tp_getset, device_properties},
  {Py_tp_members, weak_members},
  {0, NULL},
};

/* --- streams --- */

void *stream_of(PyObject *object) {
  return is_stream(object) ? ((StreamOwner *)object)->stream.ctx : NULL;
}

PyObject *new_stream(mlx_stream stream) {
  if (!stream.ctx) {
    return raise_last_error();
  }
  PyObject *made = PyType_GenericAlloc((PyTypeObject *)told.stream, 0);
  if (made) {
    ((StreamOwner *)made)->stream = stream;
  } else {
    mlx_stream_free(stream);
  }
  return made;
}

static int stream_init(PyObject *self, PyObject *arguments, PyObject *named) {
  PyErr_SetString(PyExc_TypeError, "Stream: no constructor defined; use mx.new_stream");
  return -1;
}

static void stream_dealloc(PyObject *object) {
  StreamOwner *self = (StreamOwner *)object;
  if (self->stream.ctx) {
    mlx_stream_free(self->stream);
  }
  free_object(object, self->head.weakrefs);
}

static PyObject *stream_device(PyObject *self, void *unused) {
  mlx_device device = {0};
  mlx_stream_get_device(&device, ((StreamOwner *)self)->stream);
  return new_device(device);
}

static bool read_index(PyObject *self, int *index) {
  bool read = mlx_stream_get_index(index, ((StreamOwner *)self)->stream) == 0;
  if (!read) {
    raise_last_error();
  }
  return read;
}

static PyObject *stream_index(PyObject *self, void *unused) {
  int index;
  return read_index(self, &index) ? PyLong_FromLong(index) : NULL;
}

static PyObject *stream_repr(PyObject *self) {
  int index;
  PyObject *device = read_index(self, &index) ? stream_device(self, NULL) : NULL;
  PyObject *text = device ? PyUnicode_FromFormat("Stream(%R, %d)", device, index) : NULL;
  Py_XDECREF(device);
  return text;
}

static PyObject *stream_compare(PyObject *object, PyObject *other, int operator) {
  if (operator != Py_EQ && operator != Py_NE) {
    Py_RETURN_NOTIMPLEMENTED;
  }
  mlx_stream mine = {stream_of(object)}, theirs = {stream_of(other)};
  bool same = theirs.ctx && mlx_stream_equal(mine, theirs);
  return PyBool_FromLong(same == (operator == Py_EQ));
}

static PyGetSetDef stream_properties[] = {
  {"device", stream_device, NULL, "The device it computes on.", NULL},
  {"index", stream_index, NULL, "Its number in the process.", NULL},
  {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot stream_slots[] = {
  {Py_tp_init, stream_init},
  {Py_tp_dealloc, stream_dealloc},
  {Py_tp_repr, stream_repr},
  {Py_tp_richcompare, stream_compare},
  {Py_tp_hash, hash_of_object},
  {Py_tp_getset, stream_properties},
  {Py_tp_members, weak_members},
  {0, NULL},
};

/* --- the module --- */

#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE)
static PyType_Spec device_spec = {"mlxffi._native.DeviceOwner", sizeof(DeviceOwner), 0, FLAGS, device_slots};
static PyType_Spec stream_spec = {"mlxffi._native.StreamOwner", sizeof(StreamOwner), 0, FLAGS, stream_slots};

bool init_devices(PyObject *module) {
  device_owner = added_class(module, "DeviceOwner", &device_spec);
  stream_owner = device_owner ? added_class(module, "StreamOwner", &stream_spec) : NULL;
  return stream_owner;
}
