/* Fourier transforms as operations (see dispatch/arguments.h): the sizes that are not given are read from the array. */

#include "dispatch/arguments.h"

#include <string.h>

/* By its name; false after an exception. */
static bool read_norm(mlx_fft_norm *norm, const char *name) {
  static const char *const names[] = {"backward", "ortho", "forward"};
  for (int i = 0; i < 3; i++) {
    if (!strcmp(name, names[i])) {
      *norm = (mlx_fft_norm)i;
      return true;
    }
  }
  refused(MLXFFI_ERROR_INVALID_ARGUMENT, "[fft] Invalid norm '%s', expected one of backward, ortho, forward.", name);
  return false;
}

/* How many points a transform has along an axis; `half` says that the input is half of a symmetric one. False after an
 * exception. */
static bool points(int *size, mlx_array a, int axis, bool half) {
  int ndim = (int)mlx_array_ndim(a);
  if (!ndim) {
    return refused(MLXFFI_ERROR_OUT_OF_RANGE, "[fft] expected an array with axes, got one of shape ().");
  }
  /* C++ refuses an axis that is not there, whatever the size. */
  bool there = axis >= -ndim && axis < ndim;
  *size = there ? mlx_array_shape(a)[axis < 0 ? axis + ndim : axis] : 1;
  *size = there && half ? 2 * (*size - 1) : *size;
  return true;
}

typedef int AlongOne(mlx_array *result, const mlx_array a, int n, int axis, mlx_fft_norm norm, const mlx_stream s);

/* a, n, axis, norm, stream */
static PyObject *along_one(AlongOne *call, Value *v, bool half) {
  mlx_array made = {0};
  mlx_fft_norm norm;
  int axis = (int)v[2].integer, size = (int)v[1].integer;
  if ((!v[1].given && !points(&size, v[0].array, axis, half)) || !read_norm(&norm, v[3].text)) {
    return NULL;
  }
  call(&made, v[0].array, size, axis, norm, v[4].stream);
  return one(made);
}

/* All that is missing of the sizes and axes of a transform along several; false after an exception. */
static bool complete(Value *sizes, Value *axes, mlx_array a, bool half) {
  if (is_one(sizes, "s") || is_one(axes, "axes")) {
    return false;
  }
  if (sizes->given && !axes->given) {
    return refused(MLXFFI_ERROR_INVALID_ARGUMENT, "[fftn] `axes` should not be `None` if `s` is not `None`.");
  }
  if ((!axes->given && !all_axes(axes, a)) || (!sizes->given && !reserve(sizes, axes->count))) {
    return false;
  }
  for (int i = 0; !sizes->given && i < axes->count; i++) {
    if (!points(&sizes->ints[i], a, axes->ints[i], half && i == axes->count - 1)) {
      return false;
    }
  }
  sizes->count = sizes->given ? sizes->count : axes->count;
  return true;
}

typedef int AlongSeveral(mlx_array *result, const mlx_array a, const int *n, size_t n_num, const int *axes,
                         size_t axes_num, mlx_fft_norm norm, const mlx_stream s);

/* a, s, axes, norm, stream */
static PyObject *along_several(AlongSeveral *call, Value *v, bool half) {
  mlx_array made = {0};
  mlx_fft_norm norm;
  Value *sizes = &v[1], *axes = &v[2];
  if (!complete(sizes, axes, v[0].array, half) || !read_norm(&norm, v[3].text)) {
    return NULL;
  }
  call(&made, v[0].array, sizes->ints, (size_t)sizes->count, axes->ints, (size_t)axes->count, norm, v[4].stream);
  return one(made);
}

/* The name, and whether the input is half of a symmetric one. */
#define TRANSFORMS_ALONG_ONE(OF) OF(fft, false) OF(ifft, false) OF(rfft, false) OF(irfft, true)
#define TRANSFORMS_ALONG_SEVERAL(OF)                                                    \
  OF(fft2, false) OF(ifft2, false) OF(fftn, false) OF(ifftn, false)                     \
  OF(rfft2, false) OF(irfft2, true) OF(rfftn, false) OF(irfftn, true)

#define ONE(name, half)                           \
  static PyObject *name(Value *v) {               \
    return along_one(mlx_fft_##name, v, half);    \
  }
#define SEVERAL(name, half)                           \
  static PyObject *name(Value *v) {                   \
    return along_several(mlx_fft_##name, v, half);    \
  }
#define ROW_ONE(name, half) {"fft_" #name, "aIits", name},
#define ROW_SEVERAL(name, half) {"fft_" #name, "axxts", name},

TRANSFORMS_ALONG_ONE(ONE)
TRANSFORMS_ALONG_SEVERAL(SEVERAL)

static mlx_optional_int optional(const Value *value) {
  return (mlx_optional_int){(int)value->integer, value->given};
}

/* x, n_fft, hop_length, win_length, window, center, pad_mode, norm, onesided, stream */
static PyObject *stft(Value *v) {
  mlx_array made = {0};
  mlx_fft_norm norm;
  if (!read_norm(&norm, v[7].text)) {
    return NULL;
  }
  mlx_fft_stft(&made, v[0].array, (int)v[1].integer, optional(&v[2]), optional(&v[3]), v[4].array, v[5].flag, v[6].text,
               norm, (mlx_optional_bool){v[8].flag, v[8].given}, v[9].stream);
  return one(made);
}

/* stft_matrix, n_fft, hop_length, win_length, window, center, norm, onesided, length, stream */
static PyObject *istft(Value *v) {
  mlx_array made = {0};
  mlx_fft_norm norm;
  if (!read_norm(&norm, v[6].text)) {
    return NULL;
  }
  mlx_fft_istft(&made, v[0].array, optional(&v[1]), optional(&v[2]), optional(&v[3]), v[4].array, v[5].flag, norm,
                (mlx_optional_bool){v[7].flag, v[7].given}, optional(&v[8]), v[9].stream);
  return one(made);
}

const Row fft_rows[] = {
  TRANSFORMS_ALONG_ONE(ROW_ONE)
  TRANSFORMS_ALONG_SEVERAL(ROW_SEVERAL)
  {"fft_stft", "aiIIAbttBs", stft},
  {"fft_istft", "aIIIAbtBIs", istft},
  {NULL, NULL, NULL},
};
