/* The tensors of a safetensors file. */
#ifndef TENSORS_H
#define TENSORS_H

#include "json.h"
#include "mlx/c/mlx.h"

typedef struct {
  char *bytes;
  json *header;
  const char *data;
} tensors;

/* A whole file, and how long it is; NULL when it cannot be read. */
char *read_file(const char *path, size_t *size);

/* 0, or 1 when the file cannot be read or is none. */
int tensors_read(tensors *res, const char *path);
void tensors_free(tensors *file);

/* A new array, which the caller frees; empty when there is none of that name. */
mlx_array tensors_get(const tensors *file, const char *name);

#endif
