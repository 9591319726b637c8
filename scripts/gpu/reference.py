"""The losses and their gradients in numpy's float64, by definition: what the GPU's are compared with.

Every function takes rows [n, V] and returns values [n] and the gradients of sum(cotangent * value).
"""

from __future__ import annotations

from typing import Any

import numpy as np

# Infinite logits meet each other in differences whose weight is 0.
quiet = np.errstate(invalid="ignore", divide="ignore")


@quiet
def cross_entropy(
    x: Any, targets: Any, cotangent: Any, weights: Any = None, ignore_index: int | None = None, smoothing: float = 0.0
) -> tuple[Any, Any]:
    """Values and the gradient of the logits."""
    log_p = _log_softmax(x)
    n, classes = x.shape
    factor = np.ones(n) if weights is None else np.asarray(weights, np.float64)
    counts = factor != 0
    if ignore_index is not None:
        counts &= targets != ignore_index
    factor = np.where(counts, factor, 0)
    places = np.where(counts, targets, 0)
    goal = np.full(x.shape, smoothing / classes)
    goal[np.arange(n), places] += 1 - smoothing
    values = -np.where(goal == 0, 0, goal * log_p).sum(1)
    scale = (cotangent * factor)[:, None]
    return np.where(counts, factor * values, 0), np.where(scale == 0, 0, scale * (np.exp(log_p) - goal))


@quiet
def kl(x: Any, y: Any, cotangent: Any, temperature: float) -> tuple[Any, Any, Any]:
    """Values of KL(p || q) and the gradients of the student's logits x and the teacher's y."""
    log_q, log_p = _log_softmax(x / temperature), _log_softmax(y / temperature)
    p = np.exp(log_p)
    values = _weighted(p, log_p - log_q).sum(1)
    scale = cotangent[:, None] / temperature
    return values, scale * (np.exp(log_q) - p), scale * _weighted(p, log_p - log_q - values[:, None])


@quiet
def js(x: Any, y: Any, cotangent: Any, temperature: float) -> tuple[Any, Any, Any]:
    """Values of JS(p, q) and the gradients of the student's logits x and the teacher's y."""
    log_q, log_p = _log_softmax(x / temperature), _log_softmax(y / temperature)
    q, p = np.exp(log_q), np.exp(log_p)
    middle = np.log((p + q) / 2)
    kl_q, kl_p = _weighted(q, log_q - middle).sum(1), _weighted(p, log_p - middle).sum(1)
    scale = cotangent[:, None] / (2 * temperature)
    dq = scale * _weighted(q, log_q - middle - kl_q[:, None])
    return (kl_q + kl_p) / 2, dq, scale * _weighted(p, log_p - middle - kl_p[:, None])


def _log_softmax(x: Any) -> Any:
    shifted = x - x.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def _weighted(probability: Any, x: Any) -> Any:
    """probability * x, where a probability of 0 gives 0 whatever x is."""
    return np.where(probability == 0, 0, probability * x)
