/* Slices, gathers and scatters of ops.h. */
#include "check.h"

typedef int (*update_op)(mlx_array *, const mlx_array, const mlx_array, const int *, size_t, const int *, size_t,
                         const int *, size_t, const mlx_stream);
typedef int (*scatter_op)(mlx_array *, const mlx_array, const mlx_vector_array, const mlx_array, const int *, size_t,
                          const mlx_stream);
typedef int (*scatter_single)(mlx_array *, const mlx_array, const mlx_array, const mlx_array, int, const mlx_stream);

static void test_slice(void) {
  const int start[2] = {0, 1}, stop[2] = {2, 4}, step[2] = {1, 2};
  const int last[2] = {1, 3}, below[2] = {-3, -5}, back[2] = {-1, -1};
  mlx_array x = floats("1 2 3 4; 5 6 7 8"), res = mlx_array_new();
  RESULT(mlx_slice(&res, x, start, 2, stop, 2, step, 2, cpu), res, "2 4; 6 8");
  RESULT(mlx_slice(&res, x, last, 2, below, 2, back, 2, cpu), res, "8 7 6 5; 4 3 2 1");
  FAILS(mlx_slice(&res, x, start, 1, stop, 2, step, 2, cpu));
  FAILS(mlx_slice(&res, x, NULL, 2, stop, 2, step, 2, cpu));
  CHECK(res.ctx == NULL);
  drop(x);
}

static void test_slice_dynamic(void) {
  const int axes[2] = {0, 1}, size[2] = {1, 2};
  mlx_array x = floats("1 2 3 4; 5 6 7 8"), start = ints("1 2"), res = mlx_array_new();
  RESULT(mlx_slice_dynamic(&res, x, start, axes, 2, size, 2, cpu), res, "1 2: 7 8");
  drop(x, start);
}

typedef struct update_row_ {
  const char *name;
  update_op op;
  const char *expected;
} update_row;

static const update_row updates[] = {
    {"slice_update", mlx_slice_update, "1 9; 3 -1"},
    {"slice_update_add", mlx_slice_update_add, "1 11; 3 3"},
    {"slice_update_max", mlx_slice_update_max, "1 9; 3 4"},
    {"slice_update_min", mlx_slice_update_min, "1 2; 3 -1"},
    {"slice_update_prod", mlx_slice_update_prod, "1 18; 3 -4"},
};

static void test_slice_updates(void) {
  const int start[2] = {0, 1}, stop[2] = {2, 2}, step[2] = {1, 1};
  mlx_array x = floats("1 2; 3 4"), update = floats("9; -1"), res = mlx_array_new();
  for (size_t i = 0; i < sizeof updates / sizeof updates[0]; i++) {
    check_what = updates[i].name;
    RESULT(updates[i].op(&res, x, update, start, 2, stop, 2, step, 2, cpu), res, updates[i].expected);
    FAILS(updates[i].op(&res, x, mlx_array_new(), start, 2, stop, 2, step, 2, cpu));
    FAILS(updates[i].op(&res, x, update, start, 1, stop, 2, step, 2, cpu));
  }
  IS(x, "1 2; 3 4");
  drop(x, update);
}

static void test_slice_update_dynamic(void) {
  const int axes[1] = {1};
  mlx_array x = floats("1 2 3; 4 5 6"), update = floats("9; -1"), start = ints("2"), res = mlx_array_new();
  RESULT(mlx_slice_update_dynamic(&res, x, update, start, axes, 1, cpu), res, "1 2 9; 4 5 -1");
  drop(x, update, start);
}

static void test_take(void) {
  mlx_array x = floats("1 2 3; 4 5 6"), rows = ints("1 0 1"), res = mlx_array_new();
  mlx_array bad = floats("0.5");
  RESULT(mlx_take(&res, x, rows, cpu), res, "3: 2 1 2");
  RESULT(mlx_take_axis(&res, x, rows, 0, cpu), res, "4 5 6; 1 2 3; 4 5 6");
  RESULT(mlx_take_axis(&res, x, rows, 1, cpu), res, "2 1 2; 5 4 5");
  FAILS(mlx_take(&res, x, bad, cpu));
  FAILS(mlx_take_axis(&res, x, rows, 2, cpu));
  drop(x, rows, bad);
}

