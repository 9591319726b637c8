#include "errors.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "mlx/c/mlx.h"

enum { MAX_TEXT = 8192 };

static __thread char text[MAX_TEXT];

/* The message is gone when this returns, and is no format: there may be a % in it. */
static void keep(const char *message, void *data) {
  (void)data;
  snprintf(text, sizeof text, "%s", message);
}

void keep_errors(void) {
  mlx_set_error_handler(keep, NULL, NULL);
}

const char *last_error(void) {
  return text;
}

void clear_error(void) {
  text[0] = 0;
}

any_function find_function(const char *name) {
  any_function found;
  void *address = dlsym(dlopen(NULL, RTLD_NOW), name);
  memcpy(&found, &address, sizeof found); /* C has no cast from an object to a function */
  return found;
}

size_t live_objects(void) {
  size_t (*live)(void) = (size_t (*)(void))find_function("mlxffi_live_total");
  return live != NULL ? live() : 0;
}
