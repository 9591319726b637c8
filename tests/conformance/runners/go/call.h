/* Calls of the library's functions by name, typed by the suite's classes. */
#ifndef CALL_H
#define CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mlx/c/mlx.h"
#include "mlxffi/mlxffi.h"

/* What one letter of a class stands for: those members count that it says. */
typedef struct {
  mlx_array array;
  mlx_vector_array vector;
  mlx_stream stream;
  const int *ints;
  const int64_t *longs;
  size_t size;
  int64_t integer;
  double number;
  const char *text;
  mlx_dtype dtype;
  mlx_optional_int some_int;
  mlx_optional_float some_float;
  mlx_optional_bool some_bool;
  mlx_optional_dtype some_dtype;
} parameter;

/* The function of a name; NULL where the library has none. */
void *find_function(const char *name);

/* The status of the call, or -1 where there is no such class. */
int call_by_class(void *function, const char *letters, parameter *x);

/* Calls of functions that take one handle, by name. */
const void *address_of(const char *name, mlx_array array);
int item_of(const char *name, void *place, mlx_array array);
void free_empty(const char *name);

/* A closure that leaves the place for its outputs empty. */
mlx_closure closure_of_nothing(void);

#endif
