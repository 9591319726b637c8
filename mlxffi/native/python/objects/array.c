/* The module mlxffi._native: the base class of arrays, which owns one mlx_array.
 *
 * cffi could do without it: a class in Python with a `__del__`. But making and freeing such an object costs as much as
 * the C++ of an operation (measured: `exp` takes 745 ns then, 555 ns now), and every result is one. The rest is cffi's.
 */

#include "native.h"

#include <structmember.h>

#include "indexing/slice_key.h"
#include "streams.h"

PyObject *owner_class;

/* Called without arguments for an exception: that tells of the thread's last error, and of the use of a closed array. */
static PyObject *last_error, *closed_error;

void raise_made_by(PyObject *maker) {
  PyObject *error = maker ? PyObject_CallNoArgs(maker) : NULL;
  if (error) {
    PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    Py_DECREF(error);
  } else if (!PyErr_Occurred()) {
    PyErr_SetString(PyExc_RuntimeError, "the call failed");
  }
}

void raise_last_error(void) {
  raise_made_by(last_error);
}

void raise_closed(void) {
  raise_made_by(closed_error);
}

/* An instance of a class over a fresh handle, which it owns from here on. */
static PyObject *adopt(PyObject *type, PyObject *handle) {
  PyObject *self = PyType_GenericAlloc((PyTypeObject *)type, 0);
  if (self) {
    Py_INCREF(handle);
    ((ArrayOwner *)self)->handle = handle;
  }
  return self;
}

static PyObject *owner_own(PyObject *type, PyObject *handle) {
  Py_ssize_t value = PyLong_AsSsize_t(handle);
  if (value == -1 && PyErr_Occurred()) {
    return NULL;
  }
  if (!value) {
    raise_last_error();
    return NULL;
  }
  PyObject *self = adopt(type, handle);
  if (!self) {
    mlx_array_free((mlx_array){(void *)value});
  }
  return self;
}

PyObject *adopt_new(PyObject *type, mlx_array array) {
  if (!array.ctx) {
    raise_last_error();
    return NULL;
  }
  PyObject *handle = PyLong_FromVoidPtr(array.ctx);
  PyObject *self = handle ? adopt(type, handle) : NULL;
  Py_XDECREF(handle);
  if (!self) {
    mlx_array_free(array);
  }
  return self;
}

PyObject *share_all(PyObject *type, mlx_vector_array vector) {
  if (!vector.ctx) {
    raise_last_error();
    return NULL;
  }
  Py_ssize_t size = (Py_ssize_t)mlx_vector_array_size(vector);
  PyObject *list = PyList_New(size);
  for (Py_ssize_t i = 0; list && i < size; i++) {
    mlx_array element = {0};
    mlx_vector_array_get(&element, vector, (size_t)i);
    PyObject *self = adopt_new(type, element);
    if (!self) {
      Py_CLEAR(list);
    } else {
      PyList_SetItem(list, i, self);
    }
  }
  return list;
}

static PyObject *owner_share_all(PyObject *type, PyObject *handle) {
  void *vector = (void *)PyLong_AsSsize_t(handle);
  return PyErr_Occurred() ? NULL : share_all(type, (mlx_vector_array){vector});
}

void *array_of(PyObject *item, PyTypeObject *type) {
  PyObject *handle = item && PyObject_TypeCheck(item, type) ? ((ArrayOwner *)item)->handle : NULL;
  return handle && PyLong_Check(handle) ? PyLong_AsVoidPtr(handle) : NULL;
}

#define FEW 16

