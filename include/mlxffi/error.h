#ifndef MLXFFI_ERROR_H
#define MLXFFI_ERROR_H

#include <stddef.h>

/**
 * The last error of the calling thread.
 *
 * Every failing function stores its error here before it calls the handler of mlx_set_error_handler(). With
 * mlxffi_ignore_errors() as that handler, a binding needs no callback: it reads the error after a failing call, on the
 * same thread.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** What kind of C++ exception an error was. */
typedef enum mlxffi_error_kind_ {
  MLXFFI_ERROR_NONE,
  MLXFFI_ERROR_INVALID_ARGUMENT,
  MLXFFI_ERROR_OUT_OF_RANGE,
  MLXFFI_ERROR_BAD_ALLOC,
  MLXFFI_ERROR_OTHER,
  /* 5 is free for bindings, which may stand on an mlx-c that tells no kind. */
  MLXFFI_ERROR_OVERFLOW = 6
} mlxffi_error_kind;

/** The kind of the last error of this thread; MLXFFI_ERROR_NONE when there was none since mlxffi_clear_error(). */
mlxffi_error_kind mlxffi_last_error_kind(void);

/** The text of the last error of this thread, "" when there is none; borrowed until the thread's next error. */
const char *mlxffi_last_error_text(void);

/** Forget the last error of this thread. */
void mlxffi_clear_error(void);

/** An error handler that does nothing: for callers that read the last error instead. */
void mlxffi_ignore_errors(const char *message, void *data);

/**
 * Let a call fail on purpose, to test what a program does then: the one after `calls` - 1 others, on any thread.
 *
 * Counted are the calls that can fail: those that return a status, but for mlx_*_free(), and those that return a handle.
 * The failing call leaves nothing behind but an error, of kind MLXFFI_ERROR_OTHER; the calls after it work again.
 * `calls`: 1 for the next call; 0 for none.
 */
void mlxffi_fail_after(size_t calls);

#ifdef __cplusplus
}
#endif

#endif /* MLXFFI_ERROR_H */
