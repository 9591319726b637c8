/* Elementwise ops of ops.h, mostly as tables: name, inputs, expected. */
#include "check.h"

typedef int (*unary_op)(mlx_array *, const mlx_array, const mlx_stream);
typedef int (*binary_op)(mlx_array *, const mlx_array, const mlx_array, const mlx_stream);

typedef struct unary_row_ {
  const char *name;
  unary_op op;
  mlx_dtype in_type;
  mlx_dtype out_type;
  const char *in;
  const char *expected;
} unary_row;

typedef struct binary_row_ {
  const char *name;
  binary_op op;
  mlx_dtype in_type;
  mlx_dtype out_type;
  const char *a;
  const char *b;
  const char *expected;
} binary_row;

#define F MLX_FLOAT32
#undef I /* complex.h has one */
#define I MLX_INT32
#define B MLX_BOOL
#define U(op, in, out) #op, mlx_##op, in, out

#define XS "-0.5 0.25 0.75"

static const unary_row unary[] = {
    {U(abs, F, F), XS, "0.5 0.25 0.75"},
    {U(abs, I, I), "-3 4", "3 4"},
    {U(arccos, F, F), XS, "2.094395 1.318116 0.7227342"},
    {U(arccosh, F, F), "1 1.5 3", "0 0.9624237 1.762747"},
    {U(arcsin, F, F), XS, "-0.5235988 0.2526803 0.8480621"},
    {U(arcsinh, F, F), XS, "-0.4812118 0.2474665 0.6931472"},
    {U(arctan, F, F), XS, "-0.4636476 0.2449787 0.6435011"},
    {U(arctanh, F, F), XS, "-0.5493061 0.2554128 0.9729551"},
    {U(bitwise_invert, I, I), "0 5 -1", "-1 -6 0"},
    {U(ceil, F, F), "-1.5 0.2 3", "-1 1 3"},
    {U(conjugate, F, F), XS, XS},
    {U(copy, I, I), "1 2", "1 2"},
    {U(cos, F, F), XS, "0.8775826 0.9689124 0.7316889"},
    {U(cosh, F, F), XS, "1.127626 1.031413 1.294683"},
    {U(degrees, F, F), XS, "-28.64789 14.32394 42.97183"},
    {U(erf, F, F), XS, "-0.5204999 0.2763264 0.7111556"},
    {U(erfinv, F, F), "-0.5 0 0.9", "-0.4769363 0 1.163087"},
    {U(exp, F, F), XS, "0.6065307 1.284025 2.117"},
    {U(expm1, F, F), XS, "-0.3934693 0.2840254 1.117"},
    {U(floor, F, F), "-1.5 0.2 3", "-2 0 3"},
    {U(isfinite, F, B), "1 nan inf -inf", "1 0 0 0"},
    {U(isinf, F, B), "1 nan inf -inf", "0 0 1 1"},
    {U(isnan, F, B), "1 nan inf -inf", "0 1 0 0"},
    {U(isneginf, F, B), "1 nan inf -inf", "0 0 0 1"},
    {U(isposinf, F, B), "1 nan inf -inf", "0 0 1 0"},
    {U(log, F, F), "0.5 2 10", "-0.6931472 0.6931472 2.302585"},
    {U(log10, F, F), "0.5 2 10", "-0.30103 0.30103 1"},
    {U(log1p, F, F), XS, "-0.6931472 0.2231436 0.5596158"},
    {U(log2, F, F), "0.5 2 10", "-1 1 3.321928"},
    {U(logical_not, I, B), "0 2 -1", "1 0 0"},
    {U(negative, F, F), XS, "0.5 -0.25 -0.75"},
    {U(ones_like, I, I), "0 2 -1", "1 1 1"},
    {U(radians, F, F), "-90 45 180", "-1.570796 0.7853982 3.141593"},
    {U(real, F, F), XS, XS},
    {U(imag, F, F), XS, "0 0 0"},
    {U(reciprocal, F, F), "-2 4 0", "-0.5 0.25 inf"},
    {U(rsqrt, F, F), "0.25 2 16", "2 0.7071068 0.25"},
    {U(sigmoid, F, F), XS, "0.3775407 0.5621765 0.6791787"},
    {U(sign, F, F), "-3 0 9", "-1 0 1"},
    {U(sin, F, F), XS, "-0.4794255 0.247404 0.6816388"},
    {U(sinh, F, F), XS, "-0.5210953 0.2526123 0.8223167"},
    {U(sqrt, F, F), "0.25 4 -1", "0.5 2 nan"},
    {U(square, F, F), XS, "0.25 0.0625 0.5625"},
    {U(stop_gradient, F, F), XS, XS},
    {U(tan, F, F), XS, "-0.5463025 0.2553419 0.9315965"},
    {U(tanh, F, F), XS, "-0.4621172 0.2449187 0.635149"},
    {U(zeros_like, I, I), "1 2", "0 0"},
};

