/* random.h: fixed keys give the same numbers, and the numbers keep bounds. */
#include "check.h"

enum { N = 400 };

static const int shape_n[1] = {N};

static mlx_array key_of(uint64_t seed) {
  mlx_array key = mlx_array_new();
  OK(mlx_random_key(&key, seed));
  return key;
}

static bool same(mlx_array a, mlx_array b) {
  bool equal = false;
  mlx_array res = mlx_array_new();
  OK(mlx_array_equal(&res, a, b, false, cpu));
  OK(mlx_array_item_bool(&equal, res));
  drop(res);
  return equal;
}

static double statistic(int (*op)(mlx_array *, const mlx_array, bool, const mlx_stream), mlx_array a) {
  double value = 0;
  mlx_array res = mlx_array_new();
  OK(mlx_astype(&res, a, MLX_FLOAT64, cpu));
  OK(op(&res, res, false, cpu));
  OK(mlx_array_item_float64(&value, res));
  drop(res);
  return value;
}

/* `a` and `again` came from one key, `other` from another. */
static void check_draws(mlx_array a, mlx_array again, mlx_array other, mlx_dtype dtype, int size) {
  CHECK_INT(dtype, mlx_array_dtype(a));
  CHECK_INT(size, mlx_array_size(a));
  CHECK(same(a, again));
  CHECK(!same(a, other));
  drop(again, other);
}

/* Draw three times, leaving the first result in `a`. */
#define DRAW(call, dtype, size)                              \
  do {                                                       \
    mlx_array draws[3] = {mlx_array_new(), mlx_array_new(), mlx_array_new()}; \
    for (int draw = 0; draw < 3; draw++) {                   \
      mlx_array key = key_of(draw < 2 ? 7 : 8);              \
      mlx_array *res = &draws[draw];                         \
      OK(call);                                              \
      drop(key);                                             \
    }                                                        \
    a = draws[0];                                            \
    check_draws(draws[0], draws[1], draws[2], dtype, size);  \
  } while (0)

static void test_keys(void) {
  mlx_array key = key_of(0), big = key_of(0x0000000100000002ull), left = mlx_array_new(), right = mlx_array_new();
  mlx_array many = mlx_array_new();
  CHECK_INT(MLX_UINT32, mlx_array_dtype(key));
  IS(key, "2: 0 0");
  IS(big, "2: 1 2");
  OK(mlx_random_split(&left, &right, key, cpu));
  CHECK(!same(left, right));
  OK(mlx_random_split_num(&many, key, 3, cpu));
  CHECK_INT(3, mlx_array_dim(many, 0));
  CHECK_INT(2, mlx_array_dim(many, 1));
  drop(key, big, left, right, many);
}

static void test_bits(void) {
  mlx_array a;
  DRAW(mlx_random_bits(res, shape_n, 1, 4, key, cpu), MLX_UINT32, N);
  drop(a);
  DRAW(mlx_random_bits(res, shape_n, 1, 1, key, cpu), MLX_UINT8, N);
  drop(a);
}

static void test_uniform(void) {
  mlx_array a, low = mlx_array_new_float(-2), high = mlx_array_new_float(3);
  DRAW(mlx_random_uniform(res, low, high, shape_n, 1, MLX_FLOAT32, key, cpu), MLX_FLOAT32, N);
  CHECK(statistic(mlx_min, a) >= -2);
  CHECK(statistic(mlx_max, a) < 3);
  CHECK_CLOSE(0.5, statistic(mlx_mean, a), 0.3);
  drop(a, low, high);
}

static void test_normal(void) {
  mlx_array a, loc = mlx_array_new_float(10), scale = mlx_array_new_float(2), none = mlx_array_new();
  DRAW(mlx_random_normal(res, shape_n, 1, MLX_FLOAT32, 10, 2, key, cpu), MLX_FLOAT32, N);
  CHECK_CLOSE(10, statistic(mlx_mean, a), 0.05);
  drop(a);
  DRAW(mlx_random_normal_broadcast(res, shape_n, 1, MLX_FLOAT32, loc, scale, key, cpu), MLX_FLOAT32, N);
  CHECK_CLOSE(10, statistic(mlx_mean, a), 0.05);
  drop(a);
  DRAW(mlx_random_normal_broadcast(res, shape_n, 1, MLX_FLOAT32, none, none, key, cpu), MLX_FLOAT32, N);
  CHECK_CLOSE(0, statistic(mlx_mean, a), 0.3);
  drop(a, loc, scale);
}

static void test_multivariate(void) {
  const int shape[1] = {50};
  mlx_array a, mean = floats("1 -1"), cov = floats("1 0; 0 1");
  DRAW(mlx_random_multivariate_normal(res, mean, cov, shape, 1, MLX_FLOAT32, key, cpu), MLX_FLOAT32, 100);
  CHECK_INT(2, mlx_array_dim(a, 1));
  drop(a, mean, cov);
}

