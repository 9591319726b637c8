/* What a call of the bridge goes to: OpenBLAS, or the BLAS that libmlx brings. */
#ifndef MLXFFI_BLAS_OPENBLAS_H
#define MLXFFI_BLAS_OPENBLAS_H

#pragma GCC visibility push(hidden)

typedef void (*mlxffi_sgemm)(
    int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb, float beta,
    float *c, int ldc);

extern mlxffi_sgemm mlxffi_target_sgemm;
/* NULL where the calls do not go to OpenBLAS. */
extern int (*mlxffi_openblas_get_threads)(void);
extern void (*mlxffi_openblas_set_threads)(int count);

/* Around each call. Once the process exits, none begins. */
void mlxffi_blas_begin(void);
void mlxffi_blas_end(void);

#pragma GCC visibility pop

#endif
