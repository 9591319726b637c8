/* Arrays over memory of the caller's own, and the state flags of arrays. */
#include "check.h"

static int freed;

static void note_free(void *p) {
  freed++;
  free(p);
}

typedef struct owner_ {
  float *values;
  int *calls;
} owner;

static void free_owner(void *p) {
  owner *o = (owner *)p;
  ++*o->calls;
  free(o->values);
  free(o);
}

static float *three_floats(void) {
  float *values = (float *)malloc(3 * sizeof(float));
  CHECK(values != NULL);
  values[0] = 1;
  values[1] = 2;
  values[2] = 3;
  return values;
}

static mlx_array managed(void) {
  const int shape[1] = {3};
  return mlx_array_new_data_managed(three_floats(), shape, 1, MLX_FLOAT32, note_free);
}

static mlx_array managed_payload(int *calls) {
  const int shape[1] = {3};
  owner *o = (owner *)malloc(sizeof(owner));
  CHECK(o != NULL);
  o->values = three_floats();
  o->calls = calls;
  return mlx_array_new_data_managed_payload(o->values, shape, 1, MLX_FLOAT32, o, free_owner);
}

static void test_managed(void) {
  freed = 0;
  mlx_array a = managed();
  IS(a, "3: 1 2 3");
  drop(a);
  CHECK_INT(1, freed);
}

static void test_managed_payload(void) {
  int calls = 0;
  mlx_array a = managed_payload(&calls);
  IS(a, "3: 1 2 3");
  drop(a);
  CHECK_INT(1, calls);
}

static void test_managed_without_dtor(void) {
  static float values[2] = {7, 8};
  const int shape[2] = {2, 1};
  mlx_array a = mlx_array_new_data_managed(values, shape, 2, MLX_FLOAT32, NULL);
  mlx_array b = mlx_array_new_data_managed_payload(values, shape, 2, MLX_FLOAT32, NULL, NULL);
  IS(a, "7; 8");
  IS(b, "7; 8");
  drop(a, b);
}

static void test_shared_by_handles(void) {
  freed = 0;
  mlx_array a = managed(), b = mlx_array_new();
  mlx_vector_array vec = mlx_vector_array_new();
  OK(mlx_array_set(&b, a));
  OK(mlx_vector_array_append_value(vec, a));
  drop(a);
  IS(b, "1 2 3");
  drop(b);
  IS_AT(vec, 0, "1 2 3");
  drop_vector(vec);
  CHECK_INT(1, freed);
}

static void test_kept_by_graph(void) {
  int calls = 0;
  mlx_array a = managed_payload(&calls), sum = mlx_array_new();
  OK(mlx_add(&sum, a, a, cpu));
  drop(a);
  IS(sum, "2 4 6");
  drop(sum);
  OK(mlx_synchronize(cpu));
  CHECK_INT(1, calls);
}

static void test_rebinding_frees(void) {
  freed = 0;
  mlx_array a = managed();
  OK(mlx_array_set_int(&a, 1));
  CHECK_INT(1, freed);
  drop(a);
  CHECK_INT(1, freed);
}

static void test_many(void) {
  int calls = 0;
  for (int i = 0; i < 100; i++) {
    drop(managed_payload(&calls));
  }
  CHECK_INT(100, calls);
}

typedef struct flags_ {
  bool any, row, col;
} flags;

static flags flags_of(mlx_array a) {
  flags f = {false, false, false};
  OK(mlx_array_eval(a));
  OK(_mlx_array_is_contiguous(&f.any, a));
  OK(_mlx_array_is_row_contiguous(&f.row, a));
  OK(_mlx_array_is_col_contiguous(&f.col, a));
  return f;
}

static void test_contiguous_flags(void) {
  mlx_array a = floats("1 2 3; 4 5 6"), t = mlx_array_new();
  flags f = flags_of(a);
  CHECK(f.any && f.row && !f.col);
  OK(mlx_transpose(&t, a, cpu));
  f = flags_of(t);
  CHECK(f.any && !f.row && f.col);
  CHECK_INT(1, mlx_array_strides(t)[0]);
  CHECK_INT(3, mlx_array_strides(t)[1]);
  OK(mlx_contiguous(&t, t, false, cpu));
  f = flags_of(t);
  CHECK(f.any && f.row && !f.col);
  IS(t, "1 4; 2 5; 3 6");
  drop(a, t);
}

static void test_flags_of_a_slice(void) {
  const int start[2] = {0, 0}, stop[2] = {2, 3}, step[2] = {1, 2};
  mlx_array a = floats("1 2 3; 4 5 6"), s = mlx_array_new();
  OK(mlx_slice(&s, a, start, 2, stop, 2, step, 2, cpu));
  flags f = flags_of(s);
  CHECK(!f.row && !f.col);
  IS(s, "1 3; 4 6");
  drop(a, s);
}

static void test_flags_of_a_vector(void) {
  mlx_array a = floats("1 2 3");
  flags f = flags_of(a);
  CHECK(f.any && f.row && f.col);
  drop(a);
}

static void test_available(void) {
  bool ready = false;
  mlx_array a = floats("1 2 3"), sum = mlx_array_new();
  OK(_mlx_array_is_available(&ready, a));
  CHECK(ready);
  OK(mlx_add(&sum, a, a, cpu));
  OK(_mlx_array_is_available(&ready, sum));
  CHECK(!ready);
  mlx_vector_array outputs = mlx_vector_array_new_value(sum);
  OK(mlx_async_eval(outputs));
  OK(_mlx_array_wait(sum));
  OK(_mlx_array_is_available(&ready, sum));
  CHECK(ready);
  CHECK_CLOSE(6, mlx_array_data_float32(sum)[2], 0);
  drop_vector(outputs);
  drop(a, sum);
}

static void test_state_of_null_handles(void) {
  bool flag = true;
  mlx_array none = mlx_array_new();
  FAILS(_mlx_array_is_available(&flag, none));
  FAILS(_mlx_array_wait(none));
  FAILS(_mlx_array_is_contiguous(&flag, none));
  FAILS(_mlx_array_is_row_contiguous(&flag, none));
  FAILS(_mlx_array_is_col_contiguous(&flag, none));
}

int main(void) {
  begin();
  GROUP("managed data", test_managed, test_managed_payload, test_managed_without_dtor, test_shared_by_handles,
        test_kept_by_graph, test_rebinding_frees, test_many);
  GROUP("contiguity", test_contiguous_flags, test_flags_of_a_slice, test_flags_of_a_vector);
  GROUP("availability", test_available, test_state_of_null_handles);
  return end();
}
