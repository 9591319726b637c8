/* The BLAS bridge: the BLAS and LAPACK functions that libmlx imports, forwarded to OpenBLAS.
 *
 * MLX's Linux wheels link Netlib's reference BLAS. libmlxc names this library before libmlx, so the dynamic linker finds
 * its symbols first; each calls OpenBLAS's function of the same arguments (scipy-openblas32 puts `scipy_` in front).
 * Where OpenBLAS is not to be had, or MLXFFI_BLAS=reference asks for it, they call that of the BLAS that libmlx brings.
 *
 * The first call loads OpenBLAS, which takes longer than all else of an import, and a megabyte.
 *
 * A process may exit while MLX's threads compute, and OpenBLAS's destructors unmap what its functions write to. So exit
 * waits for the calls that are in OpenBLAS, and later ones never begin.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "openblas.h"

/* How many calls went to OpenBLAS: tells whether the bridge is in use. The figure is a hint, not an exact count. */
unsigned long mlxffi_blas_calls;
static unsigned long other_calls;

mlxffi_sgemm mlxffi_target_sgemm;
int (*mlxffi_openblas_get_threads)(void);
void (*mlxffi_openblas_set_threads)(int count);
static unsigned long *counter = &other_calls;
static pthread_once_t connected = PTHREAD_ONCE_INIT;

/* nm -D --undefined-only libmlx.so lists these, cblas_dgemm and cblas_sgemm (sgemm.c); a symbol missing here stays with the
 * reference BLAS. */
#define FUNCTIONS(ROW) \
  ROW(cblas_cgemm) \
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

/* --- calls -------------------------------------------------------------- */

static long in_openblas;
static bool ending;

static void connect(void);

void mlxffi_blas_begin(void) {
  __atomic_fetch_add(&in_openblas, 1, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&ending, __ATOMIC_SEQ_CST)) {
    mlxffi_blas_end();
    for (;;) {
      pause();
    }
  }
  pthread_once(&connected, connect);
  __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

void mlxffi_blas_end(void) {
  __atomic_fetch_sub(&in_openblas, 1, __ATOMIC_SEQ_CST);
}

/* All arguments but cblas_dgemm's are pointers, and ints, which fit a pointer's place; no function has more than these.
 * What a call has fewer is passed on as it lies there, and not looked at. */
#define WORDS \
  void *a, void *b, void *c, void *d, void *e, void *f, void *g, void *h, void *i, void *j, void *k, void *l, void *m, void *n, void *o, \
      void *p
#define FORWARD(name)                                            \
  static void (*target_##name)(WORDS);                           \
  __attribute__((visibility("default"))) void name(WORDS) {      \
    mlxffi_blas_begin();                                         \
    target_##name(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p); \
    mlxffi_blas_end();                                           \
  }

FUNCTIONS(FORWARD)

static void (*target_cblas_dgemm)(
    int order, int trans_a, int trans_b, int m, int n, int k, double alpha, const double *a, int lda, const double *b, int ldb, double beta,
    double *c, int ldc);

__attribute__((visibility("default"))) void cblas_dgemm(
    int order, int trans_a, int trans_b, int m, int n, int k, double alpha, const double *a, int lda, const double *b, int ldb, double beta,
    double *c, int ldc) {
  mlxffi_blas_begin();
  target_cblas_dgemm(order, trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  mlxffi_blas_end();
}

/* --- targets ------------------------------------------------------------ */

static const struct {
  const char *name;
  void **target;
} functions[] = {
#define ROW(name) {#name, (void **)&target_##name},
    FUNCTIONS(ROW)
#undef ROW
    {"cblas_dgemm", (void **)&target_cblas_dgemm},
    {"cblas_sgemm", (void **)&mlxffi_target_sgemm},
};

static void unavailable(void) {
  fputs("mlxffi: there is no BLAS: install scipy-openblas32, or load libmlx before this call\n", stderr);
  abort();
}

static bool reference(void) {
  const char *choice = getenv("MLXFFI_BLAS");
  return choice && !strcmp(choice, "reference");
}

/* Where OpenBLAS lies, if somebody has told: the dynamic linker looks for it by itself only in some places. */
static char *told_path;

__attribute__((visibility("default"))) void mlxffi_blas_use(const char *path) {
  free(told_path);
  told_path = strdup(path);
}

static void *load_openblas(void) {
  void *openblas = dlopen(told_path ? told_path : "libscipy_openblas.so", RTLD_NOW);
  if (told_path && !openblas) {
    fprintf(
        stderr,
        "mlxffi: matrix products on the CPU run on MLX's reference BLAS, some 30 times slower: OpenBLAS cannot be loaded (%s); "
        "pip install --force-reinstall scipy-openblas32 (MLXFFI_BLAS=reference silences this)\n",
        dlerror());
  }
  return openblas;
}

static void use(void *openblas) {
  mlxffi_openblas_get_threads = (int (*)(void))dlsym(openblas, "scipy_openblas_get_num_threads");
  mlxffi_openblas_set_threads = (void (*)(int))dlsym(openblas, "scipy_openblas_set_num_threads");
  counter = &mlxffi_blas_calls;
}

static void connect(void) {
  void *openblas = reference() ? NULL : load_openblas();
  void *blas = openblas ? openblas : dlopen("libmlx.so", RTLD_NOW | RTLD_NOLOAD);
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    char name[64];
    snprintf(name, sizeof name, "%s%s", openblas ? "scipy_" : "", functions[i].name);
    void *found = blas ? dlsym(blas, name) : NULL;
    *functions[i].target = found ? found : (void *)unavailable;
  }
  if (openblas) {
    use(openblas);
  }
}

/* --- the end ------------------------------------------------------------ */

static void finish(void) {
  __atomic_store_n(&ending, true, __ATOMIC_SEQ_CST);
  while (__atomic_load_n(&in_openblas, __ATOMIC_SEQ_CST)) {
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  }
}

/* A forked child has none of the threads that were in there. */
static void forget_calls(void) {
  in_openblas = 0;
}

/* While the library is loaded, not with the first call: that may come when the process exits. */
__attribute__((constructor)) static void prepare(void) {
  if (!reference()) {
    pthread_atfork(NULL, NULL, forget_calls);
    atexit(finish);
  }
}
