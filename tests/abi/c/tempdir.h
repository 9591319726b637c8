/* A directory for the files of one test program. Include this before anything else. */
#ifndef TEMPDIR_H
#define TEMPDIR_H

#define _POSIX_C_SOURCE 200809L
#include <unistd.h>

#include "check.h"

static char temp_dir[] = "/tmp/mlx-c-XXXXXX";

static inline void make_temp_dir(void) {
  CHECK(mkdtemp(temp_dir) != NULL);
}

/* The path of a file there; the text lives until the third next call. */
static inline const char *temp(const char *name) {
  static char paths[3][256];
  static int next;
  next = (next + 1) % 3;
  snprintf(paths[next], sizeof paths[next], "%s/%s", temp_dir, name);
  return paths[next];
}

/* Every file has to be gone by then: a program removes what it writes. */
static inline void remove_temp(const char *name) {
  CHECK_INT(0, unlink(temp(name)));
}

static inline void remove_temp_dir(void) {
  CHECK_INT(0, rmdir(temp_dir));
}

#endif
