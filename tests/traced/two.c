#include "work.h"
int main(void) {
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) {
    pthread_create(&threads[i], NULL, work, NULL);
  }
  for (int i = 0; i < 2; i++) {
    pthread_join(threads[i], NULL);
  }
  mlx_set_error_handler(ignore, NULL, NULL);
  fail();
  return 0;
}
