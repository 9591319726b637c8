/* The arguments of functions of the ABI. */

#ifndef MLXFFI_CONVERSIONS_H
#define MLXFFI_CONVERSIONS_H

#include "dispatch/operation.h"

typedef struct {
  Row row;
  const char *parameters; /* their names, between commas */
} AbiRow;

/* All of them: generated/abi.c. */
extern const AbiRow abi_rows[];

/* Reads the argument for a parameter of a row; false after an exception that says what was expected. Either way the value
 * is to be freed. */
bool convert_value(Value *value, const AbiRow *row, int number, PyObject *object);

#endif
