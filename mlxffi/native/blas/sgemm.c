/* Single-precision matrix products, spread over the threads of libmlxc instead of OpenBLAS's.
 *
 * OpenBLAS's threads wait for each other, and for the next product, in loops that keep their cores: with anything else
 * on the machine a product takes ten times as long, and what MLX does between two products shares its core with a
 * waiting thread. Here a product is cut into parts that need nothing of each other; each is OpenBLAS's on one thread.
 */
#include "sgemm.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "openblas.h"

enum { row_major = 101, not_transposed = 111 };

/* Multiplications up to which OpenBLAS itself keeps to one thread, and those that make a part worth a thread. */
static const double alone = 262144, part_of_work = 8e6;
/* Parts end at whole vectors, and at whole tiles of OpenBLAS's kernels. */
static const int granule = 64;

static mlxffi_blas_spread spread;
static int (*thread_count)(void);

void mlxffi_blas_use_threads(mlxffi_blas_spread run, int (*count)(void)) {
  thread_count = count;
  spread = run;
}

/* ---- OpenBLAS on one thread while a product runs ----------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int running, usual_threads;

/* Returns whether OpenBLAS may use several threads outside. */
static bool enter(void) {
  pthread_mutex_lock(&lock);
  if (running++ == 0) {
    usual_threads = mlxffi_openblas_get_threads();
    if (usual_threads > 1) {
      mlxffi_openblas_set_threads(1);
    }
  }
  bool several = usual_threads > 1;
  pthread_mutex_unlock(&lock);
  return several;
}

static void leave(void) {
  pthread_mutex_lock(&lock);
  if (--running == 0 && usual_threads > 1) {
    mlxffi_openblas_set_threads(usual_threads);
  }
  pthread_mutex_unlock(&lock);
}

/* ---- parts ------------------------------------------------------------- */

typedef struct {
  int order, trans_a, trans_b, m, n, k;
  float alpha;
  const float *a;
  int lda;
  const float *b;
  int ldb;
  float beta;
  float *c;
  int ldc;
  /* Cut along the rows of the result, else along its columns; into parts of so many. */
  bool by_rows;
  int step;
} product;

static void whole(const product *p) {
  mlxffi_target_sgemm(
      p->order, p->trans_a, p->trans_b, p->m, p->n, p->k, p->alpha, p->a, p->lda, p->b, p->ldb, p->beta, p->c, p->ldc);
}

/* Elements from the start of an operand, or the result, to what belongs to row or column `index` of the result. */
static ptrdiff_t offset(int index, int stride, bool along_stride) {
  return along_stride ? (ptrdiff_t)index * stride : index;
}

static void one_part(long index, void *payload) {
  product p = *(const product *)payload;
  int begin = (int)index * p.step;
  bool rows_first = p.order == row_major;
  if (p.by_rows) {
    p.a += offset(begin, p.lda, rows_first == (p.trans_a == not_transposed));
    p.m = p.m - begin < p.step ? p.m - begin : p.step;
  } else {
    p.b += offset(begin, p.ldb, rows_first != (p.trans_b == not_transposed));
    p.n = p.n - begin < p.step ? p.n - begin : p.step;
  }
  p.c += offset(begin, p.ldc, rows_first == p.by_rows);
  whole(&p);
}

/* The shorter operand is packed once for each part, so the longer side is cut. */
static int cut(product *p, double work) {
  p->by_rows = p->m > p->n;
  int length = p->by_rows ? p->m : p->n, threads = thread_count();
  double wanted = work / part_of_work;
  int most = wanted > 2.0 * threads ? 2 * threads : (int)wanted < threads ? (int)wanted : threads;
  if (most < 2 || length < 2 * granule) {
    return 1;
  }
  p->step = ((length + most - 1) / most + granule - 1) / granule * granule;
  return (length + p->step - 1) / p->step;
}

static void multiply(product *p) {
  double work = (double)p->m * p->n * p->k;
  if (!spread || !mlxffi_openblas_set_threads || work <= alone) {
    whole(p);
    return;
  }
  int parts = enter() ? cut(p, work) : 1;
  if (parts > 1) {
    spread(parts, one_part, p);
  } else {
    whole(p);
  }
  leave();
}

__attribute__((visibility("default"))) void cblas_sgemm(
    int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb, float beta,
    float *c, int ldc) {
  product p = {order, trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, false, 0};
  mlxffi_blas_begin();
  multiply(&p);
  mlxffi_blas_end();
}
