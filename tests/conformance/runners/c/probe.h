/* Callbacks that count their runs, and fail when they are told to. */
#ifndef PROBE_H
#define PROBE_H

#include "mlx/c/mlx.h"

typedef struct probe {
  int (*body)(struct probe *, mlx_vector_array *, const mlx_vector_array);
  int fail_at; /* the run that fails, from 1; 0 is none, -1 is every one */
  mlx_array array;   /* what the body captures, or keeps */
  mlx_closure inner; /* what it applies */
  int calls, freed;
} probe;

/* A closure that runs a probe, which must outlive it. */
mlx_closure probe_closure(probe *p);

/* The gradient of a probe's function; the closure is freed. */
mlx_closure_value_and_grad probe_gradient(probe *p, const int *argnums, size_t count);

/* Bodies: the square of the first input, its product with the second, or with what is captured. */
int square(probe *p, mlx_vector_array *res, const mlx_vector_array inputs);
int product(probe *p, mlx_vector_array *res, const mlx_vector_array inputs);
int scaled(probe *p, mlx_vector_array *res, const mlx_vector_array inputs);

/* The inputs as they are; the first of them is kept. */
int keeping(probe *p, mlx_vector_array *res, const mlx_vector_array inputs);

/* What `inner` gives; its vjp along ones; nothing; a list of nothing. */
int applied(probe *p, mlx_vector_array *res, const mlx_vector_array inputs);
int differentiated(probe *p, mlx_vector_array *res, const mlx_vector_array inputs);
int nothing(probe *p, mlx_vector_array *res, const mlx_vector_array inputs);
int empty(probe *p, mlx_vector_array *res, const mlx_vector_array inputs);

/* The calls of one function on 3, as text that a failed probe leaves. */
#define PROBE_TEXT "the probe failed as it was told"

#endif
