/* The structures of DLPack 1.0 (dmlc/dlpack), with which libraries hand each other arrays in a Python capsule. */

#ifndef MLXFFI_DLPACK_H
#define MLXFFI_DLPACK_H

#include <stdint.h>

typedef struct {
  uint32_t major, minor;
} DLPackVersion;

typedef struct {
  int32_t device_type, device_id;
} DLDevice;

typedef struct {
  uint8_t code, bits;
  uint16_t lanes;
} DLDataType;

/* Strides count elements; NULL means that they lie in row order. */
typedef struct {
  void *data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t *shape, *strides;
  uint64_t byte_offset;
} DLTensor;

typedef struct DLManagedTensor {
  DLTensor dl_tensor;
  void *manager_ctx;
  void (*deleter)(struct DLManagedTensor *);
} DLManagedTensor;

typedef struct DLManagedTensorVersioned {
  DLPackVersion version;
  void *manager_ctx;
  void (*deleter)(struct DLManagedTensorVersioned *);
  uint64_t flags;
  DLTensor dl_tensor;
} DLManagedTensorVersioned;

#define PLAIN_NAME "dltensor"
#define VERSIONED_NAME "dltensor_versioned"

#endif
