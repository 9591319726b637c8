/* What docs/ownership.md and docs/porting.md say and no other program shows. */
#include <pthread.h>

#include "check.h"
#include "mlxffi/mlxffi.h"

static void test_data_is_copied(void) {
  float data[2] = {1, 2};
  const int shape[1] = {2};
  mlx_array a = mlx_array_new_data(data, shape, 1, MLX_FLOAT32);
  data[0] = data[1] = 0;
  IS(a, "1 2");
  drop(a);
}

static void count_call(void *calls) {
  ++*(int *)calls;
}

/* The buffer was handed over, whatever becomes of the call. */
static void test_data_of_a_failing_call(void) {
  float data[2] = {1, 2};
  const int shape[1] = {-2};
  int calls = 0;
  REJECTS(mlx_array_new_data_managed_payload(data, shape, 1, MLX_FLOAT32, &calls, count_call).ctx == NULL);
  CHECK_INT(1, calls);
}

/* The elements of a transposed array lie by its strides; those of a contiguous one in its order. */
static void test_strided_data(void) {
  mlx_array a = floats("1 2 3; 4 5 6"), b = mlx_array_new();
  OK(mlx_transpose(&b, a, cpu));
  OK(mlx_array_eval(b));
  CHECK_INT(1, mlx_array_strides(b)[0]);
  CHECK_INT(3, mlx_array_strides(b)[1]);
  CHECK_CLOSE(2, mlx_array_data_float32(b)[1], 0);
  OK(mlx_contiguous(&b, b, false, cpu));
  OK(mlx_array_eval(b));
  CHECK_CLOSE(4, mlx_array_data_float32(b)[1], 0);
  drop(a, b);
}

static void test_scalars_promote(void) {
  mlx_array a = typed("1 2", MLX_BFLOAT16), two = mlx_array_new_float32(2), res = mlx_array_new();
  OK(mlx_multiply(&res, a, two, cpu));
  CHECK_INT(MLX_FLOAT32, mlx_array_dtype(res));
  OK(mlx_astype(&two, two, mlx_array_dtype(a), cpu));
  OK(mlx_multiply(&res, a, two, cpu));
  CHECK_INT(MLX_BFLOAT16, mlx_array_dtype(res));
  drop(a, two, res);
}

/* What is evaluated together with an array that there is no memory for is computed then, or later. */
static void test_beside(mlx_array impossible) {
  for (int first = 0; first < 2; first++) {
    mlx_array a = floats("1 2"), sum = mlx_array_new(), after = mlx_array_new();
    OK(mlx_add(&sum, a, a, cpu));
    OK(mlx_add(&after, sum, a, cpu));
    mlx_vector_array both = mlx_vector_array_new_value(first ? impossible : after);
    OK(mlx_vector_array_append_value(both, first ? after : impossible));
    FAILS(mlx_eval(both));
    FAILS(mlx_async_eval(both));
    IS(sum, "2 4");
    IS(after, "3 6");
    drop(a, sum, after);
    drop_vector(both);
  }
}

/* More memory than there are addresses: an error where the array is computed, or made from more elements than can be
 * counted. The library goes on working. */
static void test_impossible_allocation(void) {
  const int many[3] = {1 << 16, 1 << 16, 1 << 16}, too_many[3] = {1 << 20, 1 << 20, 1 << 20};
  mlx_array one = mlx_array_new_float32(1), res = mlx_array_new(), dense = mlx_array_new();
  OK(mlx_zeros(&res, many, 3, MLX_FLOAT32, cpu));
  OK(mlx_add(&dense, res, one, cpu));
  for (int i = 0; i < 2; i++) {
    FAILS(mlx_array_eval(dense));
    CHECK_HAS("no memory for an array of 1125899906842624 bytes", last_error);
    CHECK_INT(MLXFFI_ERROR_BAD_ALLOC, mlxffi_last_error_kind());
  }
  test_beside(dense);
  FAILS(mlx_zeros(&res, too_many, 3, MLX_FLOAT32, cpu));
  CHECK_HAS("`shape`", last_error);
  OK(mlx_add(&res, one, one, cpu));
  IS(res, ": 2");
  drop(one, res, dense);
}

/* ---- gradients of what is captured ------------------------------------ */

/* sum(x * captured) */
static int times_captured(mlx_vector_array *res, const mlx_vector_array in, void *captured) {
  mlx_array x = at(in, 0);
  OK(mlx_multiply(&x, x, *(mlx_array *)captured, cpu));
  OK(mlx_sum(&x, x, false, cpu));
  OK(mlx_vector_array_set_value(res, x));
  drop(x);
  return 0;
}

