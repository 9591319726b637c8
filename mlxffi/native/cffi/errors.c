/* The last error of a thread, as mlxffi/error.h has it. No Python is in its path. */

#ifdef MLXFFI_PLAIN_MLXC

#include <string.h>

/* mlx-c tells a text and no kind. A message that does not fit is cut. */
static _Thread_local char error_text[4096];
static _Thread_local int error_kind;

static void mlxffi_ignore_errors(const char *message, void *data) {
  error_kind = 5; /* nobody tells */
  strncpy(error_text, message, sizeof error_text - 1);
}

static int mlxffi_last_error_kind(void) {
  return error_kind;
}

static const char *mlxffi_last_error_text(void) {
  return error_text;
}

static void mlxffi_clear_error(void) {
  error_kind = 0;
  error_text[0] = 0;
}

#endif

static void glue_ignore_errors(void) {
  mlx_set_error_handler(mlxffi_ignore_errors, NULL, NULL);
}
