#ifndef MLXFFI_RANDOM_H
#define MLXFFI_RANDOM_H

#include "mlx/c/array.h"
#include "mlx/c/stream.h"

/**
 * Random numbers whose generator is a binding's own.
 */

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The next state of a generator, and a key to draw with now.
 *
 * As mlx_random_split(), but the key is a draw of the function that is traced: a checkpoint gets it again when it runs
 * again, and each slice of a map another one. Only a generator's state belongs here; to split a key that somebody gave,
 * use mlx_random_split().
 * `res_0`, `res_1`: receive the state and the key; the caller owns them. `before`: the state until now, uint32 [2].
 * Returns 0, or 1 after an error.
 */
int mlxffi_random_next(mlx_array *res_0, mlx_array *res_1, const mlx_array before, const mlx_stream s);

#ifdef __cplusplus
}
#endif

#endif /* MLXFFI_RANDOM_H */
