#ifndef MLXFFI_MLXFFI_H
#define MLXFFI_MLXFFI_H

/**
 * What libmlxc offers beyond the mlx-c ABI: every name starts with mlxffi_.
 */

#include "mlxffi/array.h"
#include "mlxffi/error.h"
#include "mlxffi/event.h"
#include "mlxffi/export.h"
#include "mlxffi/fused.h"
#include "mlxffi/losses.h"
#include "mlxffi/memory.h"
#include "mlxffi/random.h"
#include "mlxffi/stream.h"

#endif /* MLXFFI_MLXFFI_H */
