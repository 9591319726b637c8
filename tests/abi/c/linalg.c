/* linalg.h, on matrices small enough to solve by hand. */
#include "check.h"

static void test_inverses(void) {
  mlx_array a = floats("4 7; 2 6"), lower = floats("2 0; 1 4"), res = mlx_array_new();
  RESULT(mlx_linalg_inv(&res, a, cpu), res, "0.6 -0.7; -0.2 0.4");
  RESULT(mlx_linalg_tri_inv(&res, lower, false, cpu), res, "0.5 0; -0.125 0.25");
  RESULT(mlx_linalg_pinv(&res, a, cpu), res, "0.6 -0.7; -0.2 0.4");
  drop(a, lower);
}

static void test_solve(void) {
  mlx_array a = floats("4 7; 2 6"), b = floats("1 2"), lower = floats("2 0; 1 4"), upper = floats("2 1; 0 4");
  mlx_array res = mlx_array_new();
  RESULT(mlx_linalg_solve(&res, a, b, cpu), res, "2: -0.8 0.6");
  RESULT(mlx_linalg_solve_triangular(&res, lower, b, false, cpu), res, "2: 0.5 0.375");
  RESULT(mlx_linalg_solve_triangular(&res, upper, b, true, cpu), res, "2: 0.25 0.5");
  drop(a, b, lower, upper);
}

static void test_cholesky(void) {
  mlx_array a = floats("4 2; 2 5"), res = mlx_array_new(), factor = mlx_array_new();
  RESULT(mlx_linalg_cholesky(&res, a, false, cpu), res, "2 0; 1 2");
  RESULT(mlx_linalg_cholesky(&res, a, true, cpu), res, "2 1; 0 2");
  OK(mlx_linalg_cholesky(&factor, a, false, cpu));
  RESULT(mlx_linalg_cholesky_inv(&res, factor, false, cpu), res, "0.3125 -0.125; -0.125 0.25");
  drop(a, factor);
}

static void test_cross(void) {
  mlx_array a = floats("1 0 0"), b = floats("0 1 0"), res = mlx_array_new();
  RESULT(mlx_linalg_cross(&res, a, b, -1, cpu), res, "0 0 1");
  drop(a, b);
}

/* A factorisation is checked by multiplying its factors. */
static void check_product(mlx_array left, mlx_array right, const char *expected) {
  mlx_array res = mlx_array_new();
  OK(mlx_matmul(&res, left, right, cpu));
  IS(res, expected);
  drop(res);
}

static void test_qr(void) {
  mlx_array a = floats("3 1; 4 2"), q = mlx_array_new(), r = mlx_array_new(), qt = mlx_array_new();
  OK(mlx_linalg_qr(&q, &r, a, cpu));
  check_product(q, r, "3 1; 4 2");
  OK(mlx_transpose(&qt, q, cpu));
  check_product(qt, q, "1 0; 0 1");
  FAILS(mlx_linalg_qr(&q, NULL, a, cpu));
  FAILS(mlx_linalg_qr(NULL, &r, a, cpu));
  drop(a, q, qt, r);
}

static void test_lu(void) {
  mlx_array a = floats("1 2; 4 6"), res = mlx_array_new(), pivots = mlx_array_new();
  mlx_vector_array plu = mlx_vector_array_new();
  OK(mlx_linalg_lu(&plu, a, cpu));
  CHECK_INT(3, mlx_vector_array_size(plu));
  IS_AT(plu, 0, "2: 1 0");
  IS_AT(plu, 1, "1 0; 0.25 1");
  IS_AT(plu, 2, "4 6; 0 0.5");
  OK(mlx_linalg_lu_factor(&res, &pivots, a, cpu));
  IS(res, "4 6; 0.25 0.5");
  IS(pivots, "2: 1 1");
  drop(a, res, pivots);
  drop_vector(plu);
}

static void test_svd(void) {
  mlx_array a = floats("3 0; 0 -4");
  mlx_vector_array usv = mlx_vector_array_new();
  OK(mlx_linalg_svd(&usv, a, true, cpu));
  CHECK_INT(3, mlx_vector_array_size(usv));
  IS_AT(usv, 1, "2: 4 3");
  mlx_array u = at(usv, 0), s = at(usv, 1), vt = at(usv, 2);
  OK(mlx_multiply(&u, u, s, cpu));
  check_product(u, vt, "3 0; 0 -4");
  OK(mlx_linalg_svd(&usv, a, false, cpu));
  CHECK_INT(1, mlx_vector_array_size(usv));
  IS_AT(usv, 0, "2: 4 3");
  drop(a, u, s, vt);
  drop_vector(usv);
}

