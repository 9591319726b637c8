/* Reductions, scans, sorting and softmax of ops.h. */
#include "check.h"

typedef int (*reduce_all)(mlx_array *, const mlx_array, bool, const mlx_stream);
typedef int (*reduce_axis)(mlx_array *, const mlx_array, int, bool, const mlx_stream);
typedef int (*reduce_axes)(mlx_array *, const mlx_array, const int *, size_t, bool, const mlx_stream);
typedef int (*scan_op)(mlx_array *, const mlx_array, int, bool, bool, const mlx_stream);

/* Each op on the same 2 x 3 x 2 array: over all, over axis 1, over axes 0, 2. */
static const char data[] = "2 3 2: 4 -1 0 2 1 3  5 2 -3 1 0 6";

typedef struct reduce_row_ {
  const char *name;
  reduce_all all;
  reduce_axis axis;
  reduce_axes axes;
  const char *over_all;
  const char *over_axis1;
  const char *over_axes02;
} reduce_row;

#define R(op) #op, mlx_##op, mlx_##op##_axis, mlx_##op##_axes

static const reduce_row reductions[] = {
    {R(all), ": 0", "2 2: 0 1 0 1", "3: 1 0 0"},
    {R(any), ": 1", "2 2: 1 1 1 1", "3: 1 1 1"},
    {R(logsumexp), ": 6.475676", "2 2: 4.065884 3.326563 5.007049 6.024745", "3: 5.350759 2.412078 6.057329"},
    {R(max), ": 6", "2 2: 4 3 5 6", "3: 5 2 6"},
    {R(mean), ": 1.6666667", "2 2: 1.6666667 1.3333333 0.6666667 3", "3: 2.5 0 2.5"},
    {R(min), ": -3", "2 2: 0 -1 -3 1", "3: -1 -3 0"},
    {R(prod), ": 0", "2 2: 0 -6 0 12", "3: -40 0 0"},
    {R(sum), ": 20", "2 2: 5 4 2 9", "3: 10 0 10"},
};

static void test_reductions(void) {
  const int axes[2] = {0, 2}, bad_axes[1] = {7};
  mlx_array x = floats(data), res = mlx_array_new();
  for (size_t i = 0; i < sizeof reductions / sizeof reductions[0]; i++) {
    const reduce_row *row = &reductions[i];
    check_what = row->name;
    RESULT(row->all(&res, x, false, cpu), res, row->over_all);
    RESULT(row->axis(&res, x, 1, false, cpu), res, row->over_axis1);
    RESULT(row->axis(&res, x, -2, false, cpu), res, row->over_axis1);
    RESULT(row->axes(&res, x, axes, 2, false, cpu), res, row->over_axes02);
    OK(row->all(&res, x, true, cpu));
    CHECK_INT(3, mlx_array_ndim(res));
    OK(row->axis(&res, x, 1, true, cpu));
    CHECK_INT(3, mlx_array_ndim(res));
    CHECK_INT(1, mlx_array_dim(res, 1));
    OK(row->axes(&res, x, axes, 2, true, cpu));
    CHECK_INT(3, mlx_array_dim(res, 1));
    FAILS(row->axis(&res, x, 3, false, cpu));
    FAILS(row->axes(&res, x, bad_axes, 1, false, cpu));
    FAILS(row->all(&res, mlx_array_new(), false, cpu));
    drop(res);
    res = mlx_array_new();
  }
  drop(x);
}

static void test_reduce_no_axes(void) {
  mlx_array x = floats("1 2 3"), res = mlx_array_new();
  RESULT(mlx_sum_axes(&res, x, NULL, 0, false, cpu), res, "1 2 3");
  FAILS(mlx_sum_axes(&res, x, NULL, 1, false, cpu));
  drop(x);
}

