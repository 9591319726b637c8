/**
 * For programs written for Ollama's copy of mlx-c: include it in the place of mlx/c/mlx.h. Its attention has one parameter
 * more, `force_fused`, which MLX decides by itself here.
 */
#ifndef MLXFFI_COMPAT_OLLAMA_H
#define MLXFFI_COMPAT_OLLAMA_H

#include "mlx/c/mlx.h"

/* The macro hides the function of its name, which its own text still calls. */
#define mlx_fast_scaled_dot_product_attention(res, queries, keys, values, scale, mask_mode, mask_arr, sinks, force_fused, s) \
  ((void)(force_fused),                                                                                                   \
   mlx_fast_scaled_dot_product_attention(res, queries, keys, values, scale, mask_mode, mask_arr, sinks, s))

#endif /* MLXFFI_COMPAT_OLLAMA_H */
