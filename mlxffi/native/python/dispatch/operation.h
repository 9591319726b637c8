/* The class of operations. */

#ifndef MLXFFI_OPERATION_H
#define MLXFFI_OPERATION_H

#include "dispatch/arguments.h"

/* Over the rows of operations that are one call of C, and of others: tables of tables, which end with NULL. */
bool init_operations(PyObject *module, const Row *const *of_one_call, const Row *const *of_several);

#endif
