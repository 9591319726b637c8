/* Ops that make arrays and change their shape. */
#include "check.h"

static void test_filled(void) {
  const int shape[2] = {2, 3};
  mlx_array seven = mlx_array_new_int(7), x = ints("1 2"), res = mlx_array_new();
  RESULT(mlx_zeros(&res, shape, 2, MLX_FLOAT32, cpu), res, "0 0 0; 0 0 0");
  RESULT(mlx_ones(&res, shape, 2, MLX_INT8, cpu), res, "1 1 1; 1 1 1");
  RESULT(mlx_full(&res, shape, 2, seven, MLX_FLOAT16, cpu), res, "7 7 7; 7 7 7");
  RESULT(mlx_full_like(&res, x, seven, MLX_FLOAT32, cpu), res, "2: 7 7");
  RESULT(mlx_zeros(&res, NULL, 0, MLX_FLOAT32, cpu), res, ": 0");
  OK(mlx_full_like(&res, x, seven, MLX_FLOAT32, cpu));
  CHECK_INT(MLX_FLOAT32, mlx_array_dtype(res));
  FAILS(mlx_zeros(&res, NULL, 2, MLX_FLOAT32, cpu));
  FAILS(mlx_zeros(&res, shape, 2, (mlx_dtype)50, cpu));
  IS(res, "7 7");
  drop(seven, x, res);
}

static void test_ranges(void) {
  mlx_array res = mlx_array_new();
  RESULT(mlx_arange(&res, 1, 7, 2, MLX_INT32, cpu), res, "3: 1 3 5");
  RESULT(mlx_arange(&res, 0, 1, 0.25, MLX_FLOAT32, cpu), res, "4: 0 0.25 0.5 0.75");
  RESULT(mlx_arange(&res, 3, 0, -1, MLX_FLOAT32, cpu), res, "3: 3 2 1");
  RESULT(mlx_linspace(&res, 0, 1, 5, MLX_FLOAT32, cpu), res, "5: 0 0.25 0.5 0.75 1");
  FAILS(mlx_linspace(&res, 0, 1, -5, MLX_FLOAT32, cpu));
  CHECK(res.ctx == NULL);
}

static void test_triangles(void) {
  mlx_array x = floats("1 2 3; 4 5 6"), res = mlx_array_new();
  RESULT(mlx_eye(&res, 2, 3, 1, MLX_FLOAT32, cpu), res, "0 1 0; 0 0 1");
  RESULT(mlx_identity(&res, 2, MLX_INT32, cpu), res, "1 0; 0 1");
  RESULT(mlx_tri(&res, 3, 2, 0, MLX_FLOAT32, cpu), res, "1 0; 1 1; 1 1");
  RESULT(mlx_tril(&res, x, 0, cpu), res, "1 0 0; 4 5 0");
  RESULT(mlx_triu(&res, x, 1, cpu), res, "0 2 3; 0 0 6");
  drop(x);
}

static void test_diagonals(void) {
  mlx_array x = floats("1 2 3; 4 5 6"), v = floats("1 2"), res = mlx_array_new();
  RESULT(mlx_diag(&res, v, 0, cpu), res, "1 0; 0 2");
  RESULT(mlx_diag(&res, v, -1, cpu), res, "0 0 0; 1 0 0; 0 2 0");
  RESULT(mlx_diag(&res, x, 1, cpu), res, "2: 2 6");
  RESULT(mlx_diagonal(&res, x, 0, 0, 1, cpu), res, "2: 1 5");
  RESULT(mlx_trace(&res, x, 0, 0, 1, MLX_FLOAT32, cpu), res, ": 6");
  drop(x, v);
}

static void test_reshape(void) {
  const int shape[2] = {3, -1}, bad[2] = {4, -1}, split[2] = {3, 1};
  mlx_array x = floats("1 2 3; 4 5 6"), res = mlx_array_new();
  RESULT(mlx_reshape(&res, x, shape, 2, cpu), res, "1 2; 3 4; 5 6");
  FAILS(mlx_reshape(&res, x, bad, 2, cpu));
  RESULT(mlx_flatten(&res, x, 0, -1, cpu), res, "6: 1 2 3 4 5 6");
  RESULT(mlx_unflatten(&res, x, 1, split, 2, cpu), res, "2 3 1: 1 2 3 4 5 6");
  RESULT(mlx_atleast_3d(&res, x, cpu), res, "2 3 1: 1 2 3 4 5 6");
  drop(x);
  x = mlx_array_new_int(9);
  RESULT(mlx_atleast_1d(&res, x, cpu), res, "1: 9");
  RESULT(mlx_atleast_2d(&res, x, cpu), res, "1 1: 9");
  drop(x);
}