Packing pack_all(mlx_vector_array *vector, PyTypeObject *type, PyObject *sequence) {
  bool list = PyList_Check(sequence);
  if (!list && !PyTuple_Check(sequence)) {
    return OTHERS;
  }
  Py_ssize_t size = list ? PyList_Size(sequence) : PyTuple_Size(sequence);
  mlx_array few[FEW], *arrays = size <= FEW ? few : PyMem_Malloc((size_t)size * sizeof *arrays);
  if (!arrays) {
    PyErr_NoMemory();
    return FAILED;
  }
  bool all = true;
  for (Py_ssize_t i = 0; i < size && all; i++) {
    arrays[i].ctx = array_of(list ? PyList_GetItem(sequence, i) : PyTuple_GetItem(sequence, i), type);
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

static PyObject *owner_pack_all(PyObject *type, PyObject *sequence) {
  mlx_vector_array vector;
  switch (pack_all(&vector, (PyTypeObject *)type, sequence)) {
    case PACKED:
      return PyLong_FromVoidPtr(vector.ctx);
    case OTHERS:
      Py_RETURN_NONE;
    default:
      return NULL;
  }
}

static void owner_dealloc(PyObject *self) {
  ArrayOwner *owner = (ArrayOwner *)self;
  PyTypeObject *type = Py_TYPE(self);
  if (owner->weakrefs) {
    PyObject_ClearWeakRefs(self);
  }
  if (owner->handle) {
    /* Whatever Python code put into `_h` instead, nothing is raised here. */
    bool number = PyLong_Check(owner->handle);
    mlx_array_free((mlx_array){number ? (void *)(uintptr_t)PyLong_AsUnsignedLongLongMask(owner->handle) : NULL});
    Py_DECREF(owner->handle);
  }
  ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
  Py_DECREF(type);
}

/* --- what an array is, read so often that a call through cffi would be felt --- */

static mlx_array open_array(PyObject *self) {
  mlx_array array = {array_of(self, Py_TYPE(self))};
  if (!array.ctx && !PyErr_Occurred()) {
    raise_closed();
  }
  return array;
}

PyObject *shape_tuple(const int *sizes, Py_ssize_t ndim) {
  PyObject *shape = PyTuple_New(ndim);
  for (Py_ssize_t i = 0; shape && i < ndim; i++) {
    PyObject *size = PyLong_FromLong(sizes[i]);
    if (!size || PyTuple_SetItem(shape, i, size)) {
      Py_CLEAR(shape);
    }
  }
  return shape;
}

static PyObject *owner_shape(PyObject *self, void *unused) {
  (void)unused;
  mlx_array array = open_array(self);
  return array.ctx ? shape_tuple(mlx_array_shape(array), (Py_ssize_t)mlx_array_ndim(array)) : NULL;
}

static PyObject *owner_ndim(PyObject *self, void *unused) {
  (void)unused;
  mlx_array array = open_array(self);
  return array.ctx ? PyLong_FromSize_t(mlx_array_ndim(array)) : NULL;
}

static PyObject *owner_size(PyObject *self, void *unused) {
  (void)unused;
  mlx_array array = open_array(self);
  return array.ctx ? PyLong_FromSize_t(mlx_array_size(array)) : NULL;
}

/* --- its strided parts --- */

static PyObject *owner_part(PyObject *self, PyObject *key) {
  Part part;
  mlx_array array = open_array(self);
  if (!array.ctx) {
    return NULL;
  }
  if (!read_key(&part, array, key)) {
    Py_RETURN_NONE;
  }
  mlx_stream stream = glue_stream(0);
  mlx_array found = take_part(&part, array, stream);
  glue_stream_done(0, stream);
  return adopt_new((PyObject *)Py_TYPE(self), found);
}

static PyObject *owner_with_part(PyObject *self, PyObject *arguments) {
  Part part;
  int sizes[MOST];
  PyObject *key, *given;
  mlx_array array = open_array(self);
  if (!array.ctx || !PyArg_ParseTuple(arguments, "OO", &key, &given)) {
    return NULL;
  }
  mlx_array values = {array_of(given, Py_TYPE(self))};
  if (!values.ctx || mlx_array_dtype(array) != mlx_array_dtype(values) || !read_key(&part, array, key) || part.empty ||
      !fit_values(&part, values, sizes)) {
    PyErr_Clear();
    Py_RETURN_NONE;
  }
  mlx_stream stream = glue_stream(0);
  mlx_array made = put_part(&part, array, values, sizes, stream);
  glue_stream_done(0, stream);
  return adopt_new((PyObject *)Py_TYPE(self), made);
}

static PyObject *owner_itemsize(PyObject *self, void *unused) {
  (void)unused;
  mlx_array array = open_array(self);
  return array.ctx ? PyLong_FromSize_t(mlx_array_itemsize(array)) : NULL;
}

static PyObject *owner_nbytes(PyObject *self, void *unused) {
  (void)unused;
  mlx_array array = open_array(self);
  return array.ctx ? PyLong_FromSize_t(mlx_array_nbytes(array)) : NULL;
}

static PyGetSetDef properties[] = {
  {"shape", owner_shape, NULL, "The sizes along its axes.", NULL},
  {"ndim", owner_ndim, NULL, "How many axes it has.", NULL},
  {"size", owner_size, NULL, "How many elements it has.", NULL},
  {"itemsize", owner_itemsize, NULL, "The bytes of one element.", NULL},
  {"nbytes", owner_nbytes, NULL, "The bytes of its elements.", NULL},
  {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef members[] = {
  {"_h", T_OBJECT_EX, offsetof(ArrayOwner, handle), 0, "The mlx_array as an int; 0 once it is closed."},
  {"__weaklistoffset__", T_PYSSIZET, offsetof(ArrayOwner, weakrefs), READONLY, NULL},
  {NULL, 0, 0, 0, NULL},
};

static PyMethodDef methods[] = {
  {"_own", owner_own, METH_O | METH_CLASS, "An instance that owns a fresh handle; 0 stands for an error, which is raised."},
  {"_share_all", owner_share_all, METH_O | METH_CLASS, "Instances for the arrays of a vector, whose handle stays the caller's."},
  {"_pack_all", owner_pack_all, METH_O | METH_CLASS, "A new vector of the instances in a list or tuple; None where something else is among them."},
  {"_part", owner_part, METH_O, "The part at a key of ints, slices, None and ...; None for any other key."},
  {"_with_part", owner_with_part, METH_VARARGS, "It with other values, of its dtype, at such a key; None for any other."},
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
  {Py_tp_members, members},
  {Py_tp_methods, methods},
  {Py_tp_getset, properties},
  {0, NULL},
};

/* No garbage collection: it refers to nothing but an int. */
static PyType_Spec spec = {"mlxffi._native.ArrayOwner", sizeof(ArrayOwner), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};

static PyObject *module_raise_with(PyObject *module, PyObject *makers) {
  (void)module;
  PyObject *of_last_error, *of_closed;
  if (!PyArg_ParseTuple(makers, "OO", &of_last_error, &of_closed)) {
    return NULL;
  }
  Py_INCREF(of_last_error);
  Py_INCREF(of_closed);
  Py_XDECREF(last_error);
  Py_XDECREF(closed_error);
  last_error = of_last_error;
  closed_error = of_closed;
  Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
  {"raise_with", module_raise_with, METH_VARARGS, "Set the functions that make exceptions: for the thread's last error, and for a closed array."},
  {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_native", "The base class of arrays.", -1, functions, NULL, NULL, NULL, NULL};

static bool fill_module(PyObject *made) {
  owner_class = PyType_FromSpec(&spec);
  if (!owner_class) {
    return false;
  }
  Py_INCREF(owner_class); /* for this file, beside the module's */
  if (PyModule_AddObject(made, "ArrayOwner", owner_class)) {
    Py_DECREF(owner_class);
    return false;
  }
  return init_parts(made) && init_devices(made) && init_contexts(made) && init_groups(made) && init_limits(made) &&
         init_operations(made) && init_trees(made) && !PyModule_AddFunctions(made, tree_functions) &&
         !PyModule_AddFunctions(made, closure_functions) && !PyModule_AddFunctions(made, answer_functions) &&
         !PyModule_AddFunctions(made, transform_functions);
}

PyMODINIT_FUNC PyInit__native(void) {
  PyObject *made = PyModule_Create(&module);
  if (made && !fill_module(made)) {
    Py_CLEAR(made);
  }
  return made;
}