static void test_std_and_var(void) {
  const int axes[2] = {0, 1};
  mlx_array x = floats("1 2 3; 4 5 9"), res = mlx_array_new();
  RESULT(mlx_var(&res, x, false, 0, cpu), res, ": 6.6666667");
  RESULT(mlx_var(&res, x, false, 1, cpu), res, ": 8");
  RESULT(mlx_var_axis(&res, x, 0, false, 0, cpu), res, "3: 2.25 2.25 9");
  RESULT(mlx_var_axis(&res, x, 1, true, 1, cpu), res, "2 1: 1 7");
  RESULT(mlx_var_axes(&res, x, axes, 2, false, 1, cpu), res, ": 8");
  RESULT(mlx_std(&res, x, false, 1, cpu), res, ": 2.8284271");
  RESULT(mlx_std_axis(&res, x, 0, false, 0, cpu), res, "3: 1.5 1.5 3");
  RESULT(mlx_std_axes(&res, x, axes, 2, true, 1, cpu), res, "1 1: 2.8284271");
  drop(x);
}

static void test_median(void) {
  const int axes[1] = {1}, both[2] = {0, 1};
  mlx_array x = floats("3 1 2; 9 7 4"), res = mlx_array_new();
  RESULT(mlx_median(&res, x, axes, 1, false, cpu), res, "2: 2 7");
  RESULT(mlx_median(&res, x, both, 2, false, cpu), res, ": 3.5");
  RESULT(mlx_median(&res, x, axes, 1, true, cpu), res, "2 1: 2 7");
  drop(x);
}

static void test_arg_reductions(void) {
  mlx_array x = floats("3 1 2; 9 7 4"), res = mlx_array_new();
  RESULT(mlx_argmax(&res, x, false, cpu), res, ": 3");
  RESULT(mlx_argmin(&res, x, true, cpu), res, "1 1: 1");
  RESULT(mlx_argmax_axis(&res, x, 0, false, cpu), res, "3: 1 1 1");
  RESULT(mlx_argmin_axis(&res, x, 1, false, cpu), res, "2: 1 2");
  RESULT(mlx_argmin_axis(&res, x, 1, true, cpu), res, "2 1: 1 2");
  OK(mlx_argmax(&res, x, false, cpu));
  CHECK_INT(MLX_UINT32, mlx_array_dtype(res));
  drop(res, x);
}

typedef struct scan_row_ {
  const char *name;
  scan_op op;
  const char *forward;
  const char *reverse;
  const char *exclusive;
} scan_row;

#define SCAN(op) #op, mlx_##op

static const scan_row scans[] = {
    {SCAN(cumsum), "2 -1 3; 1 1 6", "3 1 4; 6 5 5", "0 2 -1; 0 1 1"},
    {SCAN(cumprod), "2 -6 -24; 1 0 0", "-24 -12 4; 0 0 5", "1 2 -6; 1 1 0"},
    {SCAN(cummax), "2 2 4; 1 1 5", "4 4 4; 5 5 5", "-inf 2 2; -inf 1 1"},
    {SCAN(cummin), "2 -3 -3; 1 0 0", "-3 -3 4; 0 0 5", "inf 2 -3; inf 1 0"},
};

static void test_scans(void) {
  mlx_array x = floats("2 -3 4; 1 0 5"), res = mlx_array_new();
  for (size_t i = 0; i < sizeof scans / sizeof scans[0]; i++) {
    check_what = scans[i].name;
    RESULT(scans[i].op(&res, x, 1, false, true, cpu), res, scans[i].forward);
    RESULT(scans[i].op(&res, x, -1, true, true, cpu), res, scans[i].reverse);
    RESULT(scans[i].op(&res, x, 1, false, false, cpu), res, scans[i].exclusive);
    FAILS(scans[i].op(&res, x, 2, false, true, cpu));
  }
  drop(x);
}

static void test_logcumsumexp(void) {
  mlx_array x = floats("0 0 0"), res = mlx_array_new();
  RESULT(mlx_logcumsumexp(&res, x, 0, false, true, cpu), res, "0 0.6931472 1.0986123");
  RESULT(mlx_logcumsumexp(&res, x, 0, true, true, cpu), res, "1.0986123 0.6931472 0");
  drop(x);
}

