#include "tensors.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DIMS = 8, LENGTH = 8 };

static const struct {
  const char *name;
  mlx_dtype dtype;
} dtypes[] = {
    {"BOOL", MLX_BOOL},  {"U8", MLX_UINT8},    {"U16", MLX_UINT16},    {"U32", MLX_UINT32},  {"U64", MLX_UINT64},
    {"I8", MLX_INT8},    {"I16", MLX_INT16},   {"I32", MLX_INT32},     {"I64", MLX_INT64},   {"F16", MLX_FLOAT16},
    {"F32", MLX_FLOAT32}, {"F64", MLX_FLOAT64}, {"BF16", MLX_BFLOAT16}, {"C64", MLX_COMPLEX64},
};

char *read_file(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) {
    return NULL;
  }
  fseek(file, 0, SEEK_END);
  *size = (size_t)ftell(file);
  rewind(file);
  char *bytes = malloc(*size + 1);
  bytes[*size] = 0;
  size_t got = fread(bytes, 1, *size, file);
  fclose(file);
  if (got == *size) {
    return bytes;
  }
  free(bytes);
  return NULL;
}

/* The length of the header: eight bytes, the lowest first. */
static uint64_t header_length(const char *bytes) {
  uint64_t length = 0;
  for (int i = LENGTH - 1; i >= 0; i--) {
    length = length << 8 | (unsigned char)bytes[i];
  }
  return length;
}

int tensors_read(tensors *res, const char *path) {
  size_t size;
  res->header = NULL;
  res->bytes = read_file(path, &size);
  if (res->bytes == NULL) {
    return 1;
  }
  uint64_t length = size >= LENGTH ? header_length(res->bytes) : 0;
  if (length > 0 && length <= size - LENGTH) {
    res->header = json_parse(res->bytes + LENGTH, (size_t)length);
    res->data = res->bytes + LENGTH + length;
  }
  return res->header == NULL;
}

void tensors_free(tensors *file) {
  json_free(file->header);
  free(file->bytes);
}

mlx_array tensors_get(const tensors *file, const char *name) {
  const json *entry = json_get(file->header, name), *shape = json_get(entry, "shape");
  int sizes[MAX_DIMS] = {0}, dims = 0;
  if (shape == NULL || shape->size > MAX_DIMS) {
    return mlx_array_new();
  }
  for (const json *each = shape->first; each != NULL; each = each->next) {
    sizes[dims++] = (int)each->number;
  }
  const char *data = file->data + (size_t)json_at(json_get(entry, "data_offsets"), 0)->number;
  for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
    if (strcmp(dtypes[i].name, json_text(entry, "dtype")) == 0) {
      return mlx_array_new_data(data, sizes, dims, dtypes[i].dtype);
    }
  }
  return mlx_array_new();
}
