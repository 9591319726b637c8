/* Cases: a function of calls, what is made of it, and what is right. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include "json.h"
#include "tensors.h"

enum { MAX_MESSAGE = 512 };

/* A function of arrays: a case's steps under the first `level` of its transforms. */
typedef struct {
  const json *about; /* the case */
  const tensors *set;
  size_t level;
} function;

/* One call of a step over the values so far, to which it adds what the call gives. */
int call_step(const json *step, mlx_vector_array values);

/* The outputs of a function. */
int function_apply(const function *f, mlx_vector_array *res, const mlx_vector_array inputs);

/* The tensors of a list of names. */
int named_tensors(mlx_vector_array *res, const tensors *set, const json *names);

/* The outputs of a contract ("batch", "adapter"); 2 when the runner has none of that name. */
int contract_outputs(mlx_vector_array *res, const json *contract, const tensors *set);

/* Whether outputs are those of a list of `expected`; else `message` says what came and what is right. */
bool outputs_right(const mlx_vector_array got, const json *expected, const tensors *set, char *message);

#endif
