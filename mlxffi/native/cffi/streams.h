/* A stream of 0 stands for the default stream of the default device. */

#ifndef MLXFFI_STREAMS_H
#define MLXFFI_STREAMS_H

#include <stdint.h>

#include "mlx/c/mlx.h"

#ifdef MLXFFI_PLAIN_MLXC

/* mlx-c has no handle for it: fetch it for the call. An empty handle makes the call fail with mlx-c's own error. */
static inline mlx_stream glue_stream(intptr_t s) {
  mlx_stream stream = {(void *)s};
  mlx_device device = {0};
  if (!s && mlx_get_default_device(&device) == 0) {
    mlx_get_default_stream(&stream, device);
    mlx_device_free(device);
  }
  return stream;
}

static inline void glue_stream_done(intptr_t s, mlx_stream stream) {
  if (!s) {
    mlx_stream_free(stream);
  }
}

#else

#include "mlxffi/mlxffi.h"

static inline mlx_stream glue_stream(intptr_t s) {
  return s ? (mlx_stream){(void *)s} : mlxffi_default_stream();
}

static inline void glue_stream_done(intptr_t s, mlx_stream stream) {
}

#endif

#endif
