/* The fused losses of mlxffi/losses.h: values, gradients, options and what is refused. */
#include "check.h"
#include "mlxffi/mlxffi.h"

static const mlx_array none = {0};
static const mlx_optional_int no_index = {0, false};

/* ---- cross-entropy ----------------------------------------------------- */

static void test_cross_entropy(void) {
  mlx_array x = floats("1 2 3; 0 0 0"), t = ints("2 1"), w = floats("2 0.5"), res = mlx_array_new();
  mlx_optional_int ignored = {1, true};
  RESULT(mlxffi_cross_entropy(&res, x, t, none, no_index, 0, MLXFFI_REDUCTION_NONE, cpu), res, "0.40760596 1.0986123");
  RESULT(mlxffi_cross_entropy(&res, x, t, none, no_index, 0, MLXFFI_REDUCTION_SUM, cpu), res, ": 1.5062183");
  RESULT(mlxffi_cross_entropy(&res, x, t, none, no_index, 0, MLXFFI_REDUCTION_MEAN, cpu), res, ": 0.75310913");
  RESULT(mlxffi_cross_entropy(&res, x, t, w, no_index, 0, MLXFFI_REDUCTION_NONE, cpu), res, "0.81521192 0.54930615");
  RESULT(mlxffi_cross_entropy(&res, x, t, w, no_index, 0, MLXFFI_REDUCTION_MEAN, cpu), res, ": 0.54580723");
  RESULT(mlxffi_cross_entropy(&res, x, t, none, ignored, 0, MLXFFI_REDUCTION_MEAN, cpu), res, ": 0.40760596");
  RESULT(mlxffi_cross_entropy(&res, x, t, none, no_index, 0.5, MLXFFI_REDUCTION_NONE, cpu), res, "0.90760596 1.0986123");
  RESULT(mlxffi_cross_entropy(&res, x, t, none, no_index, 0, MLXFFI_REDUCTION_SUM, mlxffi_default_stream()), res, ": 1.5062183");
  drop(x, t, w, res);
}

static void test_cross_entropy_dtypes(void) {
  mlx_dtype dtypes[] = {MLX_FLOAT16, MLX_BFLOAT16, MLX_FLOAT64};
  mlx_array t = ints("2"), res = mlx_array_new();
  for (int i = 0; i < 3; i++) {
    mlx_array x = typed("1 3: 1 2 3", dtypes[i]);
    OK(mlxffi_cross_entropy(&res, x, t, none, no_index, 0, MLXFFI_REDUCTION_NONE, cpu));
    CHECK_INT(dtypes[i] == MLX_FLOAT64 ? MLX_FLOAT64 : MLX_FLOAT32, mlx_array_dtype(res));
    IS(res, "0.40760596");
    drop(x);
  }
  drop(t, res);
}

/* ---- divergences ------------------------------------------------------- */

static void test_divergences(void) {
  mlx_array q = floats("0 0; 1 2"), p = floats("0 1.0986123; 1 2"), res = mlx_array_new();
  RESULT(mlxffi_kl_div_loss(&res, q, p, 1, false, MLXFFI_REDUCTION_NONE, cpu), res, "0.13081203 0");
  RESULT(mlxffi_js_div_loss(&res, q, p, 1, false, MLXFFI_REDUCTION_NONE, cpu), res, "0.03382352 0");
  RESULT(mlxffi_kl_div_loss(&res, q, p, 1, false, MLXFFI_REDUCTION_SUM, cpu), res, ": 0.13081203");
  RESULT(mlxffi_js_div_loss(&res, q, p, 1, true, MLXFFI_REDUCTION_MEAN, cpu), res, ": 0.01691176");
  drop(q, p, res);
}

/* ---- gradients --------------------------------------------------------- */

static int kl_of(mlx_vector_array *res, const mlx_vector_array in) {
  mlx_array q = at(in, 0), p = at(in, 1), loss = mlx_array_new();
  int status = mlxffi_kl_div_loss(&loss, q, p, 1, true, MLXFFI_REDUCTION_SUM, cpu);
  mlx_vector_array_set_value(res, loss);
  drop(q, p, loss);
  return status;
}

