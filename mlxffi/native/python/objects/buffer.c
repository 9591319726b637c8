/* The memory of arrays for Python: they are computed first, and lend it by the buffer protocol.
 *
 * A view keeps an array of its own over the same memory, so that the object may get other values meanwhile. It can be
 * written to, as those of mlx.core can.
 */

#include "native.h"

#include <string.h>

bool compute(mlx_array *array, mlx_array *kept) {
  bool available = false;
  *kept = (mlx_array){0};
  int failed = _mlx_array_is_available(&available, *array);
  if (!failed && !available) {
    failed = mlx_array_set(kept, *array);
    *array = *kept;
    if (!failed) {
      Py_BEGIN_ALLOW_THREADS
      failed = mlx_array_eval(*kept);
      Py_END_ALLOW_THREADS
    }
  }
  if (failed) {
    mlx_array_free(*kept);
    raise_last_error();
  }
  return !failed;
}

/* By the number of the dtype; as mlx.core has them. */
static const char *const formats[] = {"?", "B", "H", "I", "Q", "b", "h", "i", "q", "e", "f", "d", "bfloat16", "Zf"};

/* What a view needs for as long as there is one. */
typedef struct {
  mlx_array array;
  Py_ssize_t numbers[]; /* the shape, and then the strides in bytes */
} Lent;

static void give_back(Lent *lent) {
  mlx_array_free(lent->array);
  PyMem_Free(lent);
}

/* Of an array that is given up. */
static Lent *lend(mlx_array array, int ndim, Py_ssize_t itemsize) {
  Lent *lent = PyMem_Malloc(sizeof *lent + 2 * (size_t)ndim * sizeof(Py_ssize_t));
  mlx_array kept;
  if (!lent) {
    mlx_array_free(array);
    PyErr_NoMemory();
    return NULL;
  }
  lent->array = array;
  if (!compute(&array, &kept)) {
    give_back(lent);
    return NULL;
  }
  mlx_array_free(kept);
  for (int i = 0; i < ndim; i++) {
    lent->numbers[i] = mlx_array_shape(lent->array)[i];
    lent->numbers[ndim + i] = (Py_ssize_t)mlx_array_strides(lent->array)[i] * itemsize;
  }
  return lent;
}

/* Whether the elements lie in row order, or, `columns`, in that of columns. Strides of axes with one element mean
 * nothing. */
static bool in_order(const Lent *lent, int ndim, Py_ssize_t itemsize, bool columns) {
  Py_ssize_t wanted = itemsize;
  for (int i = 0; i < ndim; i++) {
    int axis = columns ? i : ndim - 1 - i;
    if (lent->numbers[axis] > 1 && lent->numbers[ndim + axis] != wanted) {
      return false;
    }
    wanted *= lent->numbers[axis];
  }
  return true;
}

/* Whether those who ask can do with the order of the elements. */
static bool fits(const Lent *lent, int ndim, Py_ssize_t itemsize, int flags) {
  bool rows = in_order(lent, ndim, itemsize, false), columns = in_order(lent, ndim, itemsize, true);
  switch (flags & BUFFER_ORDER) {
    case BUFFER_ANY_ORDER:
      return rows || columns;
    case BUFFER_COLUMNS:
      return columns;
    case BUFFER_ROWS:
      return rows;
    default:
      return rows || (flags & BUFFER_STRIDES) == BUFFER_STRIDES;
  }
}

static int refuse(const char *text) {
  PyErr_SetString(PyExc_BufferError, text);
  return -1;
}

static void fill(Buffer *view, PyObject *self, Lent *lent, int flags) {
  static char nothing[8];
  mlx_array array = lent->array;
  int ndim = (int)mlx_array_ndim(array);
  Py_ssize_t size = (Py_ssize_t)mlx_array_size(array), itemsize = (Py_ssize_t)mlx_array_itemsize(array);
  *view = (Buffer){
    .buf = size ? (void *)elements_of(array) : nothing,
    .obj = self,
    .len = size * itemsize,
    .itemsize = itemsize,
    .ndim = ndim,
    .format = flags & BUFFER_FORMAT ? (char *)formats[mlx_array_dtype(array)] : NULL,
    .shape = flags & BUFFER_ND ? lent->numbers : NULL,
    .strides = (flags & BUFFER_STRIDES) == BUFFER_STRIDES ? lent->numbers + ndim : NULL,
    .internal = lent,
  };
  Py_INCREF(self);
}

int lend_buffer(PyObject *self, Buffer *view, int flags) {
  mlx_array array = own_handle((mlx_array){array_of(self)});
  view->obj = NULL;
  if (!array.ctx) {
    return -1;
  }
  int ndim = (int)mlx_array_ndim(array);
  Py_ssize_t itemsize = (Py_ssize_t)mlx_array_itemsize(array);
  Lent *lent = lend(array, ndim, itemsize);
  if (!lent) {
    return -1;
  }
  if (mlx_array_size(lent->array) && !fits(lent, ndim, itemsize, flags)) {
    give_back(lent);
    return refuse("the elements of the array do not lie in row order; use contiguous or numpy.asarray");
  }
  fill(view, self, lent, flags);
  return 0;
}

void take_back_buffer(PyObject *self, Buffer *view) {
  give_back(view->internal);
}
