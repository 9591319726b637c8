/* Fourier transforms as operations (see operation.h): the sizes that are not given are read from the array. */

#include "dispatch/operation.h"

#include <string.h>

/* The number of a norm in the C enum; -1 for none. */
static int norm_of(const char *text) {
  const char *names[] = {"backward", "ortho", "forward"};
  for (int i = 0; i < 3; i++) {
    if (!strcmp(text, names[i])) {
      return i;
    }
  }
  return -1;
}

/* How many points a transform has along an axis; `half` says that the input is half of a symmetric one. -1 for an axis
 * that is not there. */
static int points(mlx_array a, int axis, bool half) {
  int ndim = (int)mlx_array_ndim(a);
  if (axis < -ndim || axis >= ndim) {
    return -1;
  }
  int size = mlx_array_shape(a)[axis < 0 ? axis + ndim : axis];
  return half ? 2 * (size - 1) : size;
}

typedef int AlongOne(mlx_array *result, const mlx_array a, int n, int axis, mlx_fft_norm norm, const mlx_stream s);

/* a, n, axis, norm, stream */
static PyObject *along_one(AlongOne *call, Value *v, bool half) {
  mlx_array made = {0};
  int norm = norm_of(v[3].text), axis = (int)v[2].integer, size = points(v[0].array, axis, half);
  if (norm < 0 || (size < 0 && !v[1].given)) {
    return left_to_python;
  }
  call(&made, v[0].array, v[1].given ? (int)v[1].integer : size, axis, (mlx_fft_norm)norm, v[4].stream);
  return one(made);
}

typedef int AlongSeveral(mlx_array *result, const mlx_array a, const int *n, size_t n_num, const int *axes,
                         size_t axes_num, mlx_fft_norm norm, const mlx_stream s);

/* a, s, axes, norm, stream */
static PyObject *along_several(AlongSeveral *call, Value *v, bool half) {
  mlx_array made = {0}, a = v[0].array;
  Value *sizes = &v[1], *axes = &v[2];
  int norm = norm_of(v[3].text), ndim = (int)mlx_array_ndim(a);
  bool lists = (!sizes->given || sizes->count != ONE_INT) && (!axes->given || axes->count != ONE_INT);
  if (norm < 0 || !lists || ndim > MOST_INTS || (sizes->given && !axes->given)) {
    return left_to_python;
  }
  if (!axes->given) {
    axes->count = ndim;
    for (int i = 0; i < ndim; i++) {
      axes->ints[i] = i - ndim;
    }
  }
  for (int i = 0; !sizes->given && i < axes->count; i++) {
    sizes->ints[i] = points(a, axes->ints[i], half && i == axes->count - 1);
    if (sizes->ints[i] < 0) {
      return left_to_python;
    }
  }
  size_t axes_num = (size_t)axes->count, sizes_num = sizes->given ? (size_t)sizes->count : axes_num;
  call(&made, a, sizes->ints, sizes_num, axes->ints, axes_num, (mlx_fft_norm)norm, v[4].stream);
  return one(made);
}

#define ONE(name, half)                           \
  static PyObject *name(Value *v) {               \
    return along_one(mlx_fft_##name, v, half);    \
  }
#define SEVERAL(name, half)                           \
  static PyObject *name(Value *v) {                   \
    return along_several(mlx_fft_##name, v, half);    \
  }

ONE(fft, false)
ONE(ifft, false)
ONE(rfft, false)
ONE(irfft, true)
SEVERAL(fft2, false)
SEVERAL(ifft2, false)
SEVERAL(fftn, false)
SEVERAL(ifftn, false)
SEVERAL(rfft2, false)
SEVERAL(irfft2, true)
SEVERAL(rfftn, false)
SEVERAL(irfftn, true)

#define ROW_ONE(name) {"fft_" #name, "aIits", name}
#define ROW_SEVERAL(name) {"fft_" #name, "axxts", name}

const Row fft_rows[] = {
  ROW_ONE(fft),
  ROW_ONE(ifft),
  ROW_ONE(rfft),
  ROW_ONE(irfft),
  ROW_SEVERAL(fft2),
  ROW_SEVERAL(ifft2),
  ROW_SEVERAL(fftn),
  ROW_SEVERAL(ifftn),
  ROW_SEVERAL(rfft2),
  ROW_SEVERAL(irfft2),
  ROW_SEVERAL(rfftn),
  ROW_SEVERAL(irfftn),
  {NULL, NULL, NULL},
};
