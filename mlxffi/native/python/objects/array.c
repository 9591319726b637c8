/* The base class of arrays: it owns one mlx_array, inside of it.
 *
 * The handle is made once and stays until the object dies: what changes an array in place puts other content under the
 * same handle. So a handle that was read from an object is valid for as long as that object is, whatever Python code
 * runs meanwhile. Its content may change whenever Python runs or the GIL is given up: who needs it to stay, or reads it
 * without the GIL, takes a handle of his own (`own_handle`).
 */

#include "native.h"

#include <string.h>

PyObject *owner_class;

PyMemberDef weak_members[] = {
  {"__weaklistoffset__", T_PYSSIZET, offsetof(Weak, weakrefs), READONLY, NULL},
  {NULL, 0, 0, 0, NULL},
};

PyObject *added_class(PyObject *module, const char *name, PyType_Spec *spec) {
  PyObject *type = immortal(PyType_FromSpec(spec));
  return type && PyModule_AddObject(module, name, Py_NewRef(type)) == 0 ? type : NULL;
}

mlx_array own_handle(mlx_array array) {
  mlx_array own = {0};
  if (!array.ctx) {
    raise_empty();
  } else if (mlx_array_set(&own, array)) {
    raise_last_error();
  }
  return own;
}

static PyObject *adopt_as(PyObject *type, mlx_array array) {
  if (!array.ctx) {
    return raise_last_error();
  }
  PyObject *self = PyType_GenericAlloc((PyTypeObject *)type, 0);
  if (self) {
    ((ArrayOwner *)self)->array = array;
  } else {
    mlx_array_free(array);
  }
  return self;
}

PyObject *one(mlx_array made) {
  return adopt_as(told.array, made);
}

bool replace(PyObject *object, mlx_array made) {
  mlx_array *array = &((ArrayOwner *)object)->array;
  bool done = made.ctx != NULL, first;
  LOCK(object)
  first = done && !array->ctx;
  *array = first ? made : *array;
  UNLOCK
  if (first) {
    return true;
  }
  done = done && !mlx_array_set(array, made);
  mlx_array_free(made);
  if (!done) {
    return raise_last_error();
  }
  __atomic_store_n(&((ArrayOwner *)object)->updated, true, __ATOMIC_RELAXED);
  return true;
}

PyObject *share_all(mlx_vector_array vector, bool tuple) {
  if (!vector.ctx) {
    return raise_last_error();
  }
  Py_ssize_t size = (Py_ssize_t)mlx_vector_array_size(vector);
  PyObject *all = tuple ? PyTuple_New(size) : PyList_New(size);
  for (Py_ssize_t i = 0; all && i < size; i++) {
    mlx_array element = {0};
    mlx_vector_array_get(&element, vector, (size_t)i);
    PyObject *self = one(element);
    if (!self) {
      Py_CLEAR(all);
    } else {
      (tuple ? PyTuple_SetItem : PyList_SetItem)(all, i, self);
    }
  }
  return all;
}

void *array_of(PyObject *item) {
  bool array = item && (is_array(item) || PyObject_TypeCheck(item, (PyTypeObject *)owner_class));
  return array ? ((ArrayOwner *)item)->array.ctx : NULL;
}

#define FEW 16

static Packing packed_items(mlx_vector_array *vector, PyObject *sequence) {
  bool list = PyList_Check(sequence);
  Py_ssize_t size = list ? PyList_Size(sequence) : PyTuple_Size(sequence);
  mlx_array few[FEW], *arrays = size <= FEW ? few : PyMem_Malloc((size_t)size * sizeof *arrays);
  if (!arrays) {
    PyErr_NoMemory();
    return FAILED;
  }
  bool all = true;
  for (Py_ssize_t i = 0; i < size && all; i++) {
    arrays[i].ctx = array_of(list ? PyList_GetItem(sequence, i) : PyTuple_GetItem(sequence, i));
    all = arrays[i].ctx != NULL;
  }
  *vector = all ? mlx_vector_array_new_data(arrays, (size_t)size) : (mlx_vector_array){0};
  if (arrays != few) {
    PyMem_Free(arrays);
  }
  if (all && !vector->ctx) {
    raise_last_error();
    return FAILED;
  }
  return PyErr_Occurred() ? FAILED : all ? PACKED : OTHERS;
}

