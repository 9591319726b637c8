/* The ops this library adds to the ABI for MLX 0.32.4. */
#include "check.h"

static void test_counts(void) {
  const int axes[2] = {0, 1};
  mlx_array x = floats("1 0 2; 0 0 nan"), res = mlx_array_new();
  RESULT(mlx_count_nonzero(&res, x, false, cpu), res, ": 3");
  RESULT(mlx_count_nonzero(&res, x, true, cpu), res, "1 1: 3");
  RESULT(mlx_count_nonzero_axis(&res, x, 1, false, cpu), res, "2: 2 1");
  RESULT(mlx_count_nonzero_axes(&res, x, axes, 2, false, cpu), res, ": 3");
  FAILS(mlx_count_nonzero_axis(&res, x, 2, false, cpu));
  drop(x);
}

static void test_scans_with_dtype(void) {
  mlx_optional_dtype wide = {MLX_FLOAT32, true}, same = {MLX_BOOL, false};
  mlx_array x = ints("1 2 3"), res = mlx_array_new();
  OK(mlx_cumsum_dtype(&res, x, 0, false, true, wide, cpu));
  CHECK_INT(MLX_FLOAT32, mlx_array_dtype(res));
  IS(res, "1 3 6");
  OK(mlx_cumprod_dtype(&res, x, 0, true, true, same, cpu));
  CHECK_INT(MLX_INT32, mlx_array_dtype(res));
  IS(res, "6 6 3");
  OK(mlx_cumprod_dtype(&res, x, 0, false, false, wide, cpu));
  IS(res, "1 1 2");
  FAILS(mlx_cumsum_dtype(&res, x, 1, false, true, wide, cpu));
  drop(x, res);
}

static void test_diff(void) {
  mlx_array x = floats("1 4 9; 2 2 5"), res = mlx_array_new();
  RESULT(mlx_diff(&res, x, 1, -1, cpu), res, "3 5; 0 3");
  RESULT(mlx_diff(&res, x, 2, 1, cpu), res, "2; 3");
  RESULT(mlx_diff(&res, x, 1, 0, cpu), res, "1 3: 1 -2 -4");
  RESULT(mlx_diff(&res, x, 0, 0, cpu), res, "1 4 9; 2 2 5");
  FAILS(mlx_diff(&res, x, -1, 0, cpu));
  drop(x);
}

static void test_flip(void) {
  const int axes[2] = {0, 1};
  mlx_array x = floats("1 2 3; 4 5 6"), res = mlx_array_new();
  RESULT(mlx_flip(&res, x, cpu), res, "6 5 4; 3 2 1");
  RESULT(mlx_flip_axis(&res, x, 1, cpu), res, "3 2 1; 6 5 4");
  RESULT(mlx_flip_axes(&res, x, axes, 1, cpu), res, "4 5 6; 1 2 3");
  FAILS(mlx_flip_axis(&res, x, 2, cpu));
  drop(x);
}

static void test_minmax(void) {
  const int axes[1] = {0};
  mlx_array x = floats("3 1 2; 0 5 4"), low = mlx_array_new(), high = mlx_array_new();
  OK(mlx_minmax(&low, &high, x, false, cpu));
  IS(low, ": 0");
  IS(high, ": 5");
  OK(mlx_minmax_axis(&low, &high, x, 1, true, cpu));
  IS(low, "1; 0");
  IS(high, "3; 5");
  OK(mlx_minmax_axes(&low, &high, x, axes, 1, false, cpu));
  IS(low, "3: 0 1 2");
  IS(high, "3: 3 5 4");
  FAILS(mlx_minmax_axis(&low, &high, x, 2, false, cpu));
  drop(x, low, high);
}

static void test_filled(void) {
  mlx_array x = ints("1 2"), res = mlx_array_new();
  OK(mlx_ones_like_dtype(&res, x, MLX_FLOAT16, cpu));
  CHECK_INT(MLX_FLOAT16, mlx_array_dtype(res));
  IS(res, "1 1");
  OK(mlx_zeros_like_dtype(&res, x, MLX_INT8, cpu));
  CHECK_INT(MLX_INT8, mlx_array_dtype(res));
  IS(res, "0 0");
  drop(res);
  res = mlx_array_new();
  RESULT(mlx_linspace_endpoint(&res, 0, 1, 4, false, MLX_FLOAT32, cpu), res, "0 0.25 0.5 0.75");
  RESULT(mlx_linspace_endpoint(&res, 0, 1, 5, true, MLX_FLOAT32, cpu), res, "0 0.25 0.5 0.75 1");
  drop(x);
}

static void test_elementwise(void) {
  mlx_array x = floats("-1.5 2.7"), a = typed("0 0 1 1", MLX_BOOL), b = typed("0 1 0 1", MLX_BOOL);
  mlx_array res = mlx_array_new();
  RESULT(mlx_trunc(&res, x, cpu), res, "-1 2");
  RESULT(mlx_positive(&res, x, cpu), res, "-1.5 2.7");
  RESULT(mlx_logical_xor(&res, a, b, cpu), res, "0 1 1 0");
  drop(x, a, b);
}

