#ifndef MLXFFI_EVENT_H
#define MLXFFI_EVENT_H

#include <stdbool.h>

#include "mlx/c/stream.h"

/**
 * Events: points in the work of a stream, for which other streams and other threads wait.
 *
 * mlx_synchronize() waits for all work of a stream, on the thread that owns it. An event waits for the work up to a point,
 * on any thread, or lets another stream wait while the calling thread goes on. Several threads may use one event at a time.
 * An event is about work that was handed to a stream (mlx_async_eval()): it does not evaluate lazy arrays.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** A handle to a point in a stream's work. */
typedef struct mlxffi_event_ {
  void *ctx;
} mlxffi_event;

/** An empty handle (`ctx` NULL), to be passed as a result slot. */
mlxffi_event mlxffi_event_new(void);

/**
 * Mark the end of the work that `stream` has so far. Call it on a thread that owns the stream.
 *
 * `event`: receives the event; the caller owns it.
 * Returns 0, or 1 after an error: the calling thread has no such stream.
 */
int mlxffi_event_record(mlxffi_event *event, mlx_stream stream);

/**
 * Wait until the work before `event` is done. Any thread may call it, as often as it likes.
 *
 * Returns 0, or 1 after an error: work before the event failed, and no evaluation or synchronization has told of that
 * before. Waiting again says so again.
 */
int mlxffi_event_wait(mlxffi_event event);

/**
 * Whether the work before `event` is done, or has failed: mlxffi_event_wait() would return at once.
 *
 * `res`: receives the answer.
 * Returns 0, or 1 after an error.
 */
int mlxffi_event_is_done(bool *res, mlxffi_event event);

/**
 * Let `stream` go on only when the work before `event` is done: what is handed to it from now on is computed after that.
 * The calling thread, which must own `stream`, does not wait. Where that work fails, whoever next waits for `stream` is told.
 *
 * Returns 0, or 1 after an error.
 */
int mlxffi_event_stream_wait(mlxffi_event event, mlx_stream stream);

/** Free the handle `event`; the work goes on. An empty handle is ignored. Returns 0. */
int mlxffi_event_free(mlxffi_event event);

#ifdef __cplusplus
}
#endif

#endif /* MLXFFI_EVENT_H */
