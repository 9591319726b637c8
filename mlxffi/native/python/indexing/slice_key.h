/* Keys of Python, and the strided parts of arrays that ints, slices, None and ... in them select. */

#ifndef MLXFFI_SLICE_KEY_H
#define MLXFFI_SLICE_KEY_H

#include "native.h"

/* Axes of an array, and entries of a key. */
#define MOST 64

/* One entry. All Python code that it may run has run: what is selected can be read from the array as it is then. */
typedef struct {
  enum { NEW_AXIS, DOTS, SLICE, POSITION, PICK } kind;
  Py_ssize_t start, stop, step; /* of a slice */
  int64_t position;
  mlx_array picks; /* of `kept`, held */
  PyObject *kept;
} Entry;

typedef struct {
  int count, used; /* used: on axes of the array */
  Entry entries[MOST];
} Key;

/* False after an exception. Either way the key is to be freed. */
bool read_key(Key *key, PyObject *object);
void free_key(Key *key);

typedef struct {
  int ndim, starts[MOST], stops[MOST], steps[MOST];
  int gone_num, gone[MOST];           /* the axes that ints take away */
  int added_num, added[MOST];         /* the places of None in the result */
  int stay_num, stay[MOST], of[MOST]; /* the sizes of the result, and which axis each one is; -1 for None */
  bool whole;
} Part;

/* An axis as it is, or what an entry for one says of the next one; false after an exception. */
bool add_whole(Part *part, int size);
bool add_entry(Part *part, const Entry *entry, int size);

/* The handle of a part of an array, which is NULL after an error. */
mlx_array take_part(const Part *part, mlx_array array, mlx_stream stream);

/* The same with all of its axes. */
mlx_array strided_part(const Part *part, mlx_array array, mlx_stream stream);

/* A strided part, behind so many other axes, becomes one with the axes of the part. */
bool with_axes_of(const Part *part, mlx_array *current, int before, mlx_stream stream);

/* Each step takes the array of the one before, and frees it; after a failure there is none. */
bool follow(mlx_array *current, mlx_array next, int failed);

/* One that takes sizes or axes. */
typedef int Shaping(mlx_array *result, const mlx_array a, const int *numbers, size_t count, const mlx_stream s);
bool shape_with(Shaping *call, mlx_array *current, const int *numbers, int count, mlx_stream stream);

/* The handle of an array with other values in a part, whose axes have those sizes. */
mlx_array put_part(const Part *part, mlx_array array, mlx_array values, mlx_stream stream);

#endif