static void test_searchsorted(void) {
  mlx_array sorted = floats("1 2 2 4"), values = floats("0 2 3 5"), res = mlx_array_new();
  RESULT(mlx_searchsorted(&res, sorted, values, "left", cpu), res, "0 1 3 4");
  RESULT(mlx_searchsorted(&res, sorted, values, "right", cpu), res, "0 3 3 4");
  FAILS(mlx_searchsorted(&res, sorted, values, "middle", cpu));
  FAILS(mlx_searchsorted(&res, sorted, values, NULL, cpu));
  drop(sorted, values);
}

static void test_unique(void) {
  mlx_array x = ints("2 1 2 3 1"), fill = mlx_array_new_int(0), none = mlx_array_new();
  mlx_vector_array res = mlx_vector_array_new();
  OK(mlx_unique(&res, x, 4, true, true, true, fill, cpu));
  CHECK_INT(4, mlx_vector_array_size(res));
  IS_AT(res, 0, "1 2 3 0");
  IS_AT(res, 2, "1 0 1 2 0");
  IS_AT(res, 3, "2 2 1 0");
  OK(mlx_unique(&res, x, 3, false, false, false, none, cpu));
  CHECK_INT(1, mlx_vector_array_size(res));
  IS_AT(res, 0, "1 2 3");
  FAILS(mlx_unique(&res, x, -1, false, false, false, none, cpu));
  drop_vector(res);
  drop(x, fill);
}

static void test_unstack(void) {
  mlx_array x = floats("1 2 3; 4 5 6");
  mlx_vector_array res = mlx_vector_array_new();
  OK(mlx_unstack(&res, x, cpu));
  CHECK_INT(2, mlx_vector_array_size(res));
  IS_AT(res, 1, "3: 4 5 6");
  OK(mlx_unstack_axis(&res, x, 1, cpu));
  CHECK_INT(3, mlx_vector_array_size(res));
  IS_AT(res, 0, "2: 1 4");
  FAILS(mlx_unstack_axis(&res, x, 2, cpu));
  drop_vector(res);
  drop(x);
}

static void test_linear(void) {
  mlx_array a = floats("1 2; 3 4"), b = floats("5 6; 7 8"), res = mlx_array_new(), sign = mlx_array_new();
  mlx_array m = floats("0 2; 3 1");
  RESULT(mlx_matrix_transpose(&res, a, cpu), res, "1 3; 2 4");
  RESULT(mlx_vecdot(&res, a, b, -1, cpu), res, "2: 17 53");
  RESULT(mlx_linalg_det(&res, m, cpu), res, ": -6");
  OK(mlx_linalg_slogdet(&sign, &res, m, cpu));
  IS(sign, ": -1");
  IS(res, ": 1.7917595");
  FAILS(mlx_linalg_det(&res, mlx_array_new(), cpu));
  drop(a, b, m, sign, res);
}

/* One list of positions after the other, each ended by -1. */
static void test_einsum_path(void) {
  static const int expected[6] = {1, 2, -1, 0, 1, -1};
  mlx_vector_array in = take(3, floats("2 3: 0 0 0 0 0 0"), floats("3 1: 0 0 0"), floats("1 1: 0"));
  mlx_vector_int path = {NULL};
  mlx_string text = {NULL};
  int sum = 0, value = 0;
  OK(mlx_einsum_path(&path, &text, "ij,jk,kl->il", in));
  CHECK_INT(6, mlx_vector_int_size(path));
  for (size_t i = 0; i < 6; i++) {
    OK(mlx_vector_int_get(&value, path, i));
    CHECK((value == -1) == (expected[i] == -1));
    sum += value;
  }
  CHECK(sum == 1 + 2 + 0 + 1 - 2 || sum == 0 + 1 + 0 + 1 - 2);
  CHECK_HAS("ij,jk,kl->il", mlx_string_data(text));
  FAILS(mlx_einsum_path(&path, &text, "ij->ij", in));
  FAILS(mlx_einsum_path(&path, &text, NULL, in));
  OK(mlx_vector_int_free(path));
  OK(mlx_string_free(text));
  drop_vector(in);
}

