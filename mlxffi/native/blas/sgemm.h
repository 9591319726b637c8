/* What libmlxc tells the bridge: how to spread work over threads. */
#ifndef MLXFFI_BLAS_SGEMM_H
#define MLXFFI_BLAS_SGEMM_H

/* Calls part(index, payload) for each index from 0 to count - 1, on several threads, and returns when all are done. */
typedef void (*mlxffi_blas_spread)(long count, void (*part)(long index, void *payload), void *payload);

/* From now on products use `run`, in parts for as many threads as `count` says. Without, OpenBLAS's own threads take them. */
void mlxffi_blas_use_threads(mlxffi_blas_spread run, int (*count)(void));

#endif
