/* Matrix products, convolutions, einsum and quantised products of ops.h. */
#include "check.h"

static const mlx_optional_int unset = {0, false};

static mlx_optional_int some(int value) {
  mlx_optional_int res = {value, true};
  return res;
}

static void test_matmul(void) {
  mlx_array a = floats("1 2; 3 4"), b = floats("5 6; 7 8"), v = floats("1 1"), res = mlx_array_new();
  mlx_array odd = floats("1 2 3");
  RESULT(mlx_matmul(&res, a, b, cpu), res, "19 22; 43 50");
  RESULT(mlx_matmul(&res, a, v, cpu), res, "2: 3 7");
  RESULT(mlx_addmm(&res, v, a, b, 2, 10, cpu), res, "48 54; 96 110");
  FAILS(mlx_matmul(&res, a, odd, cpu));
  FAILS(mlx_addmm(&res, mlx_array_new(), a, b, 1, 1, cpu));
  drop(a, b, v, odd);
}

static void test_vector_products(void) {
  mlx_array a = floats("1 2 3"), b = floats("4 5 6"), res = mlx_array_new();
  RESULT(mlx_inner(&res, a, b, cpu), res, ": 32");
  RESULT(mlx_outer(&res, a, b, cpu), res, "4 5 6; 8 10 12; 12 15 18");
  RESULT(mlx_kron(&res, a, b, cpu), res, "9: 4 5 6 8 10 12 12 15 18");
  RESULT(mlx_tensordot_axis(&res, a, b, 1, cpu), res, ": 32");
  drop(a, b);
}

static void test_tensordot(void) {
  const int rows[1] = {0}, both[2] = {0, 1};
  mlx_array a = floats("1 2; 3 4"), b = floats("5 6; 7 8"), res = mlx_array_new();
  RESULT(mlx_tensordot(&res, a, b, rows, 1, rows, 1, cpu), res, "26 30; 38 44");
  RESULT(mlx_tensordot(&res, a, b, both, 2, both, 2, cpu), res, ": 70");
  FAILS(mlx_tensordot(&res, a, b, both, 2, rows, 1, cpu));
  drop(a, b);
}

static void test_einsum(void) {
  mlx_vector_array ab = take(2, floats("1 2; 3 4"), floats("5 6; 7 8"));
  mlx_vector_array one = take(1, floats("1 2; 3 4"));
  mlx_array res = mlx_array_new();
  RESULT(mlx_einsum(&res, "ij,jk->ik", ab, cpu), res, "19 22; 43 50");
  RESULT(mlx_einsum(&res, "ij,ij->", ab, cpu), res, ": 70");
  RESULT(mlx_einsum(&res, "ij->ji", one, cpu), res, "1 3; 2 4");
  FAILS(mlx_einsum(&res, "ij,jk->ik", one, cpu));
  FAILS(mlx_einsum(&res, NULL, one, cpu));
  drop_vector(ab, one);
}

static void test_gather_mm(void) {
  mlx_array a = floats("2 1 2: 1 2 3 4"), b = floats("2 2 1: 1 0 0 1"), res = mlx_array_new();
  mlx_array left = typed("1 0", MLX_UINT32), right = typed("0 0", MLX_UINT32), none = mlx_array_new();
  RESULT(mlx_gather_mm(&res, a, b, left, right, false, cpu), res, "2 1 1: 3 1");
  RESULT(mlx_gather_mm(&res, a, b, none, right, true, cpu), res, "2 1 1: 1 3");
  RESULT(mlx_gather_mm(&res, a, b, none, none, false, cpu), res, "2 1 1: 1 4");
  drop(a, b, left, right);
}

static void test_segmented_mm(void) {
  mlx_array a = floats("0 1 2 3; 4 5 6 7"), b = floats("0 1; 2 3; 4 5; 6 7"), res = mlx_array_new();
  mlx_array segments = typed("0 2; 2 4", MLX_UINT32);
  RESULT(mlx_segmented_mm(&res, a, b, segments, cpu), res, "2 2 2: 2 3 10 19 26 31 66 79");
  drop(a, b, segments);
}

