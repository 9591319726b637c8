"""Parts of transformer layers and their gradients in float64 numpy, from their definitions."""

import numpy as np

GELU = np.sqrt(8 / np.pi)


def rms_norm(x, weight, eps):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * weight


def rms_norm_gradients(x, weight, eps, g):
    scale = 1 / np.sqrt((x**2).mean(-1, keepdims=True) + eps)
    of_x = g * weight * scale - x * scale**3 * (g * weight * x).mean(-1, keepdims=True)
    return of_x, (g * x * scale).reshape(-1, x.shape[-1]).sum(0)


def rope(x, dims, traditional=False, base=10000.0, scale=1.0, offset=0, freqs=None):
    """`offset` is an integer, or one for each element of axis 0."""
    first = np.reshape(offset, [-1] + [1] * (x.ndim - 2))
    positions = (first + np.arange(x.shape[-2])) * scale
    units = base ** (-np.arange(0, dims, 2) / dims) if freqs is None else 1 / freqs
    cos, sin = np.cos(positions[..., None] * units), np.sin(positions[..., None] * units)
    a, b = (slice(0, dims, 2), slice(1, dims, 2)) if traditional else (slice(dims // 2), slice(dims // 2, dims))
    turned = x.copy()
    turned[..., a] = x[..., a] * cos - x[..., b] * sin
    turned[..., b] = x[..., a] * sin + x[..., b] * cos
    return turned


def _sigmoid(x):
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def gate(kind, x):
    """The activation of a gated unit, and its derivative."""
    argument, slope = (x, 1) if kind == "swiglu" else (GELU * (x + 0.044715 * x**3), GELU * (1 + 3 * 0.044715 * x**2))
    s = _sigmoid(argument)
    return x * s, s + x * s * (1 - s) * slope


def seen(queries, keys, causal, mask):
    """What is added to scores, and which of them are hidden."""
    hidden = np.zeros((queries, keys), bool)
    if causal:
        hidden = np.arange(keys) > np.arange(queries)[:, None] + keys - queries
    if mask is not None and mask.dtype == bool:
        return 0, ~mask
    return (0 if mask is None else mask), hidden


def _probabilities(q, k, scale, causal, mask):
    added, hidden = seen(q.shape[2], k.shape[2], causal, mask)
    scores = np.where(hidden, np.finfo(np.float32).min, scale * q @ k.swapaxes(-1, -2) + added)
    p = np.exp(scores - scores.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True), np.broadcast_to(hidden, p.shape)


def attention(q, k, v, scale, causal=False, mask=None):
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat(group, 1), v.repeat(group, 1)
    return _probabilities(q, k, scale, causal, mask)[0] @ v


def attention_gradients(q, k, v, scale, causal, mask, g):
    group, shape = q.shape[1] // k.shape[1], (*k.shape[:2], -1, k.shape[2])
    wide_k, wide_v = k.repeat(group, 1), v.repeat(group, 1)
    p, hidden = _probabilities(q, wide_k, scale, causal, mask)
    of_p = g @ wide_v.swapaxes(-1, -2)
    of_scores = np.where(hidden, 0, p * (of_p - (of_p * p).sum(-1, keepdims=True))) * scale
    of_k, of_v = of_scores.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ g
    together = lambda wide: wide.reshape(*shape, wide.shape[-1]).sum(2)  # noqa: E731
    return of_scores @ wide_k, together(of_k), together(of_v)


def lora_linear(x, weight, a, b, scale):
    return x @ weight.T + scale * (x @ a) @ b


def lora_linear_gradients(x, weight, a, b, scale, g):
    rows, flat = g.reshape(-1, g.shape[-1]), x.reshape(-1, x.shape[-1])
    low = scale * rows @ b.T
    of_x = (rows @ weight + low @ a.T).reshape(x.shape)
    return of_x, rows.T @ flat, flat.T @ low, scale * (flat @ a).T @ rows
