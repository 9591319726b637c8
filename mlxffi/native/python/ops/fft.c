/* The arguments of Fourier transforms (see fft.h). */

#include "ops/fft.h"

#include <string.h>

bool read_norm(Value *norm) {
  static const char *const names[] = {"backward", "ortho", "forward"};
  for (norm->integer = 0; norm->integer < 3; norm->integer++) {
    if (!strcmp(norm->text, names[norm->integer])) {
      return true;
    }
  }
  return refused(MLXFFI_ERROR_INVALID_ARGUMENT, "[fft] Invalid norm '%s', expected one of backward, ortho, forward.", norm->text);
}

static bool count_points(int *size, mlx_array a, int axis, bool half) {
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

bool size_along(Value *size, const Value *axis, mlx_array a, bool half) {
  int found = (int)size->integer;
  bool read = size->given || count_points(&found, a, (int)axis->integer, half);
  size->integer = found;
  return read;
}

bool sizes_along(Value *sizes, const Value *axes, mlx_array a, bool half) {
  if (sizes->given) {
    const char *text = "[fftn] `axes` should not be `None` if `s` is not `None`.";
    return axes->given || refused(MLXFFI_ERROR_INVALID_ARGUMENT, "%s", text);
  }
  sizes->count = axes->count;
  bool read = reserve(sizes, axes->count);
  for (int i = 0; i < axes->count && read; i++) {
    read = count_points(&sizes->ints[i], a, axes->ints[i], half && i == axes->count - 1);
  }
  return read;
}
