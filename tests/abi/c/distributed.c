/* distributed.h and distributed_group.h, on the one process there is. */
#include "check.h"

static mlx_distributed_group lone_group(void) {
  mlx_distributed_group group = mlx_distributed_group_new();
  CHECK(group.ctx == NULL);
  OK(mlx_distributed_init(&group, false, NULL));
  CHECK(group.ctx != NULL);
  return group;
}

static void test_init(void) {
  mlx_distributed_group group = lone_group();
  CHECK_INT(0, mlx_distributed_group_rank(group));
  CHECK_INT(1, mlx_distributed_group_size(group));
  OK(mlx_distributed_init(&group, false, "any"));
  CHECK_INT(1, mlx_distributed_group_size(group));
  OK(mlx_distributed_group_free(group));
}

static void test_strict(void) {
  mlx_distributed_group group = mlx_distributed_group_new();
  FAILS(mlx_distributed_init(&group, true, "no such back end"));
  FAILS(mlx_distributed_init(&group, true, NULL));
  CHECK(group.ctx == NULL);
}

static void test_available(void) {
  CHECK(!mlx_distributed_is_available("no such back end"));
  bool any = mlx_distributed_is_available(NULL);
  bool ring = mlx_distributed_is_available("ring");
  CHECK(any || !ring);
}

typedef int (*collective)(mlx_array *, const mlx_array, const mlx_distributed_group, const mlx_stream);

typedef struct row_ {
  const char *name;
  collective op;
} row;

static const row collectives[] = {
    {"all_sum", mlx_distributed_all_sum},       {"all_max", mlx_distributed_all_max},
    {"all_min", mlx_distributed_all_min},       {"all_gather", mlx_distributed_all_gather},
    {"sum_scatter", mlx_distributed_sum_scatter},
};

/* Alone, each of them gives back its input. */
static void test_collectives(void) {
  mlx_distributed_group group = lone_group(), none = mlx_distributed_group_new();
  mlx_array x = floats("1 2 3"), res = mlx_array_new();
  for (size_t i = 0; i < sizeof collectives / sizeof collectives[0]; i++) {
    check_what = collectives[i].name;
    RESULT(collectives[i].op(&res, x, group, cpu), res, "3: 1 2 3");
    RESULT(collectives[i].op(&res, x, none, cpu), res, "3: 1 2 3");
    FAILS(collectives[i].op(&res, mlx_array_new(), group, cpu));
  }
  OK(mlx_distributed_group_free(group));
  drop(x);
}

static void test_send_and_receive(void) {
  const int shape[1] = {3};
  mlx_distributed_group group = lone_group();
  mlx_array x = floats("1 2 3"), res = mlx_array_new();
  FAILS(mlx_distributed_send(&res, x, 0, group, cpu));
  FAILS(mlx_distributed_recv(&res, shape, 1, MLX_FLOAT32, 0, group, cpu));
  FAILS(mlx_distributed_recv_like(&res, x, 0, group, cpu));
  CHECK(res.ctx == NULL);
  OK(mlx_distributed_group_free(group));
  drop(x);
}

static void test_split(void) {
  mlx_distributed_group group = lone_group(), part = mlx_distributed_group_new();
  FAILS(mlx_distributed_group_split(&part, group, 0, 0));
  CHECK(part.ctx == NULL);
  OK(mlx_distributed_group_free(group));
}

static void test_null_handles(void) {
  mlx_distributed_group none = mlx_distributed_group_new(), part = mlx_distributed_group_new();
  REJECTS(mlx_distributed_group_size(none) >= 0);
  REJECTS(mlx_distributed_group_rank(none) >= 0);
  FAILS(mlx_distributed_group_split(&part, none, 0, 0));
  FAILS(mlx_distributed_init(NULL, false, NULL));
  OK(mlx_distributed_group_free(none));
}

int main(void) {
  begin();
  GROUP("groups", test_init, test_strict, test_available);
  GROUP("collectives", test_collectives);
  GROUP("what needs two processes", test_send_and_receive, test_split);
  GROUP("null handles", test_null_handles);
  return end();
}