static const binary_row binary[] = {
    {U(add, F, F), "1 2", "0.5 -3", "1.5 -1"},
    {U(arctan2, F, F), "1 -3", "-2 4", "2.677945 -0.6435011"},
    {U(bitwise_and, I, I), "12 7", "10 -1", "8 7"},
    {U(bitwise_or, I, I), "12 7", "10 8", "14 15"},
    {U(bitwise_xor, I, I), "12 7", "10 7", "6 0"},
    {U(divide, F, F), "1 -3", "4 0", "0.25 -inf"},
    {U(divide, I, F), "1 3", "4 2", "0.25 1.5"},
    {U(equal, F, B), "1 nan 2", "1 nan 3", "1 0 0"},
    {U(floor_divide, F, F), "7 -7", "2 2", "3 -4"},
    {U(greater, F, B), "1 2 3", "2 2 2", "0 0 1"},
    {U(greater_equal, F, B), "1 2 3", "2 2 2", "0 1 1"},
    {U(left_shift, I, I), "1 3", "4 1", "16 6"},
    {U(less, F, B), "1 2 3", "2 2 2", "1 0 0"},
    {U(less_equal, F, B), "1 2 3", "2 2 2", "1 1 0"},
    {U(logaddexp, F, F), "1 -3", "2 4", "2.313262 4.000911"},
    {U(logical_and, B, B), "0 0 1 1", "0 1 0 1", "0 0 0 1"},
    {U(logical_or, B, B), "0 0 1 1", "0 1 0 1", "0 1 1 1"},
    {U(maximum, F, F), "1 5 nan", "2 3 1", "2 5 nan"},
    {U(minimum, F, F), "1 5 nan", "2 3 1", "1 3 nan"},
    {U(multiply, F, F), "1 -2; 3 4", "10 100", "10 -200; 30 400"},
    {U(not_equal, F, B), "1 nan 2", "1 nan 3", "0 1 1"},
    {U(power, F, F), "2 9 4", "10 0.5 -1", "1024 3 0.25"},
    {U(power, I, I), "2 3", "10 3", "1024 27"},
    {U(remainder, F, F), "7 -7 5.5", "3 3 2", "1 2 1.5"},
    {U(right_shift, I, I), "16 7", "4 1", "1 3"},
    {U(subtract, F, F), "1 2", "0.5 -3", "0.5 5"},
};

static void test_unary(void) {
  for (size_t i = 0; i < sizeof unary / sizeof unary[0]; i++) {
    const unary_row *row = &unary[i];
    check_what = row->name;
    mlx_array x = typed(row->in, row->in_type), res = mlx_array_new();
    OK(row->op(&res, x, cpu));
    CHECK_INT(row->out_type, mlx_array_dtype(res));
    IS(res, row->expected);
    FAILS(row->op(&res, mlx_array_new(), cpu));
    FAILS(row->op(NULL, x, cpu));
    IS(res, row->expected);
    drop(x, res);
  }
}

static void test_binary(void) {
  for (size_t i = 0; i < sizeof binary / sizeof binary[0]; i++) {
    const binary_row *row = &binary[i];
    check_what = row->name;
    mlx_array a = typed(row->a, row->in_type), b = typed(row->b, row->in_type);
    mlx_array odd = typed("1 1 1 1 1", row->in_type), res = mlx_array_new();
    OK(row->op(&res, a, b, cpu));
    CHECK_INT(row->out_type, mlx_array_dtype(res));
    IS(res, row->expected);
    FAILS(row->op(&res, a, odd, cpu));
    FAILS(row->op(&res, a, mlx_array_new(), cpu));
    IS(res, row->expected);
    drop(a, b, odd, res);
  }
}

static void test_result_may_be_an_input(void) {
  mlx_array a = floats("1 2 3");
  OK(mlx_add(&a, a, a, cpu));
  OK(mlx_square(&a, a, cpu));
  IS(a, "4 16 36");
  drop(a);
}

static void test_complex_parts(void) {
  mlx_array z = mlx_array_new_complex(3, -4), res = mlx_array_new();
  RESULT(mlx_real(&res, z, cpu), res, ": 3");
  RESULT(mlx_imag(&res, z, cpu), res, ": -4");
  RESULT(mlx_conjugate(&res, z, cpu), res, "3 4");
  RESULT(mlx_abs(&res, z, cpu), res, ": 5");
  RESULT(mlx_multiply(&res, z, z, cpu), res, "-7 -24");
  drop(z);
}

static void test_divmod(void) {
  mlx_array a = ints("7 -7"), b = ints("3 3");
  mlx_vector_array res = mlx_vector_array_new();
  OK(mlx_divmod(&res, a, b, cpu));
  CHECK_INT(2, mlx_vector_array_size(res));
  IS_AT(res, 0, "2 -3");
  IS_AT(res, 1, "1 2");
  drop_vector(res);
  drop(a, b);
}

