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

/* A tuple of what is in a sequence; NULL, without an exception, for anything else. */
PyObject *sequence_tuple(PyObject *object);

/* Reads an object as it lies, if it is none that depends on others or that must be taken last. */
static inline bool read_alone(Value *value, char letter, PyObject *object) {
  return letter != 'l' && letter != 'r' && read_value(value, letter, object);
}

/* Converts what is not read so. */
bool convert_other(Value *value, char letter, const char *function, const char *name, PyObject *object);

/* Either; false after an exception that names the function and the parameter. The value is to be freed anyway. */
static inline bool convert_object(Value *value, char letter, const char *function, const char *name, PyObject *object) {
  return read_alone(value, letter, object) || convert_other(value, letter, function, name, object);
}

/* Sizes or axes given one by one, or as one sequence, likewise. */
bool convert_rest(Value *value, const char *function, const char *name, const Value *rest);

/* What C gives for `count` arguments, None in the places behind them, and for those of `*arguments`. */
PyObject *call_converted(const AbiRow *row, PyObject *const *arguments, Py_ssize_t count, const Value *rest);

#endif
