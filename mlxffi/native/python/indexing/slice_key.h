/* Strided parts of arrays by Python keys of ints, slices, None and .... Whatever is not such a key, or
 * does not fit, is left to Python: it has the rest of indexing, and the words for what is wrong. */

#ifndef MLXFFI_SLICE_KEY_H
#define MLXFFI_SLICE_KEY_H

#include "native.h"

#define MOST 16

typedef struct {
  int ndim, starts[MOST], stops[MOST], steps[MOST];
  int gone_num, gone[MOST];           /* the axes that ints take away */
  int added_num, added[MOST];         /* the places of None in the result */
  int stay_num, stay[MOST], of[MOST]; /* the sizes of the result, and which axis each one is; -1 for None */
  bool whole, empty;
} Part;

/* An axis as it is, or what an int, a slice, None or ... says of the next ones, of which `left` have no item in the key;
 * false, without an exception, where this is left to Python. */
bool add_whole(Part *part, int size);
bool add_item(Part *part, PyObject *item, const int *shape, int ndim, int left);

/* The handle of a part of an array, which is NULL after an error. */
mlx_array take_part(const Part *part, mlx_array array, mlx_stream stream);

/* The sizes of values among all axes of a part, to whose result they broadcast; false where they do not. */
bool fit_values(const Part *part, mlx_array values, int *sizes);

/* The handle of an array with other values in a part. */
mlx_array put_part(const Part *part, mlx_array array, mlx_array values, const int *sizes, mlx_stream stream);

#endif
