#ifndef MLXFFI_MEMORY_H
#define MLXFFI_MEMORY_H

#include <stddef.h>

/**
 * Counters of the native objects that handles keep alive, by kind.
 *
 * A test reads them before and after: equal figures mean that every handle made in between was freed.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** How many kinds of object are counted. */
size_t mlxffi_live_kinds(void);

/** The name of a kind, such as "mlx_array"; "payload" counts payloads whose destructor has not run. NULL past the end. */
const char *mlxffi_live_kind(size_t kind);

/** How many objects of a kind are alive in the process; 0 past the end. */
size_t mlxffi_live_objects(size_t kind);

/** How many objects of all kinds are alive. */
size_t mlxffi_live_total(void);

#ifdef __cplusplus
}
#endif

#endif /* MLXFFI_MEMORY_H */
