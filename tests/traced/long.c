#include <stdio.h>
#include <string.h>
#include "mlx/c/mlx.h"

static void check(const char *message, void *data) {
  *(int *)data = strlen(message) > 5000 && message[4999] == '7';
}

int main(void) {
  int whole = 0;
  mlx_set_error_handler(check, &whole, NULL);
  _mlx_error("long.c", 1, "%05000d", 7);
  return !whole;
}
