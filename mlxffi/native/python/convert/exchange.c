/* Arrays from and for other libraries by DLPack. What comes in is copied, and its capsule stays the exporter's. */

#include "convert/from_python.h"
#include "dispatch/conversions.h"
#include "dlpack/exports.h"

#include <string.h>

/* --- out --- */

enum { READ_ONLY = 1, COPIED = 2 };

/* DLPack's numbers for the kinds of dtypes. */
static const int codes[DTYPES] = {6, 1, 1, 1, 1, 0, 0, 0, 0, 2, 2, 2, 4, 5};

/* A capsule of a computed array, whose handle is given up. */
static PyObject *capsule_of(mlx_array array, bool versioned, uint64_t flags) {
  const void *data = mlx_array_size(array) ? elements_of(array) : NULL;
  Export *made = new_export(array, data, codes[mlx_array_dtype(array)], versioned, flags);
  PyObject *capsule = made ? PyCapsule_New(made, capsule_name(versioned), drop_capsule) : PyErr_NoMemory();
  if (made && !capsule) {
    mlx_array_free(array);
    free(made);
  }
  return capsule;
}

/* An array, whether the consumer knows DLPack 1.0, and whether the memory is a copy, which it may write to. */
static PyObject *to_capsule(Value *v) {
  mlx_array own = own_handle(v[0].array), array = own, kept;
  if (!own.ctx || !compute(&array, &kept)) {
    mlx_array_free(own);
    return NULL;
  }
  mlx_array_free(kept);
  return capsule_of(own, v[1].flag, v[2].flag ? COPIED : READ_ONLY);
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

/* self, stream, max_version, dl_device, copy. Python makes copies, and waits for what is not computed yet. */
static PyObject *dlpack(Value *v) {
  bool available = false, versioned;
  bool shared = v[4].object == Py_None || v[4].object == Py_False;
  if (!shared || !is_cpu(v[3].object) || !read_version(v[2].object, &versioned) ||
      _mlx_array_is_available(&available, v[0].array) || !available) {
    return left_to_python;
  }
  mlx_array own = own_handle(v[0].array);
  return own.ctx ? capsule_of(own, versioned, READ_ONLY) : NULL;
}

/* --- in --- */

/* Devices whose memory the CPU reads: its own, and memory pinned or managed by CUDA or ROCm. */
static bool is_readable(int device) {
  return device == 1 || device == 3 || device == 11 || device == 13;
}

/* Complex numbers of two doubles, which become those of two floats. */
static bool is_wide_complex(DLDataType type) {
  return type.code == 5 && type.bits == 128 && type.lanes == 1;
}

/* The dtype of elements, or -1 for others. */
static int dtype_of_elements(DLDataType type) {
  if (is_wide_complex(type)) {
    return MLX_COMPLEX64;
  }
  for (int dtype = 0; dtype < DTYPES && type.lanes == 1; dtype++) {
    if (codes[dtype] == type.code && 8 * mlx_dtype_size((mlx_dtype)dtype) == type.bits) {
      return dtype;
    }
  }
  return -1;
}

static char *copy_axis(char *to, const char *from, const DLTensor *tensor, const int64_t *strides, int axis, size_t size) {
  if (axis == tensor->ndim) {
    memcpy(to, from, size);
    return to + size;
  }
  for (int64_t i = 0; i < tensor->shape[axis]; i++) {
    to = copy_axis(to, from + i * strides[axis] * (int64_t)size, tensor, strides, axis + 1, size);
  }
  return to;
}

/* Its elements in row order, in new memory. */
static char *elements_in_rows(const DLTensor *tensor, size_t count, size_t size) {
  int64_t strides[MOST_INTS], step = 1;
  char *memory = PyMem_Malloc(count * size + 1);
  for (int i = tensor->ndim - 1; i >= 0; i--) {
    strides[i] = tensor->strides ? tensor->strides[i] : step;
    step *= tensor->shape[i];
  }
  if (memory && count) {
    copy_axis(memory, (const char *)tensor->data + tensor->byte_offset, tensor, strides, 0, size);
  }
  return memory;
}

/* Doubles as floats, in their place. */
static void narrow(char *memory, size_t count) {
  for (size_t i = 0; i < 2 * count; i++) {
    double number;
    memcpy(&number, memory + i * sizeof number, sizeof number);
    float narrowed = (float)number;
    memcpy(memory + i * sizeof narrowed, &narrowed, sizeof narrowed);
  }
}

static PyObject *array_of_tensor(const DLTensor *tensor, int dtype) {
  int shape[MOST_INTS];
  size_t count = 1, size = tensor->dtype.bits / 8;
  for (int i = 0; i < tensor->ndim && i < MOST_INTS; i++) {
    shape[i] = (int)tensor->shape[i];
    count *= (size_t)tensor->shape[i];
  }
  char *memory = elements_in_rows(tensor, count, size);
  if (!memory) {
    return PyErr_NoMemory();
  }
  if (is_wide_complex(tensor->dtype)) {
    narrow(memory, count);
  }
  mlx_array made = mlx_array_new_data(memory, shape, tensor->ndim, (mlx_dtype)dtype);
  PyMem_Free(memory);
  return one(made);
}

static bool has_fitting_sizes(const DLTensor *tensor) {
  bool fits = true;
  for (int i = 0; i < tensor->ndim && fits; i++) {
    fits = tensor->shape[i] >= 0 && tensor->shape[i] <= INT32_MAX;
  }
  return fits;
}

/* What a capsule describes that nobody has taken; NULL for anything else. */
static const DLTensor *tensor_of(PyObject *capsule) {
  if (PyCapsule_IsValid(capsule, VERSIONED_NAME)) {
    return &((DLManagedTensorVersioned *)PyCapsule_GetPointer(capsule, VERSIONED_NAME))->dl_tensor;
  }
  bool plain = PyCapsule_IsValid(capsule, PLAIN_NAME);
  return plain ? &((DLManagedTensor *)PyCapsule_GetPointer(capsule, PLAIN_NAME))->dl_tensor : NULL;
}

/* The array of what a capsule describes, copied. */
static PyObject *from_capsule(Value *v) {
  const mlxffi_error_kind invalid = MLXFFI_ERROR_INVALID_ARGUMENT;
  const DLTensor *tensor = tensor_of(v[0].object);
  if (!tensor) {
    return refused(invalid, "value: expected a DLPack capsule that nobody has taken");
  }
  int device = tensor->device.device_type, dtype = dtype_of_elements(tensor->dtype);
  if (!is_readable(device)) {
    return refused(invalid, "value: expected memory that the CPU reads, got DLPack device type %d; copy it to the CPU first", device);
  }
  if (dtype < 0 || tensor->ndim < 0 || tensor->ndim > MOST_INTS) {
    return refused(invalid, "value: expected elements of one of MLX's dtypes on at most %d axes, got %d bits of kind %d",
                   MOST_INTS, tensor->dtype.bits, tensor->dtype.code);
  }
  if (!has_fitting_sizes(tensor)) {
    return refused(MLXFFI_ERROR_OVERFLOW, "value: expected axes of at most 2147483647 elements");
  }
  return array_of_tensor(tensor, dtype);
}

/* Whether it exports its memory itself. */
static bool is_exporter(PyObject *object) {
  static PyObject *name;
  return has_attribute(object, "__dlpack__", &name);
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

/* --- memory --- */

/* The bytes that elements of a shape take; -1 for too many, or sizes that are none. */
static Py_ssize_t bytes_for(const int *shape, Py_ssize_t ndim, mlx_dtype dtype) {
  Py_ssize_t bytes = (Py_ssize_t)mlx_dtype_size(dtype);
  for (Py_ssize_t i = 0; i < ndim && bytes >= 0; i++) {
    bytes = shape[i] < 0 || (shape[i] && bytes > PY_SSIZE_T_MAX / shape[i]) ? -1 : bytes * shape[i];
  }
  return bytes;
}

/* A contiguous buffer, a shape and a dtype: a copy of the bytes */
static PyObject *array_of_bytes(Value *v) {
  const void *start;
  Py_ssize_t bytes, wanted = bytes_for(v[1].ints, v[1].count, (mlx_dtype)v[2].integer);
  if (PyObject_AsReadBuffer(v[0].object, &start, &bytes)) {
    return NULL;
  }
  if (bytes != wanted) {
    return PyErr_Format(PyExc_ValueError, "array_of_bytes(): expected %zd bytes for the shape, got %zd", wanted, bytes);
  }
  return one(mlx_array_new_data(start, v[1].ints, v[1].count, (mlx_dtype)v[2].integer));
}

const AbiRow exchange_functions[] = {
  {{"to_capsule", "abb", to_capsule}, "array,versioned,copied"},
  {{"from_capsule", "o", from_capsule}, "capsule"},
  {{"array_of_bytes", "ond", array_of_bytes}, "memory,shape,dtype"},
  {{NULL, NULL, NULL}, NULL},
};
