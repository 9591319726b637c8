/* Arguments that are not read as they lie, and the functions of a module that take them. */

#ifndef MLXFFI_CONVERSIONS_H
#define MLXFFI_CONVERSIONS_H

#include "dispatch/arguments.h"

typedef struct {
  Row row;
  const char *parameters; /* their names, between commas */
} AbiRow;

/* Adds functions over rows, the last of which has no name. */
bool add_rows(PyObject *module, const AbiRow *rows);
/* Adds `abi`, the module of all functions of the C ABI. */
bool add_abi(PyObject *module);

/* A new list of what is in a sequence; NULL, without an exception, for anything else. */
PyObject *sequence_list(PyObject *object);

/* Reads an object by a letter, or converts it; false after an exception that names the function and the parameter. Either
 * way the value is to be freed. */
bool convert_object(Value *value, char letter, const char *function, const char *name, PyObject *object);

/* Sizes or axes given one by one, or as one sequence, likewise. */
bool convert_rest(Value *value, const char *function, const char *name, const Value *rest);

/* What C gives for `count` arguments, None in the places behind them, and for those of `*arguments`. */
PyObject *call_converted(const AbiRow *row, PyObject *const *arguments, Py_ssize_t count, const Value *rest);

#endif