static void test_unit_axes(void) {
  const int axes[2] = {0, 2}, not_one[1] = {1};
  mlx_array x = floats("1 2 1: 5 6"), v = floats("5 6"), res = mlx_array_new();
  RESULT(mlx_squeeze(&res, x, cpu), res, "2: 5 6");
  RESULT(mlx_squeeze_axis(&res, x, 0, cpu), res, "2 1: 5 6");
  RESULT(mlx_squeeze_axes(&res, x, axes, 2, cpu), res, "2: 5 6");
  FAILS(mlx_squeeze_axes(&res, x, not_one, 1, cpu));
  RESULT(mlx_expand_dims(&res, v, 1, cpu), res, "2 1: 5 6");
  RESULT(mlx_expand_dims_axes(&res, v, axes, 2, cpu), res, "1 2 1: 5 6");
  drop(x, v);
}

static void test_transpose(void) {
  const int order[3] = {2, 0, 1}, short_order[1] = {0};
  mlx_array x = floats("2 1 2: 1 2 3 4"), res = mlx_array_new();
  RESULT(mlx_transpose(&res, x, cpu), res, "2 1 2: 1 3 2 4");
  RESULT(mlx_transpose_axes(&res, x, order, 3, cpu), res, "2 2 1: 1 3 2 4");
  RESULT(mlx_swapaxes(&res, x, 0, 1, cpu), res, "1 2 2: 1 2 3 4");
  RESULT(mlx_moveaxis(&res, x, 2, 0, cpu), res, "2 2 1: 1 3 2 4");
  FAILS(mlx_transpose_axes(&res, x, short_order, 1, cpu));
  drop(x);
}

static void test_broadcast(void) {
  const int shape[2] = {2, 3};
  mlx_array row = floats("1 2 3"), column = floats("10; 20"), res = mlx_array_new();
  RESULT(mlx_broadcast_to(&res, row, shape, 2, cpu), res, "1 2 3; 1 2 3");
  mlx_vector_array in = take(2, row, column), out = mlx_vector_array_new();
  OK(mlx_broadcast_arrays(&out, in, cpu));
  CHECK_INT(2, mlx_vector_array_size(out));
  IS_AT(out, 0, "1 2 3; 1 2 3");
  IS_AT(out, 1, "10 10 10; 20 20 20");
  drop_vector(in, out);
}

static void test_join(void) {
  mlx_vector_array rows = take(2, floats("1 2; 3 4"), floats("5 6; 7 8"));
  mlx_vector_array none = mlx_vector_array_new();
  mlx_array res = mlx_array_new();
  RESULT(mlx_concatenate(&res, rows, cpu), res, "8: 1 2 3 4 5 6 7 8");
  RESULT(mlx_concatenate_axis(&res, rows, 1, cpu), res, "1 2 5 6; 3 4 7 8");
  RESULT(mlx_stack(&res, rows, cpu), res, "2 2 2: 1 2 3 4 5 6 7 8");
  RESULT(mlx_stack_axis(&res, rows, 2, cpu), res, "2 2 2: 1 5 2 6 3 7 4 8");
  FAILS(mlx_concatenate(&res, none, cpu));
  FAILS(mlx_stack_axis(&res, rows, 5, cpu));
  drop_vector(rows, none);
}

static void test_split(void) {
  const int at_columns[2] = {1, 3};
  mlx_array x = floats("1 2 3 4; 5 6 7 8");
  mlx_vector_array parts = {NULL};
  OK(mlx_split(&parts, x, 2, 1, cpu));
  CHECK_INT(2, mlx_vector_array_size(parts));
  IS_AT(parts, 1, "3 4; 7 8");
  OK(mlx_split_sections(&parts, x, at_columns, 2, 1, cpu));
  CHECK_INT(3, mlx_vector_array_size(parts));
  IS_AT(parts, 0, "1; 5");
  IS_AT(parts, 1, "2 3; 6 7");
  IS_AT(parts, 2, "4; 8");
  FAILS(mlx_split(&parts, x, 3, 1, cpu));
  CHECK_INT(3, mlx_vector_array_size(parts));
  drop_vector(parts);
  drop(x);
}

