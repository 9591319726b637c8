/* What a key selects of an array: a strided part (see slice_key.h), from which arrays of positions then pick on their axes.
 *
 * The picked axes come where the arrays stand if these are neighbours, in reading also of the ints, and else first.
 * Positions are not checked, as they may not be computed yet. */

#ifndef MLXFFI_SELECTION_H
#define MLXFFI_SELECTION_H

#include "dispatch/arguments.h"

#include "indexing/slice_key.h"

typedef struct {
  Part part;
  int picks_num, axes[MOST];           /* the axes that are picked on */
  mlx_array picks[MOST];               /* and the positions on each, lent */
  int place;                           /* how many axes stand before the picked ones; -1 for more than one such number */
  int picked_num, picked[MOST];        /* the sizes that the positions have together */
  int block[MOST];                     /* the sizes of the part, 1 on picked axes */
  int shape_num, shape[2 * MOST];      /* those of the result */
} Selection;

/* False after an exception. The positions are lent by the key. */
bool read_selection(Selection *selection, mlx_array array, const Key *key, bool reading);

/* The selected elements. */
mlx_array selected(const Selection *selection, mlx_array array, mlx_stream stream);

/* --- what updates need too --- */

bool is_empty(const Selection *selection);

/* The picks as a new vector. */
mlx_vector_array packed_picks(const Selection *selection);

/* The order of axes that moves the first `picked` ones behind `before` others, or, `back`, to the front again. */
void moved(int *order, int ndim, int picked, int before, bool back);

#endif
