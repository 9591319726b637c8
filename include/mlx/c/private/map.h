/** The C++ object behind a handle: see mlx.h of this folder. */
#ifndef MLX_C_PRIVATE_MAP_H
#define MLX_C_PRIVATE_MAP_H

#include "mlx/c/private/mlx.h"

#endif /* MLX_C_PRIVATE_MAP_H */
