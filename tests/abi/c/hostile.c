/* Arguments on which MLX itself would divide by zero, read past an array or
 * count wrongly: each has to be an error, and the library usable after it. */
#include "check.h"

enum { BIG = 2147483647 };

static void test_sizes(void) {
  const int huge[3] = {1 << 30, 1 << 30, 16}, wide[2] = {BIG, BIG}, negative[1] = {-3};
  mlx_array res = mlx_array_new(), one = mlx_array_new_float(1);
  FAILS(mlx_ones(&res, huge, 3, MLX_FLOAT32, cpu));
  FAILS(mlx_zeros(&res, wide, 2, MLX_INT8, cpu));
  FAILS(mlx_zeros(&res, negative, 1, MLX_FLOAT32, cpu));
  FAILS(mlx_full(&res, huge, 3, one, MLX_FLOAT32, cpu));
  FAILS(mlx_broadcast_to(&res, one, negative, 1, cpu));
  FAILS(mlx_arange(&res, 0, 10, 0, MLX_FLOAT32, cpu));
  FAILS(mlx_zeros(&res, wide, (size_t)-1, MLX_INT8, cpu));
  CHECK(res.ctx == NULL);
  drop(one);
}

static void test_axes(void) {
  const int far[1] = {3}, twice[2] = {0, 0};
  mlx_array scalar = mlx_array_new_int(1), x = floats("1 2; 3 4"), res = mlx_array_new();
  FAILS(mlx_number_of_elements(&res, scalar, far, 1, false, MLX_FLOAT32, cpu));
  FAILS(mlx_number_of_elements(&res, x, far, 1, false, MLX_FLOAT32, cpu));
  FAILS(mlx_sum_axes(&res, x, twice, 2, false, cpu));
  FAILS(mlx_squeeze_axis(&res, x, 7, cpu));
  FAILS(mlx_expand_dims(&res, x, 9, cpu));
  FAILS(mlx_swapaxes(&res, x, 0, 5, cpu));
  FAILS(mlx_diagonal(&res, x, 0, 0, 0, cpu));
  CHECK(res.ctx == NULL);
  drop(scalar, x);
}

static void test_strides(void) {
  const int zero[1] = {0}, two[1] = {2}, long_shape[1] = {5};
  const int64_t step[1] = {1}, back[1] = {-1};
  mlx_array x = ints("1 2"), y = ints("5 6"), res = mlx_array_new();
  FAILS(mlx_slice(&res, x, zero, 1, two, 1, zero, 1, cpu));
  FAILS(mlx_slice_update(&res, x, y, zero, 1, two, 1, zero, 1, cpu));
  FAILS(mlx_slice_update_add(&res, x, y, zero, 1, two, 1, zero, 1, cpu));
  FAILS(mlx_as_strided(&res, x, long_shape, 1, step, 1, 0, cpu));
  FAILS(mlx_as_strided(&res, x, two, 1, step, 1, 1, cpu));
  FAILS(mlx_as_strided(&res, x, two, 1, back, 1, 0, cpu));
  CHECK(res.ctx == NULL);
  OK(mlx_as_strided(&res, x, two, 1, back, 1, 1, cpu));
  IS(res, "2 1");
  drop(x, y, res);
}

static void test_convolutions(void) {
  mlx_array x = floats("1 4 1: 1 2 3 4"), w = floats("1 2 1: 10 1"), res = mlx_array_new();
  mlx_array x2 = floats("1 2 2 1: 1 2 3 4"), w2 = floats("1 1 1 1: 2");
  FAILS(mlx_conv1d(&res, x, w, 0, 0, 1, 1, cpu));
  FAILS(mlx_conv1d(&res, x, w, 1, 0, 0, 1, cpu));
  FAILS(mlx_conv1d(&res, x, w, 1, 0, 1, 0, cpu));
  FAILS(mlx_conv1d(&res, x, w, -1, 0, 1, 1, cpu));
  FAILS(mlx_conv2d(&res, x2, w2, 1, 1, 0, 0, 1, 1, 0, cpu));
  FAILS(mlx_conv2d(&res, x2, w2, 1, 0, 0, 0, 1, 1, 1, cpu));
  CHECK(res.ctx == NULL);
  drop(x, w, x2, w2);
}

static void test_nothing_to_work_on(void) {
  const int shape[2] = {0, 3};
  mlx_array none = mlx_array_new(), res = mlx_array_new(), pivots = mlx_array_new();
  mlx_vector_array out = {NULL}, empty = mlx_vector_array_new(), on = take(1, floats("1"));
  OK(mlx_zeros(&none, shape, 2, MLX_FLOAT32, cpu));
  FAILS(mlx_linalg_lu(&out, none, cpu));
  FAILS(mlx_linalg_lu_factor(&res, &pivots, none, cpu));
  FAILS(mlx_max(&res, none, false, cpu));
  FAILS(mlx_argmax(&res, none, false, cpu));
  FAILS(mlx_depends(&out, empty, on));
  FAILS(mlx_concatenate(&res, empty, cpu));
  CHECK(res.ctx == NULL && pivots.ctx == NULL && out.ctx == NULL);
  drop(none);
  drop_vector(empty, on);
}

static void test_parts(void) {
  mlx_array x = floats("1 2 3 4"), res = mlx_array_new();
  mlx_vector_array out = {NULL};
  FAILS(mlx_split(&out, x, 0, 0, cpu));
  FAILS(mlx_split(&out, x, -2, 0, cpu));
  FAILS(mlx_topk(&res, x, -1, cpu));
  FAILS(mlx_repeat(&res, x, -1, cpu));
  FAILS(mlx_partition(&res, x, -9, cpu));
  CHECK(res.ctx == NULL && out.ctx == NULL);
  drop(x);
}

/* Where a result should go there is a number, or a handle that was freed. */
static void test_slots(void) {
  mlx_array x = floats("2 1; 1 3"), gone = floats("1"), first = {NULL}, second = {(void *)8};
  drop(gone);
  FAILS(mlx_linalg_qr(&first, &second, x, cpu));
  FAILS(mlx_linalg_qr(&second, &first, x, cpu));
  FAILS(mlx_linalg_qr(&first, &gone, x, cpu));
  CHECK(first.ctx == NULL);
  drop(x);
}

static void test_usable_after(void) {
  mlx_array x = floats("1 2 3 4"), res = mlx_array_new();
  RESULT(mlx_square(&res, x, cpu), res, "1 4 9 16");
  drop(x);
}

int main(void) {
  begin();
  GROUP("sizes, axes and strides", test_sizes, test_axes, test_strides);
  GROUP("convolutions", test_convolutions);
  GROUP("nothing to work on", test_nothing_to_work_on, test_parts);
  GROUP("places of results", test_slots);
  GROUP("after the errors", test_usable_after);
  return end();
}
