/* The fused layers of mlxffi/fused.h: values, gradients, threads and what is refused. */
#include "check.h"
#include "mlxffi/mlxffi.h"

static const mlx_array none = {0};
static const mlx_optional_float ten = {10, true}, no_base = {0, false};

/* ---- values ------------------------------------------------------------ */

static void test_rms_norm(void) {
  mlx_array x = floats("3 4; 0 0"), w = floats("2 0.5"), res = mlx_array_new();
  RESULT(mlxffi_rms_norm(&res, x, none, 0, cpu), res, "0.84852815 1.1313709; nan nan");
  RESULT(mlxffi_rms_norm(&res, x, w, 1e-6f, cpu), res, "1.6970562 0.56568538; 0 0");
  RESULT(mlxffi_rms_norm(&res, x, w, 1e-6f, mlxffi_default_stream()), res, "1.6970562 0.56568538; 0 0");
  drop(x, w, res);
}

static void test_rope(void) {
  mlx_array x = floats("1 2 2: 1 0 1 0"), offset = ints(": 1"), freqs = floats("1"), res = mlx_array_new();
  RESULT(mlxffi_rope(&res, x, 2, false, ten, 1, offset, none, cpu), res, "1 2 2: 0.54030228 0.84147096 -0.41614684 0.90929741");
  RESULT(mlxffi_rope(&res, x, 2, true, no_base, 1, offset, freqs, cpu), res, "1 2 2: 0.54030228 0.84147096 -0.41614684 0.90929741");
  drop(x, offset, freqs, res);
}

static void test_attention(void) {
  mlx_array q = floats("1 1 2 1: 0 1"), k = floats("1 1 2 1: 0 0.69314718"), v = floats("1 1 2 1: 3 6"), res = mlx_array_new();
  mlx_array mask = floats("0 -inf; -inf 0");
  RESULT(mlxffi_attention(&res, q, k, v, 1, false, none, cpu), res, "1 1 2 1: 4.5 5");
  RESULT(mlxffi_attention(&res, q, k, v, 1, true, none, cpu), res, "1 1 2 1: 3 5");
  RESULT(mlxffi_attention(&res, q, k, v, 1, false, mask, cpu), res, "1 1 2 1: 3 6");
  drop(q, k, v, mask, res);
}

static void test_gated_units(void) {
  mlx_array gate = floats("0 1 -2"), up = floats("1 2 3"), res = mlx_array_new();
  RESULT(mlxffi_swiglu(&res, gate, up, cpu), res, "0 1.4621172 -0.71521758");
  RESULT(mlxffi_geglu(&res, gate, up, cpu), res, "0 1.6823840 -0.13620657");
  mlx_array both = floats("0 1 -2 1 2 3");
  RESULT(mlxffi_swiglu(&res, both, none, cpu), res, "0 1.4621172 -0.71521758");
  RESULT(mlxffi_geglu(&res, both, none, cpu), res, "0 1.6823840 -0.13620657");
  FAILS(mlxffi_swiglu(&res, gate, none, cpu));
  CHECK_HAS("`gate`: expected an even number of features", last_error);
  drop(both);
  drop(gate, up, res);
}

static void test_heads(void) {
  mlx_array x = floats("1 2 3 4 5 6"), cosines = floats("1 1: 0"), sines = floats("1 2 1: -1 1"), norm = floats("1 1");
  mlx_vector_array res = mlx_vector_array_new();
  OK(mlxffi_heads(&res, x, cosines, sines, none, none, 1, 1, 0, cpu));
  CHECK_INT(3, mlx_vector_array_size(res));
  IS_AT(res, 0, "1 2: -2 1");
  IS_AT(res, 1, "1 2: -4 3");
  IS_AT(res, 2, "1 2: 5 6");
  FAILS(mlxffi_heads(&res, x, cosines, sines, norm, none, 1, 1, 0, cpu));
  CHECK_HAS("`key_norm`: expected a norm of keys", last_error);
  OK(mlxffi_heads(&res, x, cosines, sines, none, none, 3, 0, 0, cpu));
  CHECK_INT(1, mlx_vector_array_size(res));
  IS_AT(res, 0, "3 2: -2 1 -4 3 -6 5");
  FAILS(mlxffi_heads(&res, x, cosines, sines, none, none, 2, 1, 0, cpu));
  CHECK_HAS("`x`: expected features of 4 heads", last_error);
  drop(x, cosines, sines, norm);
  drop_vector(res);
}

