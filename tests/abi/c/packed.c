/* Packed matrices, and products of a few rows: at sizes around what the kernels work on at once, where a sanitizer sees
 * what they read. */
#include "check.h"

static mlx_optional_int some(int value) {
  mlx_optional_int res = {value, true};
  return res;
}

/* Numbers between -1 and 1. */
static mlx_array waves(int rows, int columns, mlx_dtype dtype) {
  const int shape[2] = {rows, columns};
  mlx_array res = mlx_array_new();
  OK(mlx_arange(&res, 0, (double)rows * columns, 1, MLX_FLOAT32, cpu));
  OK(mlx_sin(&res, res, cpu));
  OK(mlx_reshape(&res, res, shape, 2, cpu));
  OK(mlx_astype(&res, res, dtype, cpu));
  return res;
}

static void close_to(mlx_array found, mlx_array wanted, double tolerance) {
  float gap = 1e9f;
  mlx_array res = mlx_array_new();
  OK(mlx_subtract(&res, found, wanted, cpu));
  OK(mlx_abs(&res, res, cpu));
  OK(mlx_max(&res, res, false, cpu));
  OK(mlx_astype(&res, res, MLX_FLOAT32, cpu));
  OK(mlx_array_item_float32(&gap, res));
  CHECK(gap <= tolerance);
  drop(res);
}

/* x w^T, or x w, by the packed product and by the matrix unpacked. */
static void same_products(mlx_array x, mlx_vector_array q, bool transpose, const char *mode, int group, int bits) {
  mlx_optional_dtype single = {MLX_FLOAT32, true};
  mlx_array w = at(q, 0), scales = at(q, 1), none = mlx_array_new(), found = mlx_array_new(), wanted = mlx_array_new();
  mlx_array biases = mlx_vector_array_size(q) > 2 ? at(q, 2) : mlx_array_new();
  OK(mlx_dequantize(&wanted, w, scales, biases, some(group), some(bits), mode, none, single, cpu));
  if (transpose) {
    OK(mlx_swapaxes(&wanted, wanted, -1, -2, cpu));
  }
  OK(mlx_matmul(&wanted, x, wanted, cpu));
  OK(mlx_quantized_matmul(&found, x, w, scales, biases, transpose, some(group), some(bits), mode, cpu));
  close_to(found, wanted, 2e-4);
  drop(w, scales, biases, found, wanted);
}

static void test_scheme(const char *mode, int group, int bits) {
  static const int rows[] = {1, 5, 99}, others[] = {1, 7, 131};
  for (int i = 0; i < 9; i++) {
    int m = rows[i / 3], n = others[i % 3];
    mlx_array w = waves(n, 4 * group, MLX_FLOAT32), none = mlx_array_new();
    mlx_array x = waves(m, 4 * group, MLX_FLOAT32), g = waves(m, n, MLX_FLOAT32);
    mlx_vector_array q = mlx_vector_array_new();
    OK(mlx_quantize(&q, w, some(group), some(bits), mode, none, cpu));
    same_products(x, q, true, mode, group, bits);
    same_products(g, q, false, mode, group, bits);
    drop(w, x, g);
    drop_vector(q);
  }
}

static void test_few_rows(int rows, int terms, int columns, mlx_dtype dtype) {
  mlx_array x = waves(rows, terms, dtype), w = waves(columns, terms, dtype), v = waves(terms, columns, dtype);
  mlx_array found = mlx_array_new(), wanted = mlx_array_new(), one = mlx_array_new();
  /* Half of the last place of numbers up to 512, in halves. */
  double tolerance = dtype == MLX_FLOAT32 ? 1e-3 : dtype == MLX_FLOAT16 ? 0.13 : 1.01;
  OK(mlx_swapaxes(&w, w, 0, 1, cpu));
  for (int i = 0; i < 2; i++) {
    mlx_array right = i ? v : w;
    OK(mlx_matmul(&found, x, right, cpu));
    OK(mlx_astype(&one, x, MLX_FLOAT32, cpu));
    OK(mlx_expand_dims(&one, one, 0, cpu));
    OK(mlx_astype(&wanted, right, MLX_FLOAT32, cpu));
    OK(mlx_expand_dims(&wanted, wanted, 0, cpu));
    OK(mlx_matmul(&wanted, one, wanted, cpu));
    close_to(found, wanted, tolerance);
  }
  drop(x, w, v, found, wanted, one);
}

int main(void) {
  static const int widths[] = {1, 2, 3, 4, 5, 6, 8};
  begin();
  for (int i = 0; i < 7; i++) {
    test_scheme("affine", 32, widths[i]);
    test_scheme("affine", 64, widths[i]);
  }
  test_scheme("mxfp4", 32, 4);
  test_scheme("mxfp8", 32, 8);
  test_scheme("nvfp4", 16, 4);
  group("packed products");
  for (int number = MLX_FLOAT16; number <= MLX_BFLOAT16; number++) {
    mlx_dtype dtype = (mlx_dtype)number;
    if (dtype == MLX_FLOAT16 || dtype == MLX_FLOAT32 || dtype == MLX_BFLOAT16) {
      test_few_rows(1, 131, 133, dtype);
      test_few_rows(5, 1025, 17, dtype);
      test_few_rows(31, 19, 1001, dtype);
    }
  }
  group("few rows");
  return end();
}
