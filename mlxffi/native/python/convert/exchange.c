/* Arrays from and for other libraries by DLPack, as operations (see operation.h). */

#include "convert/from_python.h"

#include "dlpack.h"

#include "dlpack.c"

/* --- out --- */

enum { READ_ONLY = 1 };

/* DLPack's number for the kind of a dtype. */
static int code_of(int dtype) {
  switch (dtype) {
    case MLX_BOOL:
      return 6;
    case MLX_COMPLEX64:
      return 5;
    case MLX_BFLOAT16:
      return 4;
    case MLX_FLOAT16:
    case MLX_FLOAT32:
    case MLX_FLOAT64:
      return 2;
    default:
      return dtype <= MLX_UINT64;
  }
}

/* None, or the device (1, 0), which is the CPU. */
static bool is_cpu(PyObject *device) {
  int ints[MOST_INTS];
  return device == Py_None || (PyTuple_CheckExact(device) && read_ints(ints, device) == 2 && ints[0] == 1 && !ints[1]);
}

/* None, or a tuple of ints: `versioned` from DLPack 1.0 on. */
static bool read_version(PyObject *version, bool *versioned) {
  int ints[MOST_INTS];
  *versioned = false;
  if (version == Py_None) {
    return true;
  }
  if (!PyTuple_CheckExact(version) || read_ints(ints, version) < 1) {
    return false;
  }
  *versioned = ints[0] >= 1;
  return true;
}

/* The array is computed; the capsule has a handle of its own. */
static PyObject *capsule_of(mlx_array array, bool versioned) {
  mlx_array kept = {0};
  if (mlx_array_set(&kept, array)) {
    raise_last_error();
    return NULL;
  }
  const void *data = mlx_array_size(kept) ? elements_of(kept) : NULL;
  int bits = 8 * (int)mlx_array_itemsize(kept), code = code_of(mlx_array_dtype(kept));
  void *tensor = (void *)glue_dlpack_new((intptr_t)kept.ctx, data, code, bits, versioned, READ_ONLY);
  if (!tensor) {
    return PyErr_NoMemory();
  }
  PyCapsule_Destructor destructor = (PyCapsule_Destructor)glue_dlpack_destructor();
  PyObject *capsule = PyCapsule_New(tensor, glue_dlpack_name(versioned), destructor);
  if (!capsule) {
    versioned ? delete_versioned(tensor) : delete_plain(tensor);
  }
  return capsule;
}

/* self, stream, max_version, dl_device, copy. Python makes copies, and waits for what is not computed yet. */
static PyObject *dlpack(Value *v) {
  bool available = false, versioned;
  bool shared = v[4].object == Py_None || v[4].object == Py_False;
  if (!shared || !is_cpu(v[3].object) || !read_version(v[2].object, &versioned) ||
      _mlx_array_is_available(&available, v[0].array) || !available) {
    return left_to_python;
  }
  return capsule_of(v[0].array, versioned);
}

/* --- in --- */

/* Whether it exports its memory itself. */
static bool is_exporter(PyObject *object) {
  static PyObject *name;
  name = name ? name : PyUnicode_InternFromString("__dlpack__");
  PyObject *found = name ? PyObject_GetAttr(object, name) : NULL;
  PyErr_Clear();
  Py_XDECREF(found);
  return found != NULL;
}

/* x, copy: of what has the buffer protocol too, which says the same and costs less. */
static PyObject *from_dlpack(Value *v) {
  mlx_array made = {0};
  PyObject *object = v[0].object;
  bool other = v[1].object != Py_False && !PyObject_TypeCheck(object, (PyTypeObject *)owner_class);
  return other && is_exporter(object) && from_buffer(&made, object, -1) && made.ctx ? one(made) : left_to_python;
}

const Row exchange_rows[] = {
  {"dlpack", "aoooo", dlpack},
  {"from_dlpack", "oo", from_dlpack},
  {NULL, NULL, NULL},
};