static void test_paced(void) {
  mlx_vector_array given = take(2, floats("1 2"), ints("3")), res = mlx_vector_array_new();
  OK(mlxffi_paced(&res, given, 2, cpu));
  CHECK_INT(2, mlx_vector_array_size(res));
  IS_AT(res, 0, "2: 1 2");
  IS_AT(res, 1, "1: 3");
  FAILS(mlxffi_paced(&res, given, 0, cpu));
  CHECK_HAS("`ahead`: expected at least 1", last_error);
  mlx_vector_array nothing = mlx_vector_array_new();
  FAILS(mlxffi_paced(&res, nothing, 1, cpu));
  CHECK_HAS("`arrays`: expected at least one", last_error);
  drop_vector(given, res, nothing);
}

/* Of w = 2, g = 4 / 2, m = 1 and v = 5: m = 1 / 2 + 2 / 2, v = 5 / 2 + 4 / 2, w = 2 / 2 - m / (2 sqrt(4.5) + 0); and of 0. */
static void test_adam(void) {
  mlx_vector_array w = take(2, floats("2"), floats("0")), g = take(2, floats("4"), floats("0")), m = take(2, floats("1"), floats("0"));
  mlx_vector_array v = take(2, floats("5"), floats("4")), few = take(1, floats("4")), res = mlx_vector_array_new();
  mlx_array step = floats("1 0.5 1 0.5 0.5 0.5 0.5 0.5 2 0"), none_of_it = floats("0 0.5 1 0.5 0.5 0.5 0.5 0.5 2 0"), short_one = floats("1 2");
  OK(mlxffi_adam(&res, w, g, m, v, step, cpu));
  CHECK_INT(6, mlx_vector_array_size(res));
  IS_AT(res, 0, "1: 0.64644661");
  IS_AT(res, 1, "1: 0");
  IS_AT(res, 2, "1: 1.5");
  IS_AT(res, 4, "1: 4.5");
  IS_AT(res, 5, "1: 2");
  OK(mlxffi_adam(&res, w, g, m, v, none_of_it, cpu));
  IS_AT(res, 0, "1: 2");
  FAILS(mlxffi_adam(&res, w, few, m, v, step, cpu));
  CHECK_HAS("`gradients`: expected 2, as there are parameters", last_error);
  FAILS(mlxffi_adam(&res, w, g, m, v, short_one, cpu));
  CHECK_HAS("`numbers`: expected floating point [10]", last_error);
  drop(step, none_of_it, short_one);
  drop_vector(w, g, m, v, few, res);
}

static void test_sum_of_squares(void) {
  mlx_vector_array given = take(2, floats("1 2; 3 4"), floats("5")), whole = take(1, ints("1 2"));
  mlx_array res = mlx_array_new();
  RESULT(mlxffi_sum_of_squares(&res, given, cpu), res, "55");
  FAILS(mlxffi_sum_of_squares(&res, whole, cpu));
  CHECK_HAS("`arrays[0]`: expected floating point", last_error);
  drop(res);
  drop_vector(given, whole);
}

static void test_lora_linear(void) {
  mlx_array x = floats("1 2"), weight = floats("1 0; 0 1; 1 1"), a = floats("2 1: 1 1"), b = floats("1 3: 1 0 -1");
  mlx_array rows = mlx_array_new(), res = mlx_array_new();
  int shape[] = {1, 2};
  OK(mlx_reshape(&rows, x, shape, 2, cpu));
  RESULT(mlxffi_lora_linear(&res, rows, weight, a, b, 2, cpu), res, "1 3: 7 2 -3");
  drop(x, rows, weight, a, b, res);
}

