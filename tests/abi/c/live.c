/* The last check of every test program: no object of the library is left. */
#include <stddef.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif
/* Objects alive on the library's side; absent from other builds of this ABI. */
extern size_t mlxffi_live_total(void) __attribute__((weak));
int check_no_live_objects(void);
#ifdef __cplusplus
}
#endif

int check_no_live_objects(void) {
  size_t live = mlxffi_live_total ? mlxffi_live_total() : 0;
  if (live != 0) {
    printf("live objects at the end: expected 0, got %zu\n", live);
  }
  return live != 0;
}