static void test_along_axis(void) {
  mlx_array x = floats("1 2 3; 4 5 6"), where = ints("2; 0"), values = floats("-1; -2"), res = mlx_array_new();
  RESULT(mlx_take_along_axis(&res, x, where, 1, cpu), res, "3; 4");
  RESULT(mlx_put_along_axis(&res, x, where, values, 1, cpu), res, "1 2 -1; -2 5 6");
  RESULT(mlx_scatter_add_axis(&res, x, where, values, 1, cpu), res, "1 2 2; 2 5 6");
  drop(x, where, values);
}

static void test_gather(void) {
  const int axes[2] = {0, 1}, sizes[2] = {1, 1}, row_sizes[2] = {1, 3};
  mlx_array x = floats("1 2 3; 4 5 6"), rows = ints("1 0"), res = mlx_array_new();
  mlx_vector_array places = take(2, ints("1 0"), ints("2 1"));
  RESULT(mlx_gather(&res, x, places, axes, 2, sizes, 2, cpu), res, "2 1 1: 6 2");
  RESULT(mlx_gather_single(&res, x, rows, 0, row_sizes, 2, cpu), res, "2 1 3: 4 5 6 1 2 3");
  FAILS(mlx_gather(&res, x, places, axes, 1, sizes, 2, cpu));
  FAILS(mlx_gather_single(&res, x, mlx_array_new(), 0, row_sizes, 2, cpu));
  drop(x, rows);
  drop_vector(places);
}

typedef struct scatter_row_ {
  const char *name;
  scatter_op op;
  scatter_single single;
  const char *points; /* at (1, 2) and (0, 1), twice, with 10 and 0.5 */
  const char *rows;   /* row 1 with -5 5 50 */
} scatter_row;

static const scatter_row scatters[] = {
    {"scatter", mlx_scatter, mlx_scatter_single, "1 0.5 3; 4 5 10", "1 2 3; -5 5 50"},
    {"scatter_add", mlx_scatter_add, mlx_scatter_add_single, "1 2.5 3; 4 5 16", "1 2 3; -1 10 56"},
    {"scatter_max", mlx_scatter_max, mlx_scatter_max_single, "1 2 3; 4 5 10", "1 2 3; 4 5 50"},
    {"scatter_min", mlx_scatter_min, mlx_scatter_min_single, "1 0.5 3; 4 5 6", "1 2 3; -5 5 6"},
    {"scatter_prod", mlx_scatter_prod, mlx_scatter_prod_single, "1 1 3; 4 5 60", "1 2 3; -20 25 300"},
};

static void test_scatters(void) {
  const int axes[2] = {0, 1};
  mlx_array x = floats("1 2 3; 4 5 6"), points = floats("2 1 1: 10 0.5"), row = floats("1 1 3: -5 5 50");
  mlx_array one = ints("1"), res = mlx_array_new();
  mlx_vector_array places = take(2, ints("1 0"), ints("2 1"));
  for (size_t i = 0; i < sizeof scatters / sizeof scatters[0]; i++) {
    check_what = scatters[i].name;
    RESULT(scatters[i].op(&res, x, places, points, axes, 2, cpu), res, scatters[i].points);
    RESULT(scatters[i].single(&res, x, one, row, 0, cpu), res, scatters[i].rows);
    FAILS(scatters[i].op(&res, x, places, points, axes, 1, cpu));
    FAILS(scatters[i].op(&res, x, places, row, axes, 2, cpu));
    FAILS(scatters[i].single(&res, x, one, mlx_array_new(), 0, cpu));
  }
  IS(x, "1 2 3; 4 5 6");
  drop(x, points, row, one);
  drop_vector(places);
}

static void test_repeated_index(void) {
  mlx_array x = floats("0 0"), updates2 = floats("3 1: 1 2 4"), where = ints("1 1 0"), res = mlx_array_new();
  RESULT(mlx_scatter_add_single(&res, x, where, updates2, 0, cpu), res, "2: 4 3");
  drop(x, updates2, where);
}

static void test_masked_scatter(void) {
  mlx_array x = floats("1 2 3 4"), mask = typed("0 1 0 1", MLX_BOOL), source = floats("-1 -2"), res = mlx_array_new();
  RESULT(mlx_masked_scatter(&res, x, mask, source, cpu), res, "1 -1 3 -2");
  drop(x, mask, source);
}

int main(void) {
  begin();
  GROUP("slices", test_slice, test_slice_dynamic);
  GROUP("slice updates", test_slice_updates, test_slice_update_dynamic);
  GROUP("take and put", test_take, test_along_axis);
  GROUP("gather", test_gather);
  GROUP("scatter", test_scatters, test_repeated_index, test_masked_scatter);
  return end();
}
