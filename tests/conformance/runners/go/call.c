#define _GNU_SOURCE
#include "call.h"

#include <dlfcn.h>
#include <string.h>

void *find_function(const char *name) {
  return dlsym(RTLD_DEFAULT, name);
}

int call_by_class(void *function, const char *letters, parameter *x) {
#define CLASS(class_, types, arguments)       \
  if (strcmp(letters, class_) == 0) {         \
    return ((int(*) types)function)arguments; \
  }
#include "../c/classes.h"
#undef CLASS
  return -1;
}

const void *address_of(const char *name, mlx_array array) {
  return ((const void *(*)(mlx_array))find_function(name))(array);
}

int item_of(const char *name, void *place, mlx_array array) {
  return ((int (*)(void *, mlx_array))find_function(name))(place, array);
}

void free_empty(const char *name) {
  ((int (*)(mlx_array))find_function(name))((mlx_array){NULL});
}

static int nothing(mlx_vector_array *res, const mlx_vector_array inputs) {
  (void)res, (void)inputs;
  return 0;
}

mlx_closure closure_of_nothing(void) {
  return mlx_closure_new_func(nothing);
}
