/* mlxffi/compat/mlxc_0_6.h: callers of each function that had another signature in mlx-c 0.6. */
#include "check.h"
#include "mlxffi/compat/mlxc_0_6.h"

static const int four[1] = {4}, by_two[2] = {2, 2}, last[1] = {-1}, both[2] = {-2, -1};

/* A transform and its inverse give back the real input; both take no norm. */
#define ROUND_TRIP(text, forward, backward)    \
  do {                                         \
    mlx_array x = floats(text), y = {NULL};    \
    check_what = #backward;                    \
    OK(forward);                               \
    OK(backward);                              \
    OK(mlx_astype(&y, y, MLX_FLOAT32, cpu));   \
    IS(y, text);                               \
    check_what = "";                           \
    drop(x);                                   \
    drop(y);                                   \
  } while (0)

static void test_fft(void) {
  ROUND_TRIP("1 2 3 5", mlx_fft_fft(&y, x, 4, -1, cpu), mlx_fft_ifft(&y, y, 4, -1, cpu));
  ROUND_TRIP("1 2 3 5", mlx_fft_rfft(&y, x, 4, -1, cpu), mlx_fft_irfft(&y, y, 4, -1, cpu));
  ROUND_TRIP("1 2 3 5", mlx_fft_fftn(&y, x, four, 1, last, 1, cpu), mlx_fft_ifftn(&y, y, four, 1, last, 1, cpu));
  ROUND_TRIP("1 2 3 5", mlx_fft_rfftn(&y, x, four, 1, last, 1, cpu), mlx_fft_irfftn(&y, y, four, 1, last, 1, cpu));
  ROUND_TRIP("1 2; 3 5", mlx_fft_fft2(&y, x, by_two, 2, both, 2, cpu), mlx_fft_ifft2(&y, y, by_two, 2, both, 2, cpu));
  ROUND_TRIP("1 2; 3 5", mlx_fft_rfft2(&y, x, by_two, 2, both, 2, cpu), mlx_fft_irfft2(&y, y, by_two, 2, both, 2, cpu));
}

static void test_backward_norm(void) {
  mlx_array x = floats("1 2 3 4"), y = {NULL};
  OK(mlx_fft_fft(&y, x, 4, 0, cpu));
  OK(mlx_real(&y, y, cpu));
  IS(y, "10 -2 -2 -2");
  drop(x, y);
}

static void test_distributed(void) {
  mlx_distributed_group all = mlx_distributed_init(false, NULL);
  CHECK(all.ctx != NULL);
  CHECK_INT(1, mlx_distributed_group_size(all));
  mlx_distributed_group none = {NULL};
  REJECTS(mlx_distributed_group_split(none, 0, 0).ctx == NULL);
  REJECTS(mlx_distributed_group_split(all, 0, 0).ctx == NULL);
  OK(mlx_distributed_group_free(all));
}

int main(void) {
  begin();
  GROUP("fft", test_fft, test_backward_norm);
  GROUP("distributed", test_distributed);
  return end();
}
