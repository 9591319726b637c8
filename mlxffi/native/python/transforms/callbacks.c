/* What functions of Python take besides arrays, and what they return: checked and packed. */

#include "native.h"

bool packed(mlx_vector_array *vector, PyObject *result, const char *what) {
  Packing packing = pack_all(vector, result);
  if (packing == OTHERS) {
    refused(MLXFFI_ERROR_OTHER, "%s must return an array, or a list or tuple of arrays", what);
  }
  return packing == PACKED;
}

int *listed_ints(PyObject *list, size_t *count) {
  if (!PyList_Check(list)) {
    PyErr_Format(PyExc_TypeError, "expected a list of ints, got %R", Py_TYPE(list));
    return NULL;
  }
  *count = (size_t)PyList_Size(list);
  int *values = PyMem_Malloc(*count * sizeof *values);
  if (!values) {
    PyErr_NoMemory();
    return NULL;
  }
  for (size_t i = 0; i < *count; i++) {
    long value = PyLong_AsLong(PyList_GetItem(list, (Py_ssize_t)i));
    if (!PyErr_Occurred() && (value < INT32_MIN || value > INT32_MAX)) {
      PyErr_SetString(PyExc_OverflowError, "expected ints of 32 bits");
    }
    if (PyErr_Occurred()) {
      PyMem_Free(values);
      return NULL;
    }
    values[i] = (int)value;
  }
  return values;
}

bool packed_ints(mlx_vector_int *vector, PyObject *list) {
  size_t count;
  int *values = listed_ints(list, &count);
  if (!values) {
    return false;
  }
  *vector = mlx_vector_int_new_data(values, count);
  PyMem_Free(values);
  if (!vector->ctx) {
    raise_last_error();
  }
  return vector->ctx != NULL;
}