static void test_meshgrid(void) {
  mlx_vector_array in = take(2, floats("1 2"), floats("3 4 5")), out = mlx_vector_array_new();
  OK(mlx_meshgrid(&out, in, false, "xy", cpu));
  IS_AT(out, 0, "1 2; 1 2; 1 2");
  IS_AT(out, 1, "3 3; 4 4; 5 5");
  OK(mlx_meshgrid(&out, in, true, "ij", cpu));
  IS_AT(out, 0, "1; 2");
  IS_AT(out, 1, "1 3: 3 4 5");
  FAILS(mlx_meshgrid(&out, in, true, "zz", cpu));
  FAILS(mlx_meshgrid(&out, in, true, NULL, cpu));
  drop_vector(in, out);
}

static void test_repeat_and_tile(void) {
  const int reps[2] = {2, 1};
  mlx_array x = floats("1 2; 3 4"), res = mlx_array_new();
  RESULT(mlx_repeat(&res, x, 2, cpu), res, "8: 1 1 2 2 3 3 4 4");
  RESULT(mlx_repeat_axis(&res, x, 2, 1, cpu), res, "1 1 2 2; 3 3 4 4");
  RESULT(mlx_tile(&res, x, reps, 2, cpu), res, "1 2; 3 4; 1 2; 3 4");
  drop(x);
}

static void test_roll(void) {
  const int one[1] = {1}, both[2] = {1, 1}, axes[2] = {0, 1};
  mlx_array x = floats("1 2 3; 4 5 6"), res = mlx_array_new();
  RESULT(mlx_roll(&res, x, one, 1, cpu), res, "6 1 2; 3 4 5");
  RESULT(mlx_roll_axis(&res, x, one, 1, 1, cpu), res, "3 1 2; 6 4 5");
  RESULT(mlx_roll_axes(&res, x, both, 2, axes, 2, cpu), res, "6 4 5; 3 1 2");
  drop(x);
}

static void test_pad(void) {
  const int axes[1] = {1}, low[1] = {1}, high[1] = {2};
  mlx_array x = floats("1 2; 3 4"), nine = mlx_array_new_float(9), res = mlx_array_new();
  RESULT(mlx_pad(&res, x, axes, 1, low, 1, high, 1, nine, "constant", cpu), res, "9 1 2 9 9; 9 3 4 9 9");
  RESULT(mlx_pad(&res, x, axes, 1, low, 1, high, 1, nine, "edge", cpu), res, "1 1 2 2 2; 3 3 4 4 4");
  RESULT(mlx_pad_symmetric(&res, nine, 0, nine, "constant", cpu), res, ": 9");
  RESULT(mlx_pad_symmetric(&res, x, 1, nine, "constant", cpu), res, "9 9 9 9; 9 1 2 9; 9 3 4 9; 9 9 9 9");
  FAILS(mlx_pad(&res, x, axes, 1, low, 1, high, 1, nine, "nonsense", cpu));
  drop(x, nine);
}

static void test_strided(void) {
  const int shape[2] = {3, 2}, bad[1] = {2};
  const int64_t strides[2] = {1, 2};
  mlx_array x = floats("0 1 2 3 4 5 6"), t = mlx_array_new(), res = mlx_array_new();
  RESULT(mlx_as_strided(&res, x, shape, 2, strides, 2, 1, cpu), res, "1 3; 2 4; 3 5");
  FAILS(mlx_as_strided(&res, x, bad, 1, strides, 2, 0, cpu));
  OK(mlx_as_strided(&t, x, shape, 2, strides, 2, 0, cpu));
  RESULT(mlx_contiguous(&res, t, false, cpu), res, "0 2; 1 3; 2 4");
  RESULT(mlx_contiguous(&res, t, true, cpu), res, "0 2; 1 3; 2 4");
  drop(x, t);
}

int main(void) {
  begin();
  GROUP("making arrays", test_filled, test_ranges, test_triangles, test_diagonals);
  GROUP("shapes and axes", test_reshape, test_unit_axes, test_transpose);
  GROUP("joining and splitting", test_broadcast, test_join, test_split, test_meshgrid);
  GROUP("repeating, padding and strides", test_repeat_and_tile, test_roll, test_pad, test_strided);
  return end();
}
