/* Functions of arrays: steps, and transforms of them, which are closures over the function below. */
#include "program.h"

#include <stdlib.h>
#include <string.h>

#include "errors.h"
#include "lists.h"

enum { MAX_NUMBERS = 16 };

/* ---- closures ---- */

static int call_function(mlx_vector_array *res, const mlx_vector_array inputs, void *payload) {
  return function_apply(payload, res, inputs);
}

/* A closure of the function below; the library frees the payload when the last user of the closure goes. */
static mlx_closure closure_below(const function *f) {
  function *below = malloc(sizeof *below);
  *below = (function){f->about, f->set, f->level - 1};
  return mlx_closure_new_func_payload(call_function, below, free);
}

/* ---- lists ---- */

static int joined(mlx_vector_array *res, const mlx_vector_array first, const mlx_vector_array second) {
  mlx_vector_array both = mlx_vector_array_new();
  int status = append_all(both, first) || append_all(both, second) || mlx_vector_array_set(res, both);
  mlx_vector_array_free(both);
  return status;
}

int named_tensors(mlx_vector_array *res, const tensors *set, const json *names) {
  int status = 0;
  mlx_vector_array all = mlx_vector_array_new();
  for (const json *name = names != NULL ? names->first : NULL; name != NULL && status == 0; name = name->next) {
    mlx_array one = tensors_get(set, name->text);
    status = one.ctx == NULL || mlx_vector_array_append_value(all, one);
    mlx_array_free(one);
  }
  status = status || mlx_vector_array_set(res, all);
  mlx_vector_array_free(all);
  return status;
}

static size_t ints_of(int *to, const json *list) {
  size_t count = 0;
  for (const json *each = list != NULL ? list->first : NULL; each != NULL && count < MAX_NUMBERS; each = each->next) {
    to[count++] = (int)each->number;
  }
  return count;
}

/* ---- steps ---- */

static int chosen(mlx_vector_array *res, const mlx_vector_array values, const json *places) {
  mlx_vector_array all = mlx_vector_array_new();
  int status = append_places(all, values, places) || mlx_vector_array_set(res, all);
  mlx_vector_array_free(all);
  return status;
}

static int run_steps(const function *f, mlx_vector_array *res, const mlx_vector_array inputs) {
  mlx_vector_array values = mlx_vector_array_new(), captured = {NULL};
  int status = append_all(values, inputs) || named_tensors(&captured, f->set, json_get(f->about, "captured")) ||
               append_all(values, captured);
  const json *steps = json_get(f->about, "steps");
  for (const json *step = steps->first; step != NULL && status == 0; step = step->next) {
    status = call_step(step, values);
  }
  status = status || chosen(res, values, json_get(f->about, "returns"));
  mlx_vector_array_free(values);
  mlx_vector_array_free(captured);
  return status;
}

/* ---- transforms ---- */

typedef int (*product)(mlx_vector_array *, mlx_vector_array *, const mlx_closure, const mlx_vector_array,
                       const mlx_vector_array);

/* vjp and jvp: the outputs, then the products. */
static int apply_product(product by, const char *key, const function *f, const json *transform, mlx_vector_array *res,
                         const mlx_vector_array inputs) {
  mlx_closure below = closure_below(f);
  mlx_vector_array with = {NULL}, outputs = {NULL}, products = {NULL};
  int status = named_tensors(&with, f->set, json_get(transform, key)) || by(&outputs, &products, below, inputs, with) ||
               joined(res, outputs, products);
  mlx_closure_free(below);
  mlx_vector_array_free(with);
  mlx_vector_array_free(outputs);
  mlx_vector_array_free(products);
  return status;
}

static int apply_gradient(bool values_too, const function *f, const json *transform, mlx_vector_array *res,
                          const mlx_vector_array inputs) {
  int argnums[MAX_NUMBERS];
  size_t count = ints_of(argnums, json_get(transform, "argnums"));
  mlx_closure below = closure_below(f);
  mlx_closure_value_and_grad gradient = {NULL};
  mlx_vector_array values = {NULL}, gradients = {NULL};
  int status = mlx_value_and_grad(&gradient, below, argnums, count);
  mlx_closure_free(below); /* the gradient has what it needs of it */
  status = status || mlx_closure_value_and_grad_apply(&values, &gradients, gradient, inputs) ||
           (values_too ? joined(res, values, gradients) : mlx_vector_array_set(res, gradients));
  mlx_closure_value_and_grad_free(gradient);
  mlx_vector_array_free(values);
  mlx_vector_array_free(gradients);
  return status;
}

typedef int (*vmap_function)(mlx_closure *, const mlx_closure, const int *, size_t, const int *, size_t);

static int make_vmap(mlx_closure *res, const mlx_closure below, const json *transform) {
  int in[MAX_NUMBERS], out[MAX_NUMBERS];
  size_t in_count = ints_of(in, json_get(transform, "in_axes"));
  size_t out_count = ints_of(out, json_get(transform, "out_axes"));
  vmap_function make = (vmap_function)find_function("mlx_vmap"); /* which mlx-c has not */
  return make == NULL || make(res, below, in, in_count, out, out_count);
}

/* Those that make a closure; a compiled one is called twice, for the second call is another path. */
static int apply_made(const char *kind, const function *f, const json *transform, mlx_vector_array *res,
                      const mlx_vector_array inputs) {
  mlx_closure below = closure_below(f), made = {NULL};
  bool compile = strcmp(kind, "compile") == 0, checkpoint = strcmp(kind, "checkpoint") == 0;
  int status = compile      ? mlx_compile(&made, below, json_get(transform, "shapeless")->number != 0)
               : checkpoint ? mlx_checkpoint(&made, below)
                            : make_vmap(&made, below, transform);
  mlx_closure_free(below);
  mlx_vector_array first = {NULL};
  status = status || (compile && mlx_closure_apply(&first, made, inputs)) || mlx_closure_apply(res, made, inputs);
  mlx_vector_array_free(first);
  mlx_closure_free(made);
  return status;
}

int function_apply(const function *f, mlx_vector_array *res, const mlx_vector_array inputs) {
  if (f->level == 0) {
    return run_steps(f, res, inputs);
  }
  const json *transform = json_at(json_get(f->about, "transforms"), f->level - 1);
  const char *kind = json_text(transform, "kind");
  if (strcmp(kind, "vjp") == 0) {
    return apply_product(mlx_vjp, "cotangents", f, transform, res, inputs);
  }
  if (strcmp(kind, "jvp") == 0) {
    return apply_product(mlx_jvp, "tangents", f, transform, res, inputs);
  }
  if (strcmp(kind, "value_and_grad") == 0 || strcmp(kind, "grad") == 0) {
    return apply_gradient(strcmp(kind, "grad") != 0, f, transform, res, inputs);
  }
  return apply_made(kind, f, transform, res, inputs);
}
