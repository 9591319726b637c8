#include "trampolines.h"

#include <stdbool.h>

#include "_cgo_export.h"

static _Thread_local uintptr_t failure;
static _Thread_local bool entered;

static int call(mlx_vector_array *res, const mlx_vector_array inputs, void *payload) {
  return goCall(res, inputs, (uintptr_t)payload);
}

static int call_custom(mlx_vector_array *res, const mlx_vector_array primals, const mlx_vector_array cotangents,
                       const mlx_vector_array outputs, void *payload) {
  return goCallCustom(res, primals, cotangents, outputs, (uintptr_t)payload);
}

static void drop(void *payload) {
  goDrop((uintptr_t)payload);
}

mlx_closure closure_of(uintptr_t key) {
  return mlx_closure_new_func_payload(call, (void *)key, drop);
}

mlx_closure_custom custom_of(uintptr_t key) {
  return mlx_closure_custom_new_func_payload(call_custom, (void *)key, drop);
}

void keep_errors(void) {
  mlx_set_error_handler(mlxffi_ignore_errors, NULL, NULL);
}

void enter(mlx_stream stream) {
  if (!entered) {
    entered = mlx_set_default_stream(stream) == 0;
  }
}

void keep_failure(uintptr_t key) {
  failure = key;
}

uintptr_t take_failure(void) {
  uintptr_t taken = failure;
  failure = 0;
  return taken;
}