Packing pack_all(mlx_vector_array *vector, PyObject *sequence) {
  Packing packing = OTHERS;
  if (PyList_Check(sequence) || PyTuple_Check(sequence)) {
    LOCK(sequence)
    packing = packed_items(vector, sequence);
    UNLOCK
  }
  return packing;
}

static void owner_dealloc(PyObject *self) {
  ArrayOwner *owner = (ArrayOwner *)self;
  if (owner->array.ctx) {
    mlx_array_free(owner->array);
  }
  if (owner->loan) {
    end_loan(owner->loan);
  }
  free_object(self, owner->head.weakrefs);
}

/* --- between the two layers: as integers --- */

static mlx_array open_array(PyObject *self) {
  mlx_array array = ((ArrayOwner *)self)->array;
  if (!array.ctx) {
    raise_empty();
  }
  return array;
}

static PyObject *owner_own(PyObject *type, PyObject *handle) {
  void *array = PyLong_AsVoidPtr(handle);
  return PyErr_Occurred() ? NULL : adopt_as(type, (mlx_array){array});
}

static PyObject *adopt(PyObject *module, PyObject *handle) {
  return owner_own(told.array, handle);
}

static PyObject *owner_share(PyObject *self, PyObject *unused) {
  mlx_array own = own_handle(((ArrayOwner *)self)->array);
  return own.ctx ? PyLong_FromVoidPtr(own.ctx) : NULL;
}

static PyObject *owner_become(PyObject *self, PyObject *other) {
  mlx_array array = {array_of(other)}, made = {0};
  if (!array.ctx) {
    return PyErr_Format(PyExc_TypeError, "expected an array, got %R", Py_TYPE(other));
  }
  made = own_handle(array);
  return made.ctx && replace(self, made) ? Py_NewRef(self) : NULL;
}

/* --- what an array is --- */

PyObject *int_tuple(const int *values, Py_ssize_t count) {
  PyObject *tuple = PyTuple_New(count);
  for (Py_ssize_t i = 0; tuple && i < count; i++) {
    PyObject *value = PyLong_FromLong(values[i]);
    if (!value || PyTuple_SetItem(tuple, i, value)) {
      Py_CLEAR(tuple);
    }
  }
  return tuple;
}

/* Making a tuple may collect garbage, and that may run code which changes the array. */
PyObject *shape_tuple(mlx_array array) {
  int few[FEW];
  size_t ndim = mlx_array_ndim(array), bytes = ndim * sizeof(int);
  int *sizes = ndim <= FEW ? few : PyMem_Malloc(bytes);
  if (!sizes) {
    return PyErr_NoMemory();
  }
  if (ndim) {
    memcpy(sizes, mlx_array_shape(array), bytes);
  }
  PyObject *shape = int_tuple(sizes, (Py_ssize_t)ndim);
  if (sizes != few) {
    PyMem_Free(sizes);
  }
  return shape;
}

static PyObject *owner_shape(PyObject *self, void *unused) {
  mlx_array array = hold(open_array(self));
  PyObject *shape = array.ctx ? shape_tuple(array) : NULL;
  let_go(array);
  return shape;
}

#define SIZE(name)                                                                 \
  static PyObject *owner_##name(PyObject *self, void *unused) {                    \
    mlx_array array = open_array(self);                                            \
    return array.ctx ? PyLong_FromSize_t(mlx_array_##name(array)) : NULL;          \
  }

SIZE(ndim)
SIZE(size)
SIZE(itemsize)
SIZE(nbytes)

static PyObject *owner_dtype(PyObject *self, void *unused) {
  mlx_array array = open_array(self);
  return array.ctx ? dtype_object(mlx_array_dtype(array)) : NULL;
}

