/* memory.h: counters and limits. */
#include "check.h"

enum { MANY = 1 << 20 }; /* floats in a test array: 4 MiB */

static size_t active(void) {
  size_t bytes = 0;
  OK(mlx_get_active_memory(&bytes));
  return bytes;
}

static size_t peak(void) {
  size_t bytes = 0;
  OK(mlx_get_peak_memory(&bytes));
  return bytes;
}

static mlx_array many_ones(void) {
  const int shape[1] = {MANY};
  mlx_array a = mlx_array_new(), b = mlx_array_new();
  OK(mlx_ones(&a, shape, 1, MLX_FLOAT32, cpu));
  OK(mlx_add(&b, a, a, cpu));
  OK(mlx_array_eval(b));
  OK(mlx_synchronize(cpu));
  drop(a);
  return b;
}

static void test_active(void) {
  size_t before = active();
  mlx_array a = many_ones();
  CHECK(active() >= before + MANY * sizeof(float));
  drop(a);
  CHECK(active() < before + MANY * sizeof(float));
}

static void test_peak(void) {
  OK(mlx_reset_peak_memory());
  size_t start = peak();
  mlx_array a = many_ones();
  drop(a);
  CHECK(peak() >= start + MANY * sizeof(float));
  CHECK(peak() >= active());
  OK(mlx_reset_peak_memory());
  CHECK(peak() < MANY * sizeof(float));
}

static void test_steady_state(void) {
  drop(many_ones());
  size_t before = active();
  for (int i = 0; i < 20; i++) {
    drop(many_ones());
  }
  CHECK_INT(before, active());
}

static void test_cache(void) {
  size_t bytes = 1;
  drop(many_ones());
  OK(mlx_clear_cache());
  OK(mlx_get_cache_memory(&bytes));
  CHECK_INT(0, bytes);
}

static void test_memory_limit(void) {
  size_t first = 0, old = 0, now = 0;
  OK(mlx_get_memory_limit(&first));
  OK(mlx_set_memory_limit(&old, 64u << 20));
  CHECK_INT(first, old);
  OK(mlx_get_memory_limit(&now));
  CHECK_INT(64u << 20, now);
  OK(mlx_set_memory_limit(&old, first));
  CHECK_INT(64u << 20, old);
}

static void test_other_limits(void) {
  size_t first = 0, old = 0;
  OK(mlx_set_cache_limit(&first, 1u << 20));
  OK(mlx_set_cache_limit(&old, first));
  OK(mlx_set_wired_limit(&first, 0));
  OK(mlx_set_wired_limit(&old, first));
  CHECK_INT(0, old);
}

static void test_missing_slots(void) {
  FAILS(mlx_get_active_memory(NULL));
  FAILS(mlx_get_peak_memory(NULL));
  FAILS(mlx_get_cache_memory(NULL));
  FAILS(mlx_get_memory_limit(NULL));
}

int main(void) {
  begin();
  GROUP("counters", test_active, test_peak, test_steady_state, test_cache);
  GROUP("limits", test_memory_limit, test_other_limits);
  GROUP("missing slots", test_missing_slots);
  return end();
}
