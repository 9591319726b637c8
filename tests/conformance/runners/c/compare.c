/* Whether outputs are right: number, dtype, shape, and each element within its tolerance. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "program.h"

static double half_value(uint16_t bits) {
  int exponent = bits >> 10 & 31, fraction = bits & 1023;
  double sign = bits >> 15 ? -1 : 1;
  if (exponent == 31) {
    return fraction ? NAN : sign * INFINITY;
  }
  return sign * (exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24));
}

static double brain_value(uint16_t bits) {
  uint32_t wide = (uint32_t)bits << 16;
  float value;
  memcpy(&value, &wide, sizeof value);
  return value;
}

static uint16_t bits_at(const char *data, size_t place) {
  uint16_t bits;
  memcpy(&bits, data + 2 * place, sizeof bits);
  return bits;
}

/* An element of a dtype of floats; a complex number is two of them. */
static double float_at(const char *data, mlx_dtype dtype, size_t place) {
  float single;
  double value;
  switch (dtype) {
    case MLX_FLOAT16: return half_value(bits_at(data, place));
    case MLX_BFLOAT16: return brain_value(bits_at(data, place));
    case MLX_FLOAT64: memcpy(&value, data + 8 * place, sizeof value); return value;
    default: memcpy(&single, data + 4 * place, sizeof single); return single;
  }
}

static bool is_float(mlx_dtype dtype) {
  return dtype == MLX_FLOAT16 || dtype == MLX_BFLOAT16 || dtype == MLX_FLOAT32 || dtype == MLX_FLOAT64 ||
         dtype == MLX_COMPLEX64;
}

static bool close_enough(double got, double right, double rtol, double atol) {
  if (isnan(right) || isinf(right)) {
    return isnan(right) ? isnan(got) : got == right;
  }
  return fabs(got - right) <= atol + rtol * fabs(right);
}

static bool floats_right(const char *got, const char *right, mlx_dtype dtype, size_t count, const json *output,
                         char *message) {
  double rtol = json_number(output, "rtol", 0), atol = json_number(output, "atol", 0);
  for (size_t i = 0; i < count; i++) {
    double a = float_at(got, dtype, i), b = float_at(right, dtype, i);
    if (!close_enough(a, b, rtol, atol)) {
      snprintf(message, MAX_MESSAGE, "element %zu: got %.9g, right is %.9g", i, a, b);
      return false;
    }
  }
  return true;
}

static bool bytes_right(const char *got, const char *right, size_t size, size_t count, char *message) {
  for (size_t i = 0; i < count; i++) {
    if (memcmp(got + size * i, right + size * i, size) != 0) {
      snprintf(message, MAX_MESSAGE, "element %zu: got another integer than is right (first byte %u, not %u)", i,
               (unsigned char)got[size * i], (unsigned char)right[size * i]);
      return false;
    }
  }
  return true;
}

static bool same_shape(const mlx_array got, const mlx_array right, char *message) {
  size_t dims = mlx_array_ndim(got);
  bool same = dims == mlx_array_ndim(right);
  for (size_t i = 0; same && i < dims; i++) {
    same = mlx_array_dim(got, (int)i) == mlx_array_dim(right, (int)i);
  }
  if (!same) {
    snprintf(message, MAX_MESSAGE, "another shape: got %zu elements in %zu dimensions, right are %zu in %zu",
             mlx_array_size(got), dims, mlx_array_size(right), mlx_array_ndim(right));
  }
  return same;
}

/* The elements of an array in order: a view has them elsewhere. */
static int in_order(mlx_array *res, const mlx_array value) {
  mlx_stream stream = mlx_default_cpu_stream_new();
  int status = mlx_contiguous(res, value, false, stream) || mlx_array_eval(*res);
  mlx_stream_free(stream);
  return status;
}

static bool elements_right(const mlx_array got, const mlx_array right, const json *output, char *message) {
  mlx_dtype dtype = mlx_array_dtype(right);
  size_t size = mlx_array_itemsize(right), count = mlx_array_size(right);
  const char *a = (const char *)mlx_array_data_uint8(got), *b = (const char *)mlx_array_data_uint8(right);
  if (is_float(dtype)) {
    return floats_right(a, b, dtype, dtype == MLX_COMPLEX64 ? 2 * count : count, output, message);
  }
  return bytes_right(a, b, size, count, message);
}

static bool output_right(const mlx_array value, const json *output, const tensors *set, char *message) {
  mlx_array right = tensors_get(set, json_text(output, "tensor")), got = mlx_array_new();
  bool fine = false;
  if (right.ctx == NULL || in_order(&got, value) != 0 || mlx_array_eval(right) != 0) {
    snprintf(message, MAX_MESSAGE, "it could not be evaluated, or the set has no such tensor");
  } else if (mlx_array_dtype(got) != mlx_array_dtype(right)) {
    snprintf(message, MAX_MESSAGE, "dtype %d, right is %d (mlx_dtype)", (int)mlx_array_dtype(got),
             (int)mlx_array_dtype(right));
  } else {
    fine = same_shape(got, right, message) && elements_right(got, right, output, message);
  }
  mlx_array_free(right);
  mlx_array_free(got);
  return fine;
}

bool outputs_right(const mlx_vector_array got, const json *expected, const tensors *set, char *message) {
  size_t count = mlx_vector_array_size(got);
  bool fine = count == expected->size;
  if (!fine) {
    snprintf(message, MAX_MESSAGE, "%zu outputs, right are %zu", count, expected->size);
  }
  for (size_t i = 0; fine && i < count; i++) {
    char why[MAX_MESSAGE] = "";
    mlx_array value = mlx_array_new();
    fine = mlx_vector_array_get(&value, got, i) == 0 && output_right(value, json_at(expected, i), set, why);
    if (!fine) {
      snprintf(message, MAX_MESSAGE, "output %zu: %.400s", i, why);
    }
    mlx_array_free(value);
  }
  return fine;
}
