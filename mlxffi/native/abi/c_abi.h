// Every declaration of the C ABI, with default visibility: the rest of the library is hidden.
#pragma once

#pragma GCC visibility push(default)
#include "mlx/c/mlx.h"
#include "mlxffi/mlxffi.h"
#pragma GCC visibility pop
