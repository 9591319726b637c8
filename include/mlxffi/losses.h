#ifndef MLXFFI_LOSSES_H
#define MLXFFI_LOSSES_H

#include <stdbool.h>

#include "mlx/c/array.h"
#include "mlx/c/optional.h"
#include "mlx/c/stream.h"

/**
 * Losses over logits, forward and backward as one kernel each.
 *
 * Logits are float32, float16, bfloat16 or (on a CPU) float64, of shape [..., classes]; any strides, and a batch may be
 * empty. Losses are float32, float64 for float64 logits; gradients have the dtype of the logits. All of it can be
 * differentiated, more than once, in both modes, and works under vmap, compile and checkpoint.
 *
 * A logit of -inf is a probability of 0, which contributes 0. A NaN or +inf makes the loss of its row NaN, and the
 * gradient of the row unless its cotangent is 0: rows that a mask takes out are not read.
 *
 * On a CPU the rows are spread over threads: MLXFFI_NUM_THREADS, if it is set, else as many as there are CPUs for this
 * process. The results do not depend on how many.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** What becomes of the losses of a batch. The mean of a batch of nothing, or of weights that add up to 0, is NaN. */
typedef enum mlxffi_reduction_ {
  MLXFFI_REDUCTION_NONE,
  MLXFFI_REDUCTION_SUM,
  MLXFFI_REDUCTION_MEAN
} mlxffi_reduction;

/**
 * Cross-entropy between targets, given as class indices, and the softmax of logits, in nats.
 *
 * loss = logsumexp(x) - (1 - label_smoothing) x[target] - label_smoothing mean(x). The mean is that of the positions
 * that count; with weights, sum(weight loss) / sum(weight).
 * `targets`: integers [...], each from 0 to classes - 1; what is not has a loss of NaN.
 * `weights`: real numbers [...], or an empty handle for 1 everywhere. A position whose weight is false or an integer 0
 * does not count, whatever its logits; floating point weights are multiplied with, and can be differentiated.
 * `ignore_index`: positions with this target do not count: their loss and gradient are 0.
 * `label_smoothing`: 0 to 1.
 * `res`: receives the result, [...] or a scalar; the caller owns it.
 * Returns 0, or 1 after an error: shapes or dtypes do not fit.
 */
int mlxffi_cross_entropy(
    mlx_array *res,
    const mlx_array logits,
    const mlx_array targets,
    const mlx_array weights /* may be null */,
    mlx_optional_int ignore_index,
    double label_smoothing,
    mlxffi_reduction reduction,
    const mlx_stream s);

/**
 * The Kullback-Leibler divergence KL(p || q) = sum(p (log p - log q)), in nats.
 *
 * q = softmax(logits_q / temperature) is the student's distribution, p = softmax(logits_p / temperature) the teacher's.
 * `logits_q`, `logits_p`: of the same shape and dtype.
 * `temperature`: finite and above 0.
 * `teacher_gradient`: whether logits_p get a gradient; without, it is 0.
 * `res`: receives the result, [...] or a scalar; the caller owns it.
 * Returns 0, or 1 after an error: shapes or dtypes do not fit.
 */
int mlxffi_kl_div_loss(
    mlx_array *res,
    const mlx_array logits_q,
    const mlx_array logits_p,
    double temperature,
    bool teacher_gradient,
    mlxffi_reduction reduction,
    const mlx_stream s);

/**
 * The Jensen-Shannon divergence (KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2, in nats: from 0 to log 2.
 *
 * The arguments are those of mlxffi_kl_div_loss().
 */
int mlxffi_js_div_loss(
    mlx_array *res,
    const mlx_array logits_q,
    const mlx_array logits_p,
    double temperature,
    bool teacher_gradient,
    mlxffi_reduction reduction,
    const mlx_stream s);

/**
 * An output layer: logits = hidden weight^T + bias, or soft_cap tanh(that / soft_cap).
 *
 * `weight`: floating point [classes, features]; or uint32, as mlx_quantize() packs it, with `scales` and, in mode
 * "affine", `biases`. A packed weight gets no gradient.
 * `scales`, `biases`, `bias` [classes]: may be empty handles.
 * `group_size`, `bits`, `mode`: of a packed weight; a NULL mode is "affine".
 * `soft_cap`: 0 for none.
 * The caller keeps the handles; what a loss needs of them it holds itself.
 */
typedef struct mlxffi_head_ {
  mlx_array weight;
  mlx_array scales;
  mlx_array biases;
  mlx_array bias;
  int group_size;
  int bits;
  const char *mode;
  double soft_cap;
} mlxffi_head;

/**
 * mlxffi_cross_entropy() of the logits of an output layer, which are made some rows at a time and never stored whole.
 *
 * `hidden`: floating point [..., features].
 * `z_loss`: 0 or more: z_loss logsumexp(logits)^2 is added to each loss that counts.
 * Where a function that calls it is being differentiated, the gradient of `hidden` is made from the same logits as the
 * losses; that of `weight`, if it is asked for, from logits that are made again.
 */
int mlxffi_linear_cross_entropy(
    mlx_array *res,
    const mlx_array hidden,
    const mlxffi_head *head,
    const mlx_array targets,
    const mlx_array weights /* may be null */,
    mlx_optional_int ignore_index,
    double label_smoothing,
    double z_loss,
    mlxffi_reduction reduction,
    const mlx_stream s);

/**
 * mlxffi_kl_div_loss() of the logits of a student's and a teacher's output layer, neither stored whole.
 *
 * `hidden_q`, `hidden_p`: floating point, of one shape but for the features.
 * `head_q`, `head_p`: with as many classes.
 */
int mlxffi_linear_kl_div_loss(
    mlx_array *res,
    const mlx_array hidden_q,
    const mlxffi_head *head_q,
    const mlx_array hidden_p,
    const mlxffi_head *head_p,
    double temperature,
    bool teacher_gradient,
    mlxffi_reduction reduction,
    const mlx_stream s);

/** mlxffi_js_div_loss() likewise. */
int mlxffi_linear_js_div_loss(
    mlx_array *res,
    const mlx_array hidden_q,
    const mlxffi_head *head_q,
    const mlx_array hidden_p,
    const mlxffi_head *head_p,
    double temperature,
    bool teacher_gradient,
    mlxffi_reduction reduction,
    const mlx_stream s);

#ifdef __cplusplus
}
#endif

#endif /* MLXFFI_LOSSES_H */
