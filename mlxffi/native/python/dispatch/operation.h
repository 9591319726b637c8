/* The class of operations. */

#ifndef MLXFFI_OPERATION_H
#define MLXFFI_OPERATION_H

#include "dispatch/arguments.h"

/* Over the rows of some tables, which end with NULL. */
bool init_operations(const Row *const *tables);

#endif