static void test_block_masked_mm(void) {
  const int shape[2] = {64, 64};
  mlx_array a = mlx_array_new(), res = mlx_array_new(), none = mlx_array_new();
  mlx_array mask = typed("1 0; 0 1", MLX_BOOL);
  OK(mlx_ones(&a, shape, 2, MLX_FLOAT32, cpu));
  OK(mlx_block_masked_mm(&res, a, a, 32, mask, none, none, cpu));
  RESULT(mlx_sum(&res, res, false, cpu), res, ": 131072");
  OK(mlx_block_masked_mm(&res, a, a, 32, none, mask, mask, cpu));
  RESULT(mlx_sum(&res, res, false, cpu), res, ": 65536");
  OK(mlx_block_masked_mm(&res, a, a, 64, none, none, none, cpu));
  RESULT(mlx_sum(&res, res, false, cpu), res, ": 262144");
  FAILS(mlx_block_masked_mm(&res, a, none, 32, none, none, none, cpu));
  drop(a, mask);
}

/* Sums over windows: all-ones kernels make the expected values plain. */
static void test_conv1d(void) {
  mlx_array x = floats("1 4 1: 1 2 3 4"), w = floats("1 2 1: 10 1"), res = mlx_array_new();
  RESULT(mlx_conv1d(&res, x, w, 1, 0, 1, 1, cpu), res, "1 3 1: 12 23 34");
  RESULT(mlx_conv1d(&res, x, w, 2, 1, 1, 1, cpu), res, "1 3 1: 1 23 40");
  RESULT(mlx_conv1d(&res, x, w, 1, 0, 2, 1, cpu), res, "1 2 1: 13 24");
  RESULT(mlx_conv_transpose1d(&res, x, w, 1, 0, 1, 0, 1, cpu), res, "1 5 1: 10 21 32 43 4");
  FAILS(mlx_conv1d(&res, w, w, 1, 0, 1, 3, cpu));
  drop(x, w);
}

static void test_conv2d(void) {
  mlx_array x = floats("1 2 3 1: 1 2 3 4 5 6"), w = floats("1 2 2 1: 1 1 1 1"), res = mlx_array_new();
  RESULT(mlx_conv2d(&res, x, w, 1, 1, 0, 0, 1, 1, 1, cpu), res, "1 1 2 1: 12 16");
  RESULT(mlx_conv_transpose2d(&res, x, w, 1, 1, 0, 0, 1, 1, 0, 0, 1, cpu), res,
         "1 3 4 1: 1 3 5 3  5 12 16 9  4 9 11 6");
  drop(x, w);
}

static void test_conv3d(void) {
  mlx_array x = floats("1 2 2 2 1: 1 2 3 4 5 6 7 8"), w = floats("1 2 2 2 1: 1 1 1 1 1 1 1 1");
  mlx_array point = floats("1 1 1 1 1: 2"), res = mlx_array_new();
  RESULT(mlx_conv3d(&res, x, w, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, cpu), res, "1 1 1 1 1: 36");
  RESULT(mlx_conv_transpose3d(&res, point, w, 1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1, cpu), res,
         "1 2 2 2 1: 2 2 2 2 2 2 2 2");
  drop(x, w, point);
}

static void test_conv_general(void) {
  const int one[1] = {1}, lo[1] = {1}, hi[1] = {0};
  mlx_array x = floats("1 4 1: 1 2 3 4"), w = floats("1 2 1: 10 1"), res = mlx_array_new();
  RESULT(mlx_conv_general(&res, x, w, one, 1, lo, 1, hi, 1, one, 1, one, 1, 1, false, cpu), res,
         "1 4 1: 1 12 23 34");
  RESULT(mlx_conv_general(&res, x, w, one, 1, hi, 1, hi, 1, one, 1, one, 1, 1, true, cpu), res, "1 3 1: 21 32 43");
  drop(x, w);
}

static void test_hadamard(void) {
  mlx_optional_float one = {1, true}, plain = {0, false};
  mlx_array x = floats("1 2 3 4"), res = mlx_array_new();
  RESULT(mlx_hadamard_transform(&res, x, one, cpu), res, "10 -2 -4 0");
  RESULT(mlx_hadamard_transform(&res, x, plain, cpu), res, "5 -1 -2 0");
  drop(x);
}

/* ---- quantised ------------------------------------------------------- */

static const char ramp[] =
    "1 32: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15";
static const char steps[] =
    "1 32: 0 0.5 1 1.5 2 3 4 6 0 0.5 1 1.5 2 3 4 6 0 0.5 1 1.5 2 3 4 6 0 0.5 1 1.5 2 3 4 6";

