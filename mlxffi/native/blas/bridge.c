/* The BLAS bridge: the BLAS and LAPACK functions that libmlx imports, forwarded to OpenBLAS.
 *
 * MLX's Linux wheels link Netlib's reference BLAS. libmlxc names this library before libmlx, so the dynamic linker finds
 * its symbols first; each jumps to OpenBLAS's function of the same arguments (scipy-openblas32 puts `scipy_` in front).
 * A jump leaves registers and stack alone, so no prototype is repeated here. Where OpenBLAS is not to be had, or
 * MLXFFI_BLAS=reference asks for it, they jump to the next library that has the symbol: the one that libmlx brings.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "openblas.h"

/* How many calls went to OpenBLAS: tells whether the bridge is in use. The figure is a hint, not an exact count. */
unsigned long mlxffi_blas_calls;
static unsigned long other_calls;

mlxffi_sgemm mlxffi_target_sgemm;
int (*mlxffi_openblas_get_threads)(void);
void (*mlxffi_openblas_set_threads)(int count);
unsigned long *mlxffi_blas_counter = &other_calls;

/* nm -D --undefined-only libmlx.so lists these and cblas_sgemm, which sgemm.c has; a symbol missing here stays with the
 * reference BLAS. */
#define FUNCTIONS(ROW) \
  ROW(cblas_cgemm) \
  ROW(cblas_dgemm) \
  ROW(cgeev_) \
  ROW(cgesdd_) \
  ROW(cheevd_) \
  ROW(dgeev_) \
  ROW(dgeqrf_) \
  ROW(dgesdd_) \
  ROW(dgetrf_) \
  ROW(dgetri_) \
  ROW(dorgqr_) \
  ROW(dpotrf_) \
  ROW(dsyevd_) \
  ROW(dtrtri_) \
  ROW(sgeev_) \
  ROW(sgeqrf_) \
  ROW(sgesdd_) \
  ROW(sgetrf_) \
  ROW(sgetri_) \
  ROW(sorgqr_) \
  ROW(spotrf_) \
  ROW(ssyevd_) \
  ROW(strtri_)

#define STRING(text) #text

#if defined(__x86_64__)
#define JUMP(name)                                   \
  "  movq mlxffi_blas_counter(%rip), %r11\n"         \
  "  incq (%r11)\n"                                  \
  "  jmp *mlxffi_target_" STRING(name) "(%rip)\n"
#elif defined(__aarch64__)
#define JUMP(name)                                   \
  "  adrp x16, mlxffi_blas_counter\n"                \
  "  ldr x16, [x16, #:lo12:mlxffi_blas_counter]\n"   \
  "  ldr x17, [x16]\n"                               \
  "  add x17, x17, #1\n"                             \
  "  str x17, [x16]\n"                               \
  "  adrp x16, mlxffi_target_" STRING(name) "\n"     \
  "  ldr x16, [x16, #:lo12:mlxffi_target_" STRING(name) "]\n" \
  "  br x16\n"
#else
#error "the BLAS bridge knows x86-64 and aarch64"
#endif

#define FORWARD(name)                                              \
  __attribute__((visibility("hidden"))) void *mlxffi_target_##name; \
  __asm__(                                                         \
      ".text\n.globl " STRING(name) "\n"                           \
      ".type " STRING(name) ", %function\n"                        \
      STRING(name) ":\n" JUMP(name)                                \
      ".size " STRING(name) ", . - " STRING(name) "\n");

FUNCTIONS(FORWARD)

static const struct {
  const char *name;
  void **target;
} functions[] = {
#define ROW(name) {#name, &mlxffi_target_##name},
    FUNCTIONS(ROW)
#undef ROW
    {"cblas_sgemm", (void **)&mlxffi_target_sgemm},
};

static void unavailable(void) {
  fputs("mlxffi: there is no BLAS: install scipy-openblas32, or load libmlx before this call\n", stderr);
  abort();
}

static void *scipy(void *openblas, const char *name) {
  char full[64];
  snprintf(full, sizeof full, "scipy_%s", name);
  return dlsym(openblas, full);
}

__attribute__((constructor)) static void connect(void) {
  const char *choice = getenv("MLXFFI_BLAS");
  void *openblas = choice && !strcmp(choice, "reference") ? NULL : dlopen("libscipy_openblas.so", RTLD_NOW);
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    void *found = openblas ? scipy(openblas, functions[i].name) : dlsym(RTLD_NEXT, functions[i].name);
    *functions[i].target = found ? found : (void *)unavailable;
  }
  if (openblas) {
    mlxffi_openblas_get_threads = (int (*)(void))scipy(openblas, "openblas_get_num_threads");
    mlxffi_openblas_set_threads = (void (*)(int))scipy(openblas, "openblas_set_num_threads");
    mlxffi_blas_counter = &mlxffi_blas_calls;
  }
}
