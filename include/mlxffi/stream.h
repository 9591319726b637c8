#ifndef MLXFFI_STREAM_H
#define MLXFFI_STREAM_H

#include <stddef.h>

#include "mlx/c/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * A handle that stands for "the calling thread's default stream of the default device, at the time of each call".
 *
 * Every function that takes a stream takes it. It is not counted as live; mlx_stream_free() leaves it alone.
 */
mlx_stream mlxffi_default_stream(void);

/**
 * The streams that there are, those of all threads.
 *
 * `streams`: `room` slots, of which the first get a handle each; the caller owns them. May be NULL where `room` is 0.
 * `count`: receives how many streams there are, also where that is more than `room`.
 * Returns 0, or 1 after an error.
 */
int mlxffi_get_streams(mlx_stream *streams /* may be null */, size_t room, size_t *count);

#ifdef __cplusplus
}
#endif

#endif /* MLXFFI_STREAM_H */
