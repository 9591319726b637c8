/* What cgo cannot say: function pointers for C, and what belongs to a thread of the system. */
#ifndef TRAMPOLINES_H
#define TRAMPOLINES_H

#include <stdint.h>

#include "mlx/c/mlx.h"
#include "mlxffi/mlxffi.h"

/* Closures of the Go function under a key, which the library gives back to goDrop. */
mlx_closure closure_of(uintptr_t key);
mlx_closure_custom custom_of(uintptr_t key);

/* Have failing calls keep their error for the calling thread, instead of ending the process. */
void keep_errors(void);

/* Make `stream` the default of the calling thread, unless it is already. */
void enter(mlx_stream stream);

/* How a callback of this thread failed: a key, 0 for none. Taking it forgets it. */
void keep_failure(uintptr_t key);
uintptr_t take_failure(void);

#endif
