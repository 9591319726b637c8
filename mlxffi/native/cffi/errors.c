/* The last error of a thread. No Python is in its path. */

#include <string.h>

#ifdef MLXFFI_PLAIN_MLXC

/* mlx-c tells a text and no kind. A message that does not fit is cut. */
static _Thread_local char error_text[4096];
static _Thread_local int error_kind;

static void keep_error(const char *message, void *data) {
  error_kind = 5; /* nobody tells */
  strncpy(error_text, message, sizeof error_text - 1);
}

static int glue_ignore_errors(void) {
  mlx_set_error_handler(keep_error, NULL, NULL);
  return 0;
}

static int glue_error_kind(void) {
  return error_kind;
}

static const char *glue_error_text(void) {
  return error_text;
}

static void glue_clear_error(void) {
  error_kind = 0;
  error_text[0] = 0;
}

#else

static int glue_ignore_errors(void) {
  mlx_set_error_handler(mlxffi_ignore_errors, NULL, NULL);
  return 0;
}

static int glue_error_kind(void) {
  return mlxffi_last_error_kind();
}

static const char *glue_error_text(void) {
  return mlxffi_last_error_text();
}

static void glue_clear_error(void) {
  mlxffi_clear_error();
}

#endif