/* With weights of 0 a block leaves x as it is, and keys and values of 0 where x stands. */
static void test_decoder_block(void) {
  mlx_array zeros = floats("2 2: 0 0 0 0"), ones = floats("2: 1 1"), x = floats("1 1 2: 3 4"), kept = floats("1 1 2 2: 5 6 7 8");
  mlxffi_linear layer;
  mlxffi_block block;
  memset(&layer, 0, sizeof layer);
  memset(&block, 0, sizeof block);
  layer.weight = zeros;
  block.attention_norm = block.mlp_norm = ones;
  block.query = block.key = block.value = block.output = block.gate = block.up = block.down = layer;
  block.heads = block.key_heads = 1;
  block.eps = 1e-5f;
  block.attention_scale = block.rope_scale = 1;
  block.rope_base = 10000;
  mlx_vector_array res = mlx_vector_array_new();
  OK(mlxffi_decoder_block(&res, x, &block, kept, kept, 1, cpu));
  mlx_array y = at(res, 0), keys = at(res, 1), values = at(res, 2);
  IS(y, "1 1 2: 3 4");
  IS(keys, "1 1 2 2: 5 6 0 0");
  IS(values, "1 1 2 2: 5 6 0 0");
  FAILS(mlxffi_decoder_block(&res, x, NULL, kept, kept, 1, cpu));
  CHECK_HAS("`block`: expected a block", last_error);
  FAILS(mlxffi_decoder_block(&res, x, &block, kept, kept, 2, cpu));
  CHECK_HAS("`keys`: expected", last_error);
  mlx_array all[] = {zeros, ones, x, kept, y, keys, values};
  for (int i = 0; i < 7; i++) {
    drop(all[i]);
  }
  mlx_vector_array_free(res);
}

static void test_dtypes(void) {
  mlx_dtype dtypes[] = {MLX_FLOAT16, MLX_BFLOAT16, MLX_FLOAT64};
  mlx_array res = mlx_array_new();
  for (int i = 0; i < 3; i++) {
    mlx_array x = typed("1 2: 2 2", dtypes[i]);
    OK(mlxffi_rms_norm(&res, x, none, 0, cpu));
    CHECK_INT(dtypes[i], mlx_array_dtype(res));
    IS(res, "1 2: 1 1");
    OK(mlxffi_swiglu(&res, x, x, cpu));
    CHECK_INT(dtypes[i], mlx_array_dtype(res));
    drop(x);
  }
  drop(res);
}

/* ---- gradients --------------------------------------------------------- */

static int layers_of(mlx_vector_array *res, const mlx_vector_array in) {
  mlx_array x = at(in, 0), offset = mlx_array_new_int(0), h = mlx_array_new(), sum = mlx_array_new();
  int status = mlxffi_rms_norm(&h, x, none, 1e-6f, cpu);
  status |= mlxffi_rope(&h, h, 32, false, ten, 1, offset, none, cpu);
  status |= mlxffi_attention(&h, h, h, h, 0.25f, true, none, cpu);
  status |= mlxffi_geglu(&h, h, x, cpu);
  status |= mlxffi_swiglu(&h, h, x, cpu);
  status |= mlx_sum(&sum, h, false, cpu);
  mlx_vector_array_set_value(res, sum);
  drop(x, offset, h, sum);
  return status;
}

/* Enough rows and heads that all threads work on them; equal rows have equal gradients. */
static void test_gradients(void) {
  int shape[] = {3, 4, 150, 32}, first[] = {0};
  mlx_array x = mlx_array_new();
  OK(mlx_ones(&x, shape, 4, MLX_FLOAT32, cpu));
  mlx_closure fun = mlx_closure_new_func(layers_of);
  mlx_closure_value_and_grad grad = mlx_closure_value_and_grad_new();
  OK(mlx_value_and_grad(&grad, fun, first, 1));
  mlx_vector_array in = mlx_vector_array_new_value(x), value = mlx_vector_array_new(), gradients = mlx_vector_array_new();
  for (int i = 0; i < 5; i++) {
    OK(mlx_closure_value_and_grad_apply(&value, &gradients, grad, in));
    mlx_array gradient = at(gradients, 0), total = mlx_array_new();
    OK(mlx_sum(&total, gradient, false, cpu));
    OK(mlx_array_eval(total));
    float found = 0;
    OK(mlx_array_item_float32(&found, total));
    CHECK(isfinite(found));
    drop(gradient, total);
  }
  drop(x);
  drop_vector(in, value, gradients);
  OK(mlx_closure_value_and_grad_free(grad));
  OK(mlx_closure_free(fun));
}