static void test_clip(void) {
  mlx_array x = floats("-2 0.5 9"), lo = mlx_array_new_float(-1), hi = mlx_array_new_float(1);
  mlx_array none = mlx_array_new(), res = mlx_array_new();
  RESULT(mlx_clip(&res, x, lo, hi, cpu), res, "-1 0.5 1");
  RESULT(mlx_clip(&res, x, lo, none, cpu), res, "-1 0.5 9");
  RESULT(mlx_clip(&res, x, none, hi, cpu), res, "-2 0.5 1");
  FAILS(mlx_clip(&res, x, none, none, cpu));
  CHECK(res.ctx == NULL);
  drop(x, lo, hi);
}

static void test_rounding(void) {
  mlx_array x = floats("2.345 -0.5 1.5 123.4"), res = mlx_array_new();
  RESULT(mlx_round(&res, x, 0, cpu), res, "2 0 2 123");
  RESULT(mlx_round(&res, x, 1, cpu), res, "2.3 -0.5 1.5 123.4");
  RESULT(mlx_round(&res, x, -1, cpu), res, "0 0 0 120");
  drop(x);
}

static void test_nan_to_num(void) {
  mlx_optional_float ten = {10, true}, minus = {-10, true}, unset = {0, false};
  mlx_array x = floats("1 nan inf -inf"), res = mlx_array_new();
  RESULT(mlx_nan_to_num(&res, x, 5, ten, minus, cpu), res, "1 5 10 -10");
  RESULT(mlx_nan_to_num(&res, x, 0, unset, unset, cpu), res, "1 0 3.4028235e38 -3.4028235e38");
  drop(x);
}

static void test_comparisons(void) {
  mlx_array a = floats("1 2 nan"), b = floats("1.001 2 nan"), res = mlx_array_new();
  RESULT(mlx_isclose(&res, a, b, 1e-2, 0, true, cpu), res, "1 1 1");
  RESULT(mlx_isclose(&res, a, b, 1e-5, 1e-8, false, cpu), res, "0 1 0");
  RESULT(mlx_allclose(&res, a, b, 1e-2, 0, true, cpu), res, ": 1");
  RESULT(mlx_allclose(&res, a, b, 1e-2, 0, false, cpu), res, ": 0");
  RESULT(mlx_array_equal(&res, a, a, true, cpu), res, ": 1");
  RESULT(mlx_array_equal(&res, a, a, false, cpu), res, ": 0");
  drop(a, b);
}

static void test_where(void) {
  mlx_array c = typed("1 0 1", MLX_BOOL), x = floats("1 2 3"), y = mlx_array_new_float(-1);
  mlx_array res = mlx_array_new();
  RESULT(mlx_where(&res, c, x, y, cpu), res, "1 -1 3");
  drop(c, x, y);
}

static void test_astype_and_view(void) {
  mlx_array x = floats("1.75 -1.75"), res = mlx_array_new();
  RESULT(mlx_astype(&res, x, MLX_INT32, cpu), res, "1 -1");
  RESULT(mlx_astype(&res, x, MLX_BFLOAT16, cpu), res, "1.75 -1.75");
  RESULT(mlx_astype(&res, x, MLX_COMPLEX64, cpu), res, "1.75 0 -1.75 0");
  RESULT(mlx_view(&res, x, MLX_UINT32, cpu), res, "1071644672 3219128320");
  RESULT(mlx_view(&res, x, MLX_UINT16, cpu), res, "0 16352 0 49120");
  FAILS(mlx_astype(&res, x, (mlx_dtype)77, cpu));
  drop(x);
}

static void test_fp8(void) {
  mlx_array x = floats("1 -2 448 0"), small = mlx_array_new(), res = mlx_array_new();
  OK(mlx_to_fp8(&small, x, cpu));
  CHECK_INT(MLX_UINT8, mlx_array_dtype(small));
  IS(small, "56 192 126 0");
  RESULT(mlx_from_fp8(&res, small, MLX_FLOAT32, cpu), res, "1 -2 448 0");
  drop(x, small);
}

static void test_windows(void) {
  mlx_array res = mlx_array_new();
  RESULT(mlx_bartlett(&res, 5, cpu), res, "0 0.5 1 0.5 0");
  RESULT(mlx_blackman(&res, 5, cpu), res, "0 0.34 1 0.34 0");
  RESULT(mlx_hamming(&res, 5, cpu), res, "0.08 0.54 1 0.54 0.08");
  RESULT(mlx_hanning(&res, 5, cpu), res, "0 0.5 1 0.5 0");
}

int main(void) {
  begin();
  GROUP("unary ops", test_unary);
  GROUP("binary ops", test_binary);
  GROUP("other elementwise ops", test_result_may_be_an_input, test_complex_parts, test_divmod, test_clip, test_rounding,
        test_nan_to_num);
  GROUP("comparisons, types and windows", test_comparisons, test_where, test_astype_and_view, test_fp8, test_windows);
  return end();
}
