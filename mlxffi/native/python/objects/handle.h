/* Handles of C other than arrays, devices and streams: closures, groups, kernels, files, and what tells of devices. */

#ifndef MLXFFI_HANDLE_H
#define MLXFFI_HANDLE_H

#include "native.h"

/* A letter for each kind, as rows have it (see dispatch/arguments.h), and the function that frees it. */
#define HANDLES(KIND)                                          \
  KIND('C', mlx_closure)                                       \
  KIND('K', mlx_closure_kwargs)                                \
  KIND('W', mlx_closure_value_and_grad)                        \
  KIND('E', mlx_function_exporter)                             \
  KIND('P', mlx_imported_function)                             \
  KIND('g', mlx_distributed_group)                             \
  KIND('H', mlx_fast_metal_kernel_config)                      \
  KIND('J', mlx_fast_metal_kernel)                             \
  KIND('Q', mlx_fast_cuda_kernel_config)                       \
  KIND('U', mlx_fast_cuda_kernel)                              \
  KIND('L', mlx_thread_local_stream)                           \
  KIND('X', mlx_device_info)                                   \
  KIND('Y', mlx_io_gguf)                                       \
  KIND('Z', mlx_node_namer)

/* An object that owns what C has just made; an empty one stands for an error, which is raised. */
PyObject *new_handle(char kind, void *made);

/* What such an object owns; NULL, without an exception, for anything else. */
void *handle_of(char kind, PyObject *object);

/* What the C type of a kind is called. */
const char *handle_name(char kind);

#endif
