/**
 * For programs written for mlx-c 0.6: include it in the place of mlx/c/mlx.h. Its Fourier transforms took no `norm`, and
 * its distributed groups were returned.
 */
#ifndef MLXFFI_COMPAT_MLXC_0_6_H
#define MLXFFI_COMPAT_MLXC_0_6_H

#include "mlx/c/mlx.h"

/* Each macro hides the function of its name, which a macro's own text still calls. */
#define mlx_fft_fft(res, a, n, axis, s) mlx_fft_fft(res, a, n, axis, MLX_FFT_NORM_BACKWARD, s)
#define mlx_fft_ifft(res, a, n, axis, s) mlx_fft_ifft(res, a, n, axis, MLX_FFT_NORM_BACKWARD, s)
#define mlx_fft_irfft(res, a, n, axis, s) mlx_fft_irfft(res, a, n, axis, MLX_FFT_NORM_BACKWARD, s)
#define mlx_fft_rfft(res, a, n, axis, s) mlx_fft_rfft(res, a, n, axis, MLX_FFT_NORM_BACKWARD, s)
#define mlx_fft_fft2(res, a, n, n_num, axes, axes_num, s) \
  mlx_fft_fft2(res, a, n, n_num, axes, axes_num, MLX_FFT_NORM_BACKWARD, s)
#define mlx_fft_fftn(res, a, n, n_num, axes, axes_num, s) \
  mlx_fft_fftn(res, a, n, n_num, axes, axes_num, MLX_FFT_NORM_BACKWARD, s)
#define mlx_fft_ifft2(res, a, n, n_num, axes, axes_num, s) \
  mlx_fft_ifft2(res, a, n, n_num, axes, axes_num, MLX_FFT_NORM_BACKWARD, s)
#define mlx_fft_ifftn(res, a, n, n_num, axes, axes_num, s) \
  mlx_fft_ifftn(res, a, n, n_num, axes, axes_num, MLX_FFT_NORM_BACKWARD, s)
#define mlx_fft_irfft2(res, a, n, n_num, axes, axes_num, s) \
  mlx_fft_irfft2(res, a, n, n_num, axes, axes_num, MLX_FFT_NORM_BACKWARD, s)
#define mlx_fft_irfftn(res, a, n, n_num, axes, axes_num, s) \
  mlx_fft_irfftn(res, a, n, n_num, axes, axes_num, MLX_FFT_NORM_BACKWARD, s)
#define mlx_fft_rfft2(res, a, n, n_num, axes, axes_num, s) \
  mlx_fft_rfft2(res, a, n, n_num, axes, axes_num, MLX_FFT_NORM_BACKWARD, s)
#define mlx_fft_rfftn(res, a, n, n_num, axes, axes_num, s) \
  mlx_fft_rfftn(res, a, n, n_num, axes, axes_num, MLX_FFT_NORM_BACKWARD, s)

/** The group, or after an error an empty handle. Owned by the caller: free it with mlx_distributed_group_free(). */
static inline mlx_distributed_group mlxffi_compat_distributed_init(bool strict, const char *bk) {
  mlx_distributed_group group = {0};
  mlx_distributed_init(&group, strict, bk);
  return group;
}
#define mlx_distributed_init(strict, bk) mlxffi_compat_distributed_init(strict, bk)

/** The part of `group`, or after an error an empty handle. Owned by the caller, as above. */
static inline mlx_distributed_group mlxffi_compat_distributed_group_split(mlx_distributed_group group, int color, int key) {
  mlx_distributed_group part = {0};
  mlx_distributed_group_split(&part, group, color, key);
  return part;
}
#define mlx_distributed_group_split(group, color, key) mlxffi_compat_distributed_group_split(group, color, key)

#endif /* MLXFFI_COMPAT_MLXC_0_6_H */