static void test_other_reals(void) {
  mlx_array a, low = mlx_array_new_float(-1), high = mlx_array_new_float(1);
  DRAW(mlx_random_gumbel(res, shape_n, 1, MLX_FLOAT32, key, cpu), MLX_FLOAT32, N);
  CHECK_CLOSE(0.5772, statistic(mlx_mean, a), 0.2);
  drop(a);
  DRAW(mlx_random_laplace(res, shape_n, 1, MLX_FLOAT32, 5, 0.5, key, cpu), MLX_FLOAT32, N);
  CHECK_CLOSE(5, statistic(mlx_mean, a), 0.05);
  drop(a);
  DRAW(mlx_random_truncated_normal(res, low, high, shape_n, 1, MLX_FLOAT32, key, cpu), MLX_FLOAT32, N);
  CHECK(statistic(mlx_min, a) >= -1);
  CHECK(statistic(mlx_max, a) <= 1);
  drop(a, low, high);
}

static void test_integers(void) {
  mlx_array a, low = mlx_array_new_int(2), high = mlx_array_new_int(5), p = mlx_array_new_float(0.25);
  DRAW(mlx_random_randint(res, low, high, shape_n, 1, MLX_INT16, key, cpu), MLX_INT16, N);
  CHECK_CLOSE(2, statistic(mlx_min, a), 0);
  CHECK_CLOSE(4, statistic(mlx_max, a), 0);
  drop(a);
  DRAW(mlx_random_bernoulli(res, p, shape_n, 1, key, cpu), MLX_BOOL, N);
  CHECK_CLOSE(0.25, statistic(mlx_mean, a), 0.08);
  drop(a, low, high, p);
}

static void test_categorical(void) {
  mlx_array a, logits = floats("0 0 0 -inf");
  DRAW(mlx_random_categorical_shape(res, logits, -1, shape_n, 1, key, cpu), MLX_UINT32, N);
  CHECK_CLOSE(2, statistic(mlx_max, a), 0);
  drop(a);
  DRAW(mlx_random_categorical_num_samples(res, logits, -1, N, key, cpu), MLX_UINT32, N);
  CHECK_CLOSE(0, statistic(mlx_min, a), 0);
  drop(a, logits);
  logits = floats("-inf 0; 0 -inf");
  mlx_array none = mlx_array_new(), res = mlx_array_new();
  RESULT(mlx_random_categorical(&res, logits, -1, none, cpu), res, "2: 1 0");
  drop(logits);
}

static void test_permutation(void) {
  mlx_array a, x = mlx_array_new(), sorted = mlx_array_new();
  OK(mlx_arange(&x, 0, N, 1, MLX_INT32, cpu));
  DRAW(mlx_random_permutation(res, x, 0, key, cpu), MLX_INT32, N);
  OK(mlx_sort(&sorted, a, cpu));
  CHECK(same(sorted, x));
  drop(a);
  DRAW(mlx_random_permutation_arange(res, N, key, cpu), MLX_UINT32, N);
  OK(mlx_sort(&sorted, a, cpu));
  CHECK(same(sorted, x));
  drop(a, x, sorted);
}

/* Without a key the numbers come from the seeded sequence. */
static void test_seed(void) {
  mlx_array none = mlx_array_new(), a = mlx_array_new(), b = mlx_array_new(), c = mlx_array_new();
  OK(mlx_random_seed(42));
  OK(mlx_random_normal(&a, shape_n, 1, MLX_FLOAT32, 0, 1, none, cpu));
  OK(mlx_random_normal(&b, shape_n, 1, MLX_FLOAT32, 0, 1, none, cpu));
  OK(mlx_random_seed(42));
  OK(mlx_random_normal(&c, shape_n, 1, MLX_FLOAT32, 0, 1, none, cpu));
  CHECK(same(a, c));
  CHECK(!same(a, b));
  drop(a, b, c);
}

static void test_errors(void) {
  mlx_array bad_key = floats("1 2"), key = key_of(1), low = mlx_array_new_int(0), res = mlx_array_new();
  FAILS(mlx_random_bits(&res, shape_n, 1, 4, bad_key, cpu));
  FAILS(mlx_random_bits(&res, NULL, 1, 4, key, cpu));
  FAILS(mlx_random_uniform(&res, low, mlx_array_new(), shape_n, 1, MLX_FLOAT32, key, cpu));
  FAILS(mlx_random_uniform(&res, low, low, shape_n, 1, MLX_INT32, key, cpu));
  CHECK(res.ctx == NULL);
  FAILS(mlx_random_split(NULL, &res, key, cpu));
  drop(bad_key, key, low, res);
}

int main(void) {
  begin();
  GROUP("keys and bits", test_keys, test_bits);
  GROUP("reals", test_uniform, test_normal, test_multivariate, test_other_reals);
  GROUP("integers", test_integers, test_categorical, test_permutation);
  GROUP("seed and errors", test_seed, test_errors);
  return end();
}
