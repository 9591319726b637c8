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

#ifdef __cplusplus
}
#endif

#endif /* MLXFFI_LOSSES_H */
