/* Arrays for other libraries, as DLPack's structures. An exported array is kept alive by a handle of its own, which the
 * deleter frees: that touches no Python, so that a consumer may call it on any thread and at any time. */

#include <stdlib.h>

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

static DLTensor describe(Export *export, mlx_array array, const void *data, int code, int bits) {
  int ndim = (int)mlx_array_ndim(array);
  const int *shape = mlx_array_shape(array);
  const size_t *strides = mlx_array_strides(array);
  for (int i = 0; i < ndim; i++) {
    export->sizes[i] = shape[i];
    export->sizes[ndim + i] = (int64_t)strides[i];
  }
  return (DLTensor){
      .data = (void *)data,
      .device = {1, 0},
      .ndim = ndim,
      .dtype = {(uint8_t)code, (uint8_t)bits, 1},
      .shape = export->sizes,
      .strides = export->sizes + ndim,
  };
}

/* A structure that owns the handle `arr` of an evaluated array whose first element is at `data`; 0 where there is no
 * memory for it, and then the handle is freed. */
static intptr_t glue_dlpack_new(intptr_t arr, const void *data, int code, int bits, bool versioned, uint64_t flags) {
  mlx_array array = {(void *)arr};
  Export *export = malloc(sizeof *export + 2 * mlx_array_ndim(array) * sizeof(int64_t));
  if (!export) {
    mlx_array_free(array);
    return 0;
  }
  DLTensor tensor = describe(export, array, data, code, bits);
  if (versioned) {
    export->managed.versioned = (DLManagedTensorVersioned){{1, 0}, array.ctx, delete_versioned, flags, tensor};
  } else {
    export->managed.plain = (DLManagedTensor){tensor, array.ctx, delete_plain};
  }
  return (intptr_t)export;
}

/* The name of a capsule that nobody has taken over yet. It outlives every capsule. */
static const char *glue_dlpack_name(bool versioned) {
  return versioned ? "dltensor_versioned" : "dltensor";
}

/* A consumer renames the capsule and calls the deleter itself; a capsule that nobody consumed does it here. */
static void drop_capsule(PyObject *capsule) {
  if (PyCapsule_IsValid(capsule, "dltensor")) {
    DLManagedTensor *tensor = PyCapsule_GetPointer(capsule, "dltensor");
    tensor->deleter(tensor);
  } else if (PyCapsule_IsValid(capsule, "dltensor_versioned")) {
    DLManagedTensorVersioned *tensor = PyCapsule_GetPointer(capsule, "dltensor_versioned");
    tensor->deleter(tensor);
  }
}

/* What PyCapsule_New takes for a capsule of glue_dlpack_new(). */
static intptr_t glue_dlpack_destructor(void) {
  return (intptr_t)&drop_capsule;
}
