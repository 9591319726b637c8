/* fft.h: transforms of short signals and their inverses. */
#include "check.h"

#define BACKWARD MLX_FFT_NORM_BACKWARD

/* A complex array as text lists re and im by turns, as IS reads it back. */

static void test_fft(void) {
  mlx_array x = floats("1 2 3 4"), f = mlx_array_new(), res = mlx_array_new();
  OK(mlx_fft_fft(&f, x, 4, 0, BACKWARD, cpu));
  CHECK_INT(MLX_COMPLEX64, mlx_array_dtype(f));
  IS(f, "10 0 -2 2 -2 0 -2 -2");
  RESULT(mlx_fft_ifft(&res, f, 4, 0, BACKWARD, cpu), res, "1 0 2 0 3 0 4 0");
  RESULT(mlx_fft_fft(&res, x, 2, -1, BACKWARD, cpu), res, "3 0 -1 0");
  RESULT(mlx_fft_fft(&res, x, 4, 0, MLX_FFT_NORM_ORTHO, cpu), res, "5 0 -1 1 -1 0 -1 -1");
  RESULT(mlx_fft_fft(&res, x, 4, 0, MLX_FFT_NORM_FORWARD, cpu), res, "2.5 0 -0.5 0.5 -0.5 0 -0.5 -0.5");
  RESULT(mlx_fft_ifft(&res, f, 4, 0, MLX_FFT_NORM_FORWARD, cpu), res, "4 0 8 0 12 0 16 0");
  FAILS(mlx_fft_fft(&res, x, 4, 3, BACKWARD, cpu));
  FAILS(mlx_fft_fft(&res, x, 0, 0, BACKWARD, cpu));
  FAILS(mlx_fft_fft(&res, x, 4, 0, (mlx_fft_norm)9, cpu));
  drop(x, f);
}

static void test_rfft(void) {
  mlx_array x = floats("1 2 3 4"), f = mlx_array_new(), res = mlx_array_new();
  OK(mlx_fft_rfft(&f, x, 4, 0, BACKWARD, cpu));
  IS(f, "10 0 -2 2 -2 0");
  RESULT(mlx_fft_irfft(&res, f, 4, 0, BACKWARD, cpu), res, "4: 1 2 3 4");
  drop(x, f);
}

typedef int (*fft_nd)(mlx_array *, const mlx_array, const int *, size_t, const int *, size_t, mlx_fft_norm,
                      const mlx_stream);

/* The complex pairs fft2/ifft2 and fftn/ifftn do the same on two axes. */
static void check_complex_pair(fft_nd forward, fft_nd inverse) {
  const int n[2] = {2, 2}, axes[2] = {0, 1};
  mlx_array x = floats("1 2; 3 4"), f = mlx_array_new(), res = mlx_array_new();
  OK(forward(&f, x, n, 2, axes, 2, BACKWARD, cpu));
  IS(f, "10 0 -2 0 -4 0 0 0");
  RESULT(inverse(&res, f, n, 2, axes, 2, BACKWARD, cpu), res, "1 0 2 0 3 0 4 0");
  FAILS(forward(&res, x, n, 2, axes, 1, BACKWARD, cpu));
  FAILS(forward(&res, x, NULL, 2, axes, 2, BACKWARD, cpu));
  drop(x, f);
}

static void check_real_pair(fft_nd forward, fft_nd inverse) {
  const int n[2] = {2, 2}, axes[2] = {0, 1};
  mlx_array x = floats("1 2; 3 4"), f = mlx_array_new(), res = mlx_array_new();
  OK(forward(&f, x, n, 2, axes, 2, BACKWARD, cpu));
  CHECK_INT(MLX_COMPLEX64, mlx_array_dtype(f));
  IS(f, "10 0 -2 0 -4 0 0 0");
  RESULT(inverse(&res, f, n, 2, axes, 2, BACKWARD, cpu), res, "1 2; 3 4");
  FAILS(inverse(&res, mlx_array_new(), n, 2, axes, 2, BACKWARD, cpu));
  drop(x, f);
}

static void test_many_axes(void) {
  check_what = "fft2";
  check_complex_pair(mlx_fft_fft2, mlx_fft_ifft2);
  check_what = "fftn";
  check_complex_pair(mlx_fft_fftn, mlx_fft_ifftn);
  check_what = "rfft2";
  check_real_pair(mlx_fft_rfft2, mlx_fft_irfft2);
  check_what = "rfftn";
  check_real_pair(mlx_fft_rfftn, mlx_fft_irfftn);
}

static void test_frequencies(void) {
  mlx_array res = mlx_array_new();
  RESULT(mlx_fft_fftfreq(&res, 4, 0.5, cpu), res, "4: 0 0.5 -1 -0.5");
  RESULT(mlx_fft_fftfreq(&res, 5, 1, cpu), res, "5: 0 0.2 0.4 -0.4 -0.2");
  RESULT(mlx_fft_rfftfreq(&res, 4, 0.5, cpu), res, "3: 0 0.5 1");
}

static void test_shift(void) {
  const int rows[1] = {0}, both[2] = {0, 1};
  mlx_array x = floats("0 1 2; 3 4 5"), res = mlx_array_new();
  RESULT(mlx_fft_fftshift(&res, x, rows, 1, cpu), res, "3 4 5; 0 1 2");
  RESULT(mlx_fft_fftshift(&res, x, both, 2, cpu), res, "5 3 4; 2 0 1");
  RESULT(mlx_fft_ifftshift(&res, x, both, 2, cpu), res, "4 5 3; 1 2 0");
  drop(x);
}

int main(void) {
  begin();
  GROUP("one axis", test_fft, test_rfft);
  GROUP("many axes", test_many_axes);
  GROUP("frequencies and shifts", test_frequencies, test_shift);
  return end();
}
