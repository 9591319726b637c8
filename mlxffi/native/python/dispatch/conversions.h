/* The arguments of functions of the ABI. */

#ifndef MLXFFI_CONVERSIONS_H
#define MLXFFI_CONVERSIONS_H

#include "dispatch/operation.h"

typedef struct {
  Row row;
  const char *parameters; /* their names, between commas */
} AbiRow;

/* The module `abi` of functions over rows, the last of which has no name. */
bool init_abi(PyObject *module, const AbiRow *rows);

/* Reads the argument for a parameter of a row; false after an exception that says what was expected. Either way the value
 * is to be freed. */
bool convert_value(Value *value, const AbiRow *row, int number, PyObject *object);

#endif
