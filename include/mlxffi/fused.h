#ifndef MLXFFI_FUSED_H
#define MLXFFI_FUSED_H

#include <stdbool.h>

#include "mlx/c/array.h"
#include "mlx/c/optional.h"
#include "mlx/c/stream.h"

/**
 * Parts of a transformer's layers, forward and backward as one kernel each on a CPU.
 *
 * The kernels take float32, float16 and bfloat16, compute in float32, spread the work over threads (see
 * mlxffi/losses.h), and read arrays of any strides. On another device, and for arguments that no kernel takes, the
 * result is that of MLX's operations. All of it can be differentiated, more than once, in both modes, and works under
 * vmap, compile and checkpoint.
 *
 * Each function puts its result in `res`, which the caller owns, and returns 0, or 1 after an error: shapes or dtypes do
 * not fit.
 */

#ifdef __cplusplus
extern "C" {
#endif

/**
 * x / sqrt(mean(x^2) + eps) along the last axis, times `weight`: mlx_fast_rms_norm().
 *
 * `weight`: as many numbers as the last axis has, or an empty handle.
 */
int mlxffi_rms_norm(mlx_array *res, const mlx_array x, const mlx_array weight /* may be null */, float eps, const mlx_stream s);

/**
 * Pairs of the first `dims` features of x [..., positions, features], turned by scale * position / base^(2 i / dims)
 * radians: mlx_fast_rope_dynamic().
 *
 * `traditional`: whether neighbours are a pair, not features `dims` / 2 apart.
 * `offset`: the first position, an integer, or one for each element of the first axis.
 * `freqs`: radians in the place of base^(2 i / dims), or an empty handle.
 */
int mlxffi_rope(
    mlx_array *res,
    const mlx_array x,
    int dims,
    bool traditional,
    mlx_optional_float base,
    float scale,
    const mlx_array offset,
    const mlx_array freqs /* may be null */,
    const mlx_stream s);

/**
 * softmax(scale q k^T + mask) v: mlx_fast_scaled_dot_product_attention().
 *
 * `queries`: [batch, heads, positions, features]; `keys`, `values`: of as many heads, or of a divisor of that.
 * `causal`: whether a query sees the keys up to its own position alone; the last query sees all.
 * `mask`: booleans (true is seen) or numbers to add, which can be broadcast to [batch, heads, positions of queries,
 * positions of keys], or an empty handle.
 */
int mlxffi_attention(
    mlx_array *res,
    const mlx_array queries,
    const mlx_array keys,
    const mlx_array values,
    float scale,
    bool causal,
    const mlx_array mask /* may be null */,
    const mlx_stream s);

/** silu(gate) * up, where silu(x) = x / (1 + exp(-x)); of one shape and dtype. */
int mlxffi_swiglu(mlx_array *res, const mlx_array gate, const mlx_array up, const mlx_stream s);

/** gelu(gate) * up, where gelu(x) = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2; of one shape and dtype. */
int mlxffi_geglu(mlx_array *res, const mlx_array gate, const mlx_array up, const mlx_stream s);

/**
 * x weight^T + scale (x a) b, a linear layer with a low-rank addition.
 *
 * `x`: [..., in]; `weight`: [out, in], of the dtype of x; `a`: [in, rank]; `b`: [rank, out], of that dtype or, beside
 * half precision, float32.
 */
int mlxffi_lora_linear(
    mlx_array *res,
    const mlx_array x,
    const mlx_array weight,
    const mlx_array a,
    const mlx_array b,
    float scale,
    const mlx_stream s);

#ifdef __cplusplus
}
#endif

#endif /* MLXFFI_FUSED_H */