static void test_gradients(void) {
  mlx_closure fun = mlx_closure_new_func(kl_of);
  int both[] = {0, 1};
  mlx_closure_value_and_grad grad = mlx_closure_value_and_grad_new();
  mlx_vector_array in = take(2, floats("0 0; 1 2"), floats("0 1.0986123; 1 2"));
  mlx_vector_array value = mlx_vector_array_new(), gradients = mlx_vector_array_new();
  OK(mlx_value_and_grad(&grad, fun, both, 2));
  OK(mlx_closure_value_and_grad_apply(&value, &gradients, grad, in));
  IS_AT(value, 0, ": 0.13081203");
  IS_AT(gradients, 0, "0.25 -0.25; 0 0");
  IS_AT(gradients, 1, "-0.20598981 0.20598981; 0 0");
  drop_vector(in, value, gradients);
  OK(mlx_closure_value_and_grad_free(grad));
  OK(mlx_closure_free(fun));
}

/* Enough rows that all threads work on them. */
static void test_many_rows(void) {
  int shape[] = {300, 1000};
  mlx_array x = mlx_array_new(), t = mlx_array_new(), res = mlx_array_new();
  OK(mlx_zeros(&x, shape, 2, MLX_FLOAT32, cpu));
  OK(mlx_zeros(&t, shape, 1, MLX_INT32, cpu));
  for (int i = 0; i < 20; i++) {
    OK(mlxffi_cross_entropy(&res, x, t, none, no_index, 0.1, MLXFFI_REDUCTION_MEAN, cpu));
    IS(res, ": 6.9077553");
  }
  drop(x, t, res);
}

/* ---- what is refused --------------------------------------------------- */

static void test_refused(void) {
  mlx_array x = floats("1 2 3; 0 0 0"), t = ints("2 1"), one = ints(": 1"), res = mlx_array_new();
  FAILS(mlxffi_cross_entropy(NULL, x, t, none, no_index, 0, MLXFFI_REDUCTION_NONE, cpu));
  FAILS(mlxffi_cross_entropy(&res, none, t, none, no_index, 0, MLXFFI_REDUCTION_NONE, cpu));
  CHECK_HAS("`logits`", last_error);
  FAILS(mlxffi_cross_entropy(&res, t, t, none, no_index, 0, MLXFFI_REDUCTION_NONE, cpu));
  CHECK_HAS("`logits`: expected floating point", last_error);
  FAILS(mlxffi_cross_entropy(&res, x, x, none, no_index, 0, MLXFFI_REDUCTION_NONE, cpu));
  CHECK_HAS("`targets`: expected integers", last_error);
  FAILS(mlxffi_cross_entropy(&res, x, one, none, no_index, 0, MLXFFI_REDUCTION_NONE, cpu));
  CHECK_HAS("`targets`: expected the shape of logits without its last axis", last_error);
  FAILS(mlxffi_cross_entropy(&res, x, t, one, no_index, 0, MLXFFI_REDUCTION_NONE, cpu));
  CHECK_HAS("`weights`: expected the shape of targets", last_error);
  FAILS(mlxffi_cross_entropy(&res, x, t, none, no_index, 2, MLXFFI_REDUCTION_NONE, cpu));
  CHECK_HAS("`label_smoothing`: expected a number from 0 to 1, got 2", last_error);
  FAILS(mlxffi_cross_entropy(&res, x, t, none, no_index, NAN, MLXFFI_REDUCTION_NONE, cpu));
  FAILS(mlxffi_cross_entropy(&res, x, t, none, no_index, 0, (mlxffi_reduction)7, cpu));
  CHECK_HAS("`reduction`: expected an mlxffi_reduction from 0 to 2, got 7", last_error);
  FAILS(mlxffi_kl_div_loss(&res, x, one, 1, false, MLXFFI_REDUCTION_NONE, cpu));
  CHECK_HAS("`logits_p`: expected the shape and dtype of logits_q", last_error);
  FAILS(mlxffi_js_div_loss(&res, x, x, 0, false, MLXFFI_REDUCTION_NONE, cpu));
  CHECK_HAS("`temperature`: expected a finite number above 0, got 0", last_error);
  FAILS(mlxffi_js_div_loss(&res, x, x, INFINITY, false, MLXFFI_REDUCTION_NONE, cpu));
  FAILS(mlxffi_js_div_loss(&res, x, x, 1, false, MLXFFI_REDUCTION_NONE, (mlx_stream){0}));
  CHECK(res.ctx == NULL);
  drop(x, t, one);
}

int main(void) {
  begin();
  GROUP("cross-entropy", test_cross_entropy, test_cross_entropy_dtypes);
  GROUP("divergences", test_divergences);
  GROUP("gradients", test_gradients, test_many_rows);
  GROUP("refused", test_refused);
  return end();
}
