#ifndef MLXFFI_STREAM_H
#define MLXFFI_STREAM_H

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

#ifdef __cplusplus
}
#endif

#endif /* MLXFFI_STREAM_H */
