#ifndef MLXFFI_FUSED_H
#define MLXFFI_FUSED_H

#include <stdbool.h>

#include "mlx/c/array.h"
#include "mlx/c/optional.h"
#include "mlx/c/stream.h"
#include "mlx/c/vector.h"

/**
 * Parts of a transformer's layers, forward and backward as one kernel each on a CPU, and of optimizers, as one kernel
 * each on a GPU.
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

/**
 * silu(gate) * up, where silu(x) = x / (1 + exp(-x)); of one shape and dtype.
 *
 * `up`: or an empty handle, where both are halves of the last axis of `gate`; that has kernels for GPUs as well.
 */
int mlxffi_swiglu(mlx_array *res, const mlx_array gate, const mlx_array up /* may be null */, const mlx_stream s);

/** The same with gelu(x) = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 in the place of silu. */
int mlxffi_geglu(mlx_array *res, const mlx_array gate, const mlx_array up /* may be null */, const mlx_stream s);

/**
 * Heads for attention out of one array: queries and keys normalized as mlxffi_rms_norm() does it, if there are norms, and
 * rotated, and values as they are. On GPUs it is one kernel forward and one backward, and one more for the gradients of
 * norms.
 *
 * `res`: queries [..., heads, D], keys and values [..., key_heads, D]; or queries alone, where `key_heads` is 0.
 * `x`: [..., (heads + 2 key_heads) D]: queries, keys and values of each head, one behind the other.
 * `cosines`, `sines`: [positions, D / 2] and [positions, 2, D / 2], the latter with the sign for the first and for the second
 * of a pair (i, i + D / 2); the rows of x follow those again and again.
 * `query_norm`, `key_norm`: [D] of the dtype of x, or empty handles; no norm of keys where there are none.
 */
int mlxffi_heads(
    mlx_vector_array *res,
    const mlx_array x,
    const mlx_array cosines,
    const mlx_array sines,
    const mlx_array query_norm /* may be null */,
    const mlx_array key_norm /* may be null */,
    int heads,
    int key_heads,
    float eps,
    const mlx_stream s);

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

/**
 * mlxffi_lora_linear() beside a packed weight: x w^T + scale (x a) b.
 *
 * `w`, `scales`, `biases`, `group_size`, `bits`, `mode`: as mlx_quantized_matmul() has them; the weight gets no gradient.
 * `a`, `b`: of the dtype of x or, beside half precision, float32.
 */
int mlxffi_lora_quantized_linear(
    mlx_array *res,
    const mlx_array x,
    const mlx_array w,
    const mlx_array scales,
    const mlx_array biases /* may be null */,
    const mlx_array a,
    const mlx_array b,
    float scale,
    mlx_optional_int group_size,
    mlx_optional_int bits,
    const char *mode,
    const mlx_stream s);

/**
 * A linear layer: x weight^T + bias + scale (x a) b. An empty handle stands for what it lacks.
 *
 * `weight`: [out, in]; or packed as mlx_quantize() does it, by `group_size`, `bits` and `mode` (NULL: "affine"), with
 * `scales` and, in affine mode, `biases`.
 * `bias`: [out]; `a` and `b`: [in, rank] and [rank, out].
 */
typedef struct mlxffi_linear_ {
  mlx_array weight;
  mlx_array scales;
  mlx_array biases;
  mlx_array bias;
  mlx_array a;
  mlx_array b;
  float scale;
  int group_size;
  int bits;
  const char *mode;
} mlxffi_linear;

/**
 * A block of a decoder of Llama's kind, of width C and with heads of D features: y = x + output(attention(norm(x))), and
 * y + down(silu(gate(norm(y))) * up(norm(y))), where the norms are mlxffi_rms_norm().
 *
 * `attention_norm`, `mlp_norm`: [C]; `query_norm`, `key_norm`: of each head, [D], or empty handles.
 * `query`: to `heads` heads; `key`, `value`: to `key_heads`, which divide them.
 * `rope_base`, `rope_scale`, `rope_freqs`, `rope_traditional`: of mlxffi_rope(), for all D features.
 */
typedef struct mlxffi_block_ {
  mlx_array attention_norm;
  mlx_array mlp_norm;
  mlx_array query_norm;
  mlx_array key_norm;
  mlxffi_linear query;
  mlxffi_linear key;
  mlxffi_linear value;
  mlxffi_linear output;
  mlxffi_linear gate;
  mlxffi_linear up;
  mlxffi_linear down;
  int heads;
  int key_heads;
  float eps;
  float attention_scale;
  float rope_base;
  float rope_scale;
  bool rope_traditional;
  mlx_array rope_freqs;
} mlxffi_block;

/**
 * A block for the next positions of a text whose keys and values are kept: for a few of them, as generation has, one
 * kernel on a CPU.
 *
 * `res`: the result [batch, positions, C], and keys and values with those of `x` from `first` on, in the memory of the
 * ones given where nobody else has a handle of these.
 * `x`: [batch, positions, C]; the weights have its dtype or are packed, `bias`, `a` and `b` may be float32.
 * `keys`, `values`: [batch, key_heads, room, D], of the dtype of x.
 * `first`: how many positions they hold, which is the position of the first row of x; there is room for those of x.
 * The caller keeps the handles of the block; the result holds what it needs of them.
 */
int mlxffi_decoder_block(
    mlx_vector_array *res,
    const mlx_array x,
    const mlxffi_block *block,
    const mlx_array keys,
    const mlx_array values,
    int first,
    const mlx_stream s);

/**
 * The same arrays, in the same memory, at which a GPU's host waits until no more than `ahead` of such places on the
 * stream are ahead of the GPU: memory is given back when the GPU has come to its last use, so it is what is ahead that
 * takes memory. Cotangents are paced likewise. On a CPU nothing waits.
 *
 * `arrays`: one or more, of any kind.
 * `ahead`: at least 1.
 */
int mlxffi_paced(mlx_vector_array *res, const mlx_vector_array arrays, int ahead, const mlx_stream s);

/**
 * A step of Adam or AdamW, computed in float32 (float64 for float64) and rounded once: with g = scale times the gradient,
 * m = beta_1 m + fresh_1 g; v = beta_2 v + fresh_2 g^2; w = kept w - rate m / (correction sqrt(v) + eps). On a GPU, one
 * kernel takes many arrays.
 *
 * `res`: the new parameters, behind them all m, and all v, each of its old dtype.
 * `parameters`, `gradients`, `m`, `v`: as many floating-point arrays each; those at one place of one shape, both moments of
 * one dtype.
 * `numbers`: [10], in this order: whether the step is taken (where it is 0, `res` has what was given), scale, rate, kept,
 * beta_1, fresh_1, beta_2, fresh_2, correction, eps.
 */
int mlxffi_adam(
    mlx_vector_array *res,
    const mlx_vector_array parameters,
    const mlx_vector_array gradients,
    const mlx_vector_array m,
    const mlx_vector_array v,
    const mlx_array numbers,
    const mlx_stream s);

/**
 * The sum of the squares of all numbers of floating-point arrays: [], float64 where one of them is, else float32. The order
 * of the terms is always the same. On a GPU, one kernel takes many arrays.
 */
int mlxffi_sum_of_squares(mlx_array *res, const mlx_vector_array arrays, const mlx_stream s);

#ifdef __cplusplus
}
#endif

#endif /* MLXFFI_FUSED_H */
