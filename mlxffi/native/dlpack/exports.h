/* Arrays for other libraries, as DLPack's structures. An exported array is kept alive by a handle of its own, which the
 * deleter frees: that touches no Python, so that a consumer may call it on any thread and at any time. */

#ifndef MLXFFI_DLPACK_EXPORTS_H
#define MLXFFI_DLPACK_EXPORTS_H

#include <Python.h>
#include <stdbool.h>
#include <stdlib.h>

#include "dlpack/structures.h"
#include "mlx/c/mlx.h"

/* Either structure, with the sizes and strides behind it in the same block of memory. */
typedef struct {
  union {
    DLManagedTensor plain;
    DLManagedTensorVersioned versioned;
  } managed;
  int64_t sizes[];
} Export;

static void delete_plain(DLManagedTensor *tensor) {
  mlx_array_free((mlx_array){tensor->manager_ctx});
  free(tensor);
}

static void delete_versioned(DLManagedTensorVersioned *tensor) {
  mlx_array_free((mlx_array){tensor->manager_ctx});
  free(tensor);
}

static DLTensor describe(Export *made, mlx_array array, const void *data, int code) {
  int ndim = (int)mlx_array_ndim(array);
  for (int i = 0; i < ndim; i++) {
    made->sizes[i] = mlx_array_shape(array)[i];
    made->sizes[ndim + i] = (int64_t)mlx_array_strides(array)[i];
  }
  return (DLTensor){
    .data = (void *)data,
    .device = {1, 0},
    .ndim = ndim,
    .dtype = {(uint8_t)code, (uint8_t)(8 * mlx_array_itemsize(array)), 1},
    .shape = made->sizes,
    .strides = made->sizes + ndim,
  };
}

/* A structure that owns the handle of an evaluated array whose first element is at `data`; NULL where there is no memory
 * for it, and then the handle is freed. */
static Export *new_export(mlx_array array, const void *data, int code, bool versioned, uint64_t flags) {
  Export *made = malloc(sizeof *made + 2 * mlx_array_ndim(array) * sizeof(int64_t));
  if (!made) {
    mlx_array_free(array);
    return NULL;
  }
  DLTensor tensor = describe(made, array, data, code);
  if (versioned) {
    made->managed.versioned = (DLManagedTensorVersioned){{1, 0}, array.ctx, delete_versioned, flags, tensor};
  } else {
    made->managed.plain = (DLManagedTensor){tensor, array.ctx, delete_plain};
  }
  return made;
}

/* The name of a capsule that nobody has taken over yet. It outlives every capsule. */
static const char *capsule_name(bool versioned) {
  return versioned ? VERSIONED_NAME : PLAIN_NAME;
}

/* A consumer renames the capsule and calls the deleter itself; a capsule that nobody consumed does it here. */
static void drop_capsule(PyObject *capsule) {
  if (PyCapsule_IsValid(capsule, PLAIN_NAME)) {
    DLManagedTensor *tensor = PyCapsule_GetPointer(capsule, PLAIN_NAME);
    tensor->deleter(tensor);
  } else if (PyCapsule_IsValid(capsule, VERSIONED_NAME)) {
    DLManagedTensorVersioned *tensor = PyCapsule_GetPointer(capsule, VERSIONED_NAME);
    tensor->deleter(tensor);
  }
}

#endif