static int lora_of(mlx_vector_array *res, const mlx_vector_array in) {
  mlx_array x = at(in, 0), weight = at(in, 1), a = at(in, 2), b = at(in, 3), y = mlx_array_new(), sum = mlx_array_new();
  int status = mlxffi_lora_linear(&y, x, weight, a, b, 2, cpu) | mlx_sum(&sum, y, false, cpu);
  mlx_vector_array_set_value(res, sum);
  mlx_array all[] = {x, weight, a, b, y, sum};
  for (int i = 0; i < 6; i++) {
    drop(all[i]);
  }
  return status;
}

static void test_lora_gradients(void) {
  mlx_closure fun = mlx_closure_new_func(lora_of);
  int places[] = {0, 2, 3};
  mlx_closure_value_and_grad grad = mlx_closure_value_and_grad_new();
  mlx_vector_array in = take(4, floats("1 2: 1 2"), floats("3 2: 1 0 0 1 1 1"), floats("2 1: 1 1"), floats("1 3: 1 0 -2"));
  mlx_vector_array value = mlx_vector_array_new(), gradients = mlx_vector_array_new();
  OK(mlx_value_and_grad(&grad, fun, places, 3));
  OK(mlx_closure_value_and_grad_apply(&value, &gradients, grad, in));
  IS_AT(value, 0, ": 0");
  IS_AT(gradients, 0, "1 2: 0 0");
  IS_AT(gradients, 1, "2 1: -2 -4");
  IS_AT(gradients, 2, "1 3: 6 6 6");
  drop_vector(in, value, gradients);
  OK(mlx_closure_value_and_grad_free(grad));
  OK(mlx_closure_free(fun));
}

/* ---- what is refused --------------------------------------------------- */

static void test_refused(void) {
  mlx_array x = floats("1 2; 3 4"), one = floats("1"), i = ints("1 2"), heads = floats("1 1 1 1: 1"), res = mlx_array_new();
  FAILS(mlxffi_rms_norm(NULL, x, none, 0, cpu));
  FAILS(mlxffi_rms_norm(&res, none, none, 0, cpu));
  CHECK_HAS("`x`", last_error);
  FAILS(mlxffi_rms_norm(&res, x, one, 0, cpu));
  FAILS(mlxffi_rms_norm(&res, x, none, 0, (mlx_stream){0}));
  FAILS(mlxffi_rope(&res, x, 2, false, ten, 1, none, none, cpu));
  CHECK_HAS("`offset`", last_error);
  FAILS(mlxffi_rope(&res, heads, 1, false, no_base, 1, i, none, cpu));
  FAILS(mlxffi_attention(&res, x, x, x, 1, false, none, cpu));
  FAILS(mlxffi_attention(&res, heads, heads, heads, 1, true, x, cpu));
  CHECK_HAS("`mask`: expected no array beside causal", last_error);
  FAILS(mlxffi_swiglu(&res, x, one, cpu));
  CHECK_HAS("`up`: expected the shape and dtype of gate", last_error);
  FAILS(mlxffi_geglu(&res, i, i, cpu));
  CHECK_HAS("`gate`: expected floating point", last_error);
  FAILS(mlxffi_lora_linear(&res, x, x, one, x, 1, cpu));
  CHECK_HAS("`a`: expected", last_error);
  FAILS(mlxffi_lora_linear(&res, i, x, x, x, 1, cpu));
  CHECK_HAS("`x`: expected floating point", last_error);
  mlx_optional_int none_given = {0, false};
  FAILS(mlxffi_lora_quantized_linear(&res, x, x, x, none, one, x, 1, none_given, none_given, "affine", cpu));
  CHECK_HAS("`a`: expected", last_error);
  CHECK(res.ctx == NULL);
  drop(x, one, i, heads);
}

int main(void) {
  begin();
  GROUP("values", test_rms_norm, test_rope, test_attention, test_gated_units, test_heads, test_paced, test_adam, test_sum_of_squares, test_lora_linear,
        test_decoder_block, test_dtypes);
  GROUP("gradients", test_gradients, test_lora_gradients);
  GROUP("refused", test_refused);
  return end();
}