static void test_quantised(void) {
  mlx_optional_int unset = {0, false};
  mlx_array w = floats("1 32: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15");
  mlx_array none = mlx_array_new(), res = mlx_array_new(), one = mlx_array_new_float(1), rows = typed("0", MLX_UINT32);
  mlx_optional_int group = {32, true}, bits = {4, true};
  mlx_vector_array q = mlx_vector_array_new();
  OK(mlx_expand_dims(&w, w, 0, cpu));
  OK(mlx_quantize(&q, w, group, bits, "affine", none, cpu));
  mlx_array packed = at(q, 0), scales = at(q, 1), biases = at(q, 2), x = mlx_array_new();
  OK(mlx_ones_like(&x, w, cpu));
  OK(mlx_gather_qmm_global_scale(&res, x, packed, scales, biases, none, rows, true, group, bits, "affine", none, false,
                                 cpu));
  IS(res, "1 1 1: 240");
  FAILS(mlx_gather_qmm_global_scale(&res, x, packed, scales, biases, none, rows, true, group, bits, "affine", one,
                                    false, cpu));
  FAILS(mlx_gather_qqmm(&res, x, packed, scales, none, rows, unset, unset, "no mode", none, none, false, cpu));
  IS(res, "1 1 1: 240");
  drop(w, x, one, rows, res, packed, scales, biases);
  drop_vector(q);
}

static void test_stft(void) {
  mlx_optional_int hop = {2, true}, size = {4, true}, unset = {0, false};
  mlx_optional_bool onesided = {true, false};
  mlx_array x = floats("1 2 3 4 5 6 7 8"), none = mlx_array_new(), f = mlx_array_new(), res = mlx_array_new();
  OK(mlx_fft_stft(&f, x, 4, hop, unset, none, true, "reflect", MLX_FFT_NORM_BACKWARD, onesided, cpu));
  CHECK_INT(MLX_COMPLEX64, mlx_array_dtype(f));
  CHECK_INT(3, mlx_array_dim(f, 0));
  CHECK_INT(5, mlx_array_dim(f, 1));
  OK(mlx_fft_istft(&res, f, size, hop, unset, none, true, MLX_FFT_NORM_BACKWARD, onesided, unset, cpu));
  IS(res, "8: 1 2 3 4 5 6 7 8");
  FAILS(mlx_fft_stft(&f, x, 0, hop, unset, none, true, "reflect", MLX_FFT_NORM_BACKWARD, onesided, cpu));
  FAILS(mlx_fft_stft(&f, x, 4, hop, unset, none, true, NULL, MLX_FFT_NORM_BACKWARD, onesided, cpu));
  drop(x, f, res);
}

static void test_cross_entropy(void) {
  mlx_array logits = floats("0 0; 0 1.0986123"), targets = ints("0 1"), bad = floats("0 1"), res = mlx_array_new();
  RESULT(mlx_fast_cross_entropy(&res, logits, targets, cpu), res, "2: 0.6931472 0.2876821");
  FAILS(mlx_fast_cross_entropy(&res, logits, bad, cpu));
  drop(logits, targets, bad);
}

static void test_attention_fused(void) {
  mlx_array q = floats("1 1 1 2: 0 0"), k = floats("1 1 2 2: 1 2 3 4"), v = floats("1 1 2 2: 1 10 3 30");
  mlx_array none = mlx_array_new(), res = mlx_array_new();
  RESULT(mlx_fast_scaled_dot_product_attention_fused(&res, q, k, v, 1, "", none, none, false, cpu), res,
         "1 1 1 2: 2 20");
  FAILS(mlx_fast_scaled_dot_product_attention_fused(&res, q, k, v, 1, "", none, none, true, cpu));
  drop(q, k, v);
}

/* S = 1 becomes 0.5, then 0.5 + 0.1 * (5 - 0.5 * 3) * 3 = 1.55; out 2 * S. */
static void test_gated_delta(void) {
  mlx_array q = floats("1 1 1 1: 2"), k = floats("1 1 1 1: 3"), v = floats("1 1 1 1: 5");
  mlx_array gates = floats("1 1 1: 0.5"), beta = floats("1 1 1: 0.1"), state = floats("1 1 1 1: 1");
  mlx_array none = mlx_array_new();
  mlx_vector_array res = mlx_vector_array_new();
  OK(mlx_fast_gated_delta_update(&res, q, k, v, gates, beta, state, none, cpu));
  CHECK_INT(2, mlx_vector_array_size(res));
  IS_AT(res, 0, "1 1 1 1: 3.1");
  IS_AT(res, 1, "1 1 1 1: 1.55");
  OK(mlx_fast_gated_delta_update(&res, q, k, v, gates, beta, none, none, cpu));
  IS_AT(res, 1, "1 1 1 1: 1.5");
  FAILS(mlx_fast_gated_delta_update(&res, q, k, none, gates, beta, none, none, cpu));
  drop(q, k, v, gates, beta, state);
  drop_vector(res);
}

int main(void) {
  begin();
  GROUP("counts, scans and elementwise", test_counts, test_scans_with_dtype, test_diff, test_flip, test_minmax,
        test_filled, test_elementwise);
  GROUP("searching and splitting", test_searchsorted, test_unique, test_unstack);
  GROUP("products", test_linear, test_einsum_path, test_quantised);
  GROUP("short-time Fourier", test_stft);
  GROUP("fast", test_cross_entropy, test_attention_fused, test_gated_delta);
  return end();
}