static PyObject *dtype_number(PyObject *module, PyObject *object) {
  if (is_array(object) || PyObject_TypeCheck(object, (PyTypeObject *)owner_class)) {
    mlx_array array = open_array(object);
    return array.ctx ? PyLong_FromLong(mlx_array_dtype(array)) : NULL;
  }
  int number = read_dtype(object);
  return number >= 0 ? PyLong_FromLong(number)
                     : PyErr_Format(PyExc_TypeError, "expected an array or a Dtype, got %R", Py_TYPE(object));
}

static PyObject *owner_is_empty(PyObject *self, void *unused) {
  return PyBool_FromLong(!((ArrayOwner *)self)->array.ctx);
}

static PyGetSetDef properties[] = {
  {"_is_empty", owner_is_empty, NULL, "Whether it was never given a value.", NULL},
  {"dtype", owner_dtype, NULL, "The type of its elements.", NULL},
  {"shape", owner_shape, NULL, "The sizes along its axes.", NULL},
  {"ndim", owner_ndim, NULL, "How many axes it has.", NULL},
  {"size", owner_size, NULL, "How many elements it has.", NULL},
  {"itemsize", owner_itemsize, NULL, "The bytes of one element.", NULL},
  {"nbytes", owner_nbytes, NULL, "The bytes of its elements.", NULL},
  {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef methods[] = {
  {"_own", owner_own, METH_O | METH_CLASS, "An instance that owns a handle, given as an int; 0 stands for an error, which is raised."},
  {"_mlxffi_share", owner_share, METH_NOARGS, "A new handle of the same array as an int, which the receiver owns."},
  {"_become", owner_become, METH_O, "The array itself, with the value of another one."},
  {NULL, NULL, 0, NULL},
};

/* Slots of PyBufferProcs, which the limited API has from 3.11 on; PyType_FromSpec knows them since 3.9. */
#ifndef Py_bf_getbuffer
#define Py_bf_getbuffer 1
#define Py_bf_releasebuffer 2
#endif

static PyType_Slot slots[] = {
  {Py_bf_getbuffer, lend_buffer},
  {Py_bf_releasebuffer, take_back_buffer},
  {Py_tp_doc, "The owner of an mlx_array, which is freed with it."},
  {Py_tp_dealloc, owner_dealloc},
  {Py_tp_members, weak_members},
  {Py_tp_methods, methods},
  {Py_tp_getset, properties},
  {0, NULL},
};

/* No garbage collection: it refers to no object of Python. */
static PyType_Spec spec = {"mlxffi._native.ArrayOwner", sizeof(ArrayOwner), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};

/* A class statement's `metaclass` for a class of arrays. `type` would show its objects to the collector of garbage, which
 * finds nothing in them, and free them in a longer way. What else `type` does for a body (`__set_name__`, `__class__`) none
 * of theirs needs. */
static PyObject *array_class(PyObject *module, PyObject *arguments) {
  static PyType_Slot end[] = {{Py_tp_dealloc, owner_dealloc}, {0, NULL}};
  static PyType_Spec derived = {"mlxffi.core.array", 0, 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, end};
  PyObject *name, *bases, *body, *key, *value;
  Py_ssize_t at = 0;
  if (!PyArg_ParseTuple(arguments, "UO!O!", &name, &PyTuple_Type, &bases, &PyDict_Type, &body)) {
    return NULL;
  }
  PyObject *made = immortal(PyType_FromSpecWithBases(&derived, bases));
  bool done = made && !PyObject_SetAttrString(made, "__name__", name);
  while (done && PyDict_Next(body, &at, &key, &value)) {
    done = !PyObject_SetAttr(made, key, value);
  }
  if (!done) {
    Py_CLEAR(made);
  }
  return made;
}

PyMethodDef array_functions[] = {
  {"array_class", array_class, METH_VARARGS, "The metaclass of arrays, whose objects refer to no others."},
  {"dtype_number", dtype_number, METH_O, "The number of a Dtype, or of an array's."},
  {"adopt", adopt, METH_O, "An array that owns a handle, given as an int; 0 stands for an error, which is raised."},
  {NULL, NULL, 0, NULL},
};

bool init_arrays(PyObject *module) {
  return (owner_class = added_class(module, "ArrayOwner", &spec));
}