static void free_captured(void *captured) {
  drop(*(mlx_array *)captured);
  free(captured);
}

/* times_captured(constant), where what it captures is the argument of this function: checkpointed, that is an error. */
static int of_captured(mlx_vector_array *res, const mlx_vector_array in, void *checkpointed) {
  mlx_array *w = (mlx_array *)malloc(sizeof *w);
  *w = at(in, 0);
  mlx_closure fun = mlx_closure_new_func_payload(times_captured, w, free_captured);
  mlx_vector_array constant = take(1, floats("3 4"));
  if (*(bool *)checkpointed) {
    OK(mlx_checkpoint(&fun, fun));
  }
  int status = mlx_closure_apply(res, fun, constant);
  OK(mlx_closure_free(fun));
  drop_vector(constant);
  return status;
}

static void test_captured_by_checkpoint(void) {
  const int argnums[1] = {0};
  for (int i = 0; i < 2; i++) {
    bool checkpointed = i == 1;
    mlx_closure fun = mlx_closure_new_func_payload(of_captured, &checkpointed, NULL);
    mlx_closure_value_and_grad gradient = {NULL};
    mlx_vector_array in = take(1, floats("1 2")), values = {NULL}, grads = {NULL};
    OK(mlx_value_and_grad(&gradient, fun, argnums, 1));
    if (checkpointed) {
      FAILS(mlx_closure_value_and_grad_apply(&values, &grads, gradient, in));
      CHECK_HAS("captures arrays that are being differentiated (float32 (2))", last_error);
    } else {
      OK(mlx_closure_value_and_grad_apply(&values, &grads, gradient, in));
      IS_AT(values, 0, ": 11");
      IS_AT(grads, 0, "3 4");
    }
    OK(mlx_closure_free(fun));
    OK(mlx_closure_value_and_grad_free(gradient));
    drop_vector(in, values, grads);
  }
}

/* ---- streams ---------------------------------------------------------- */

static void *add_on_own_stream(void *arg) {
  mlx_stream here = mlxffi_default_stream();
  mlx_array one = mlx_array_new_float32(1), sum = mlx_array_new();
  float value = 0;
  OK(mlx_add(&sum, one, one, here));
  OK(mlx_array_item_float32(&value, sum));
  *(float *)arg += value;
  drop(one, sum);
  OK(mlx_stream_free(here));
  return NULL;
}

static void test_default_stream_handle(void) {
  pthread_t id;
  float total = 0;
  add_on_own_stream(&total);
  CHECK_INT(0, pthread_create(&id, NULL, add_on_own_stream, &total));
  CHECK_INT(0, pthread_join(id, NULL));
  CHECK_CLOSE(4, total, 0);
}

static bool is_there(mlx_stream wanted) {
  mlx_stream all[64] = {{NULL}};
  size_t count = 0;
  bool found = false;
  OK(mlxffi_get_streams(all, 64, &count));
  for (size_t i = 0; i < count && i < 64; i++) {
    found = found || mlx_stream_equal(all[i], wanted);
    OK(mlx_stream_free(all[i]));
  }
  return found;
}

static void test_get_streams(void) {
  size_t before = 0, after = 0;
  mlx_stream one[1] = {{NULL}};
  mlx_device dev = mlx_device_new_type(MLX_CPU, 0);
  CHECK(is_there(cpu));
  OK(mlxffi_get_streams(NULL, 0, &before));
  mlx_stream own = mlx_stream_new_device(dev);
  OK(mlxffi_get_streams(one, 1, &after));
  CHECK_INT(before + 1, after);
  CHECK(one[0].ctx != NULL && is_there(own));
  FAILS(mlxffi_get_streams(NULL, 1, &after));
  CHECK_HAS("`streams`", last_error);
  FAILS(mlxffi_get_streams(one, 1, NULL));
  FREE(mlx_stream, one[0], own);
  OK(mlx_device_free(dev));
}

int main(void) {
  begin();
  GROUP("data", test_data_is_copied, test_data_of_a_failing_call, test_strided_data);
  GROUP("scalars", test_scalars_promote);
  GROUP("memory", test_impossible_allocation);
  GROUP("captured arrays", test_captured_by_checkpoint);
  GROUP("streams", test_default_stream_handle, test_get_streams);
  return end();
}