static void test_eigh(void) {
  mlx_array a = floats("2 1; 1 2"), values = mlx_array_new(), vectors = mlx_array_new(), res = mlx_array_new();
  OK(mlx_linalg_eigh(&values, &vectors, a, "L", cpu));
  IS(values, "2: 1 3");
  RESULT(mlx_abs(&res, vectors, cpu), res, "0.7071068 0.7071068; 0.7071068 0.7071068");
  RESULT(mlx_linalg_eigvalsh(&res, a, "U", cpu), res, "2: 1 3");
  FAILS(mlx_linalg_eigvalsh(&res, a, NULL, cpu));
  drop(a, values, vectors);
}

/* A rotation by a right angle has the eigenvalues i and -i. */
static void test_eig(void) {
  mlx_array a = floats("0 -1; 1 0"), values = mlx_array_new(), vectors = mlx_array_new(), res = mlx_array_new();
  OK(mlx_linalg_eig(&values, &vectors, a, cpu));
  CHECK_INT(MLX_COMPLEX64, mlx_array_dtype(values));
  CHECK_INT(2, mlx_array_ndim(vectors));
  RESULT(mlx_real(&res, values, cpu), res, "2: 0 0");
  OK(mlx_linalg_eigvals(&res, a, cpu));
  OK(mlx_imag(&res, res, cpu));
  OK(mlx_sort(&res, res, cpu));
  IS(res, "2: -1 1");
  drop(a, values, vectors, res);
}

static void test_norms(void) {
  const int rows[1] = {1}, both[2] = {0, 1};
  mlx_array a = floats("3 4; 0 -5"), v = floats("3 -4 0"), res = mlx_array_new();
  RESULT(mlx_linalg_norm_l2(&res, a, NULL, 0, false, cpu), res, ": 7.0710678");
  RESULT(mlx_linalg_norm_l2(&res, a, rows, 1, true, cpu), res, "5; 5");
  RESULT(mlx_linalg_norm(&res, v, 1, NULL, 0, false, cpu), res, ": 7");
  RESULT(mlx_linalg_norm(&res, v, INFINITY, NULL, 0, false, cpu), res, ": 4");
  RESULT(mlx_linalg_norm(&res, a, 1, rows, 1, false, cpu), res, "2: 7 5");
  RESULT(mlx_linalg_norm_matrix(&res, a, "fro", NULL, 0, false, cpu), res, ": 7.0710678");
  RESULT(mlx_linalg_norm_matrix(&res, a, "fro", both, 2, true, cpu), res, "1 1: 7.0710678");
  FAILS(mlx_linalg_norm_matrix(&res, a, "bad", both, 2, true, cpu));
  drop(a, v);
}

static void test_errors(void) {
  mlx_array wide = floats("1 2 3; 4 5 6"), whole = ints("1 2; 3 4"), res = mlx_array_new();
  FAILS(mlx_linalg_inv(&res, wide, cpu));
  FAILS(mlx_linalg_cholesky(&res, whole, false, cpu));
  FAILS(mlx_linalg_solve(&res, wide, wide, cpu));
  FAILS(mlx_linalg_inv(&res, mlx_array_new(), cpu));
  CHECK(res.ctx == NULL);
  drop(wide, whole);
}

/* That a matrix is singular shows when its inverse is evaluated. */
static void test_error_at_eval(void) {
  mlx_array a = floats("1 2; 2 4"), res = mlx_array_new();
  OK(mlx_linalg_inv(&res, a, cpu));
  FAILS(mlx_array_eval(res));
  CHECK_HAS("Inverse", last_error);
  drop(a, res);
}

int main(void) {
  begin();
  GROUP("inverses and solutions", test_inverses, test_solve, test_cross);
  GROUP("factorisations", test_cholesky, test_qr, test_lu, test_svd);
  GROUP("eigenvalues", test_eigh, test_eig);
  GROUP("norms", test_norms);
  GROUP("errors", test_errors, test_error_at_eval);
  return end();
}