static mlx_array ones32(int rows) {
  const int shape[2] = {rows, 32};
  mlx_array x = mlx_array_new();
  OK(mlx_ones(&x, shape, 2, MLX_FLOAT32, cpu));
  return x;
}

static void test_affine(void) {
  mlx_optional_dtype half = {MLX_FLOAT16, true}, same = {MLX_FLOAT32, false};
  mlx_array w = floats(ramp), none = mlx_array_new(), res = mlx_array_new(), x = ones32(1);
  mlx_vector_array q = mlx_vector_array_new();
  OK(mlx_quantize(&q, w, some(32), some(4), "affine", none, cpu));
  CHECK_INT(3, mlx_vector_array_size(q));
  mlx_array packed = at(q, 0), scales = at(q, 1), biases = at(q, 2);
  IS(packed, "1 4: 2309737967 19088743 2309737967 19088743");
  RESULT(mlx_dequantize(&res, packed, scales, biases, some(32), some(4), "affine", none, same, cpu), res, ramp);
  OK(mlx_dequantize(&res, packed, scales, biases, some(32), some(4), "affine", none, half, cpu));
  CHECK_INT(MLX_FLOAT16, mlx_array_dtype(res));
  IS(res, ramp);
  OK(mlx_quantized_matmul(&res, x, packed, scales, biases, true, some(32), some(4), "affine", cpu));
  IS(res, "1 1: 240");
  FAILS(mlx_quantize(&q, w, some(5), some(4), "affine", none, cpu));
  FAILS(mlx_quantize(&q, w, unset, unset, "no mode", none, cpu));
  FAILS(mlx_quantize(&q, w, unset, unset, NULL, none, cpu));
  drop(w, x, res, packed, scales, biases);
  drop_vector(q);
}

static void test_mxfp4(void) {
  mlx_optional_dtype single = {MLX_FLOAT32, true};
  mlx_array w = floats(steps), none = mlx_array_new(), res = mlx_array_new(), x = ones32(1);
  mlx_vector_array q = mlx_vector_array_new();
  OK(mlx_quantize(&q, w, unset, unset, "mxfp4", none, cpu));
  CHECK_INT(2, mlx_vector_array_size(q));
  mlx_array packed = at(q, 0), scales = at(q, 1);
  IS(scales, "1 1: 127");
  RESULT(mlx_dequantize(&res, packed, scales, none, unset, unset, "mxfp4", none, single, cpu), res, steps);
  RESULT(mlx_quantized_matmul(&res, x, packed, scales, none, true, unset, unset, "mxfp4", cpu), res, "1 1: 72");
  drop(w, x, packed, scales);
  drop_vector(q);
}

static void test_gather_qmm(void) {
  mlx_array w = floats(ramp), none = mlx_array_new(), res = mlx_array_new(), x = ones32(2);
  mlx_array where = typed("0 0", MLX_UINT32);
  mlx_vector_array q = mlx_vector_array_new();
  OK(mlx_expand_dims(&w, w, 0, cpu));
  OK(mlx_expand_dims(&x, x, 1, cpu));
  OK(mlx_quantize(&q, w, some(32), some(4), "affine", none, cpu));
  mlx_array packed = at(q, 0), scales = at(q, 1), biases = at(q, 2);
  RESULT(mlx_gather_qmm(&res, x, packed, scales, biases, none, where, true, some(32), some(4), "affine", false, cpu),
         res, "2 1 1: 240 240");
  drop(w, x, where, packed, scales, biases);
  drop_vector(q);
}

static void test_qqmm(void) {
  mlx_array w = floats(steps), none = mlx_array_new(), res = mlx_array_new();
  mlx_vector_array q = mlx_vector_array_new();
  OK(mlx_quantize(&q, w, unset, unset, "nvfp4", none, cpu));
  mlx_array packed = at(q, 0), scales = at(q, 1);
  RESULT(mlx_qqmm(&res, w, packed, scales, unset, unset, "nvfp4", none, none, cpu), res, "1 1: 274");
  drop(w, packed, scales);
  drop_vector(q);
}

int main(void) {
  begin();
  GROUP("matrix products", test_matmul, test_vector_products, test_tensordot, test_einsum);
  GROUP("special products", test_gather_mm, test_segmented_mm, test_block_masked_mm, test_hadamard);
  GROUP("convolutions", test_conv1d, test_conv2d, test_conv3d, test_conv_general);
  GROUP("quantised", test_affine, test_mxfp4, test_gather_qmm, test_qqmm);
  return end();
}