static void test_sort(void) {
  mlx_array x = floats("3 1 2; 9 7 4"), res = mlx_array_new();
  RESULT(mlx_sort(&res, x, cpu), res, "6: 1 2 3 4 7 9");
  RESULT(mlx_sort_axis(&res, x, 1, cpu), res, "1 2 3; 4 7 9");
  RESULT(mlx_sort_axis(&res, x, 0, cpu), res, "3 1 2; 9 7 4");
  RESULT(mlx_argsort(&res, x, cpu), res, "6: 1 2 0 5 4 3");
  RESULT(mlx_argsort_axis(&res, x, -1, cpu), res, "1 2 0; 2 1 0");
  FAILS(mlx_sort_axis(&res, x, 2, cpu));
  drop(x);
}

/* Only the kth element has a fixed place after a partition. */
static void check_element(mlx_array a, const char *expected, int index) {
  mlx_array one = mlx_array_new(), where = mlx_array_new_int(index);
  OK(mlx_take_axis(&one, a, where, -1, cpu));
  IS(one, expected);
  drop(one, where);
}

static void test_partition(void) {
  mlx_array x = floats("3 1 2 8; 9 7 4 5"), res = mlx_array_new(), order = mlx_array_new();
  OK(mlx_partition_axis(&res, x, 2, 1, cpu));
  check_element(res, "2: 3 7", 2);
  OK(mlx_partition(&res, x, 4, cpu));
  CHECK_INT(8, mlx_array_dim(res, 0));
  check_element(res, ": 5", 4);
  OK(mlx_argpartition_axis(&order, x, 1, 1, cpu));
  check_element(order, "2: 2 3", 1);
  OK(mlx_argpartition(&order, x, 7, cpu));
  check_element(order, ": 4", 7);
  FAILS(mlx_partition(&res, x, 8, cpu));
  drop(x, res, order);
}

static void test_topk(void) {
  mlx_array x = floats("3 1 2 8; 9 7 4 5"), res = mlx_array_new();
  OK(mlx_topk(&res, x, 2, cpu));
  CHECK_INT(2, mlx_array_size(res));
  OK(mlx_sort(&res, res, cpu));
  IS(res, "8 9");
  OK(mlx_topk_axis(&res, x, 2, 1, cpu));
  OK(mlx_sort_axis(&res, res, 1, cpu));
  IS(res, "3 8; 7 9");
  FAILS(mlx_topk(&res, x, 100, cpu));
  drop(x, res);
}

static void test_softmax(void) {
  const int axes[2] = {0, 1};
  mlx_array x = floats("0 0.6931472; 1.0986123 0"), res = mlx_array_new();
  RESULT(mlx_softmax(&res, x, false, cpu), res, "0.1428571 0.2857143; 0.4285714 0.1428571");
  RESULT(mlx_softmax_axis(&res, x, 1, true, cpu), res, "0.3333333 0.6666667; 0.75 0.25");
  RESULT(mlx_softmax_axis(&res, x, 0, false, cpu), res, "0.25 0.6666667; 0.75 0.3333333");
  RESULT(mlx_softmax_axes(&res, x, axes, 2, false, cpu), res, "0.1428571 0.2857143; 0.4285714 0.1428571");
  drop(x);
}

static void test_number_of_elements(void) {
  const int axes[2] = {0, -1};
  mlx_array x = floats(data), res = mlx_array_new();
  RESULT(mlx_number_of_elements(&res, x, axes, 2, false, MLX_FLOAT32, cpu), res, ": 4");
  RESULT(mlx_number_of_elements(&res, x, axes, 2, true, MLX_FLOAT32, cpu), res, ": 0.25");
  drop(x);
}

int main(void) {
  begin();
  GROUP("reductions", test_reductions, test_reduce_no_axes);
  GROUP("statistics", test_std_and_var, test_median, test_arg_reductions);
  GROUP("scans", test_scans, test_logcumsumexp);
  GROUP("sorting", test_sort, test_partition, test_topk);
  GROUP("softmax and counts", test_softmax, test_number_of_elements);
  return end();
}
