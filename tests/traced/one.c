#include "work.h"

int main(void) {
  work(NULL);
  mlx_set_error_handler(ignore, NULL, NULL);
  fail();
  return 0;
}
