"""The optimizers in float64 numpy, one array at a time: written from the papers' formulas, for tests to compare with.

Each is a function of (gradient, parameter, memory, step, learning rate, options) that gives the new parameter and keeps
what it needs in the memory, a dict that is empty at first. Steps count from 1.
"""

import numpy as np


def sgd(g, w, memory, t, lr, momentum=0.0, weight_decay=0.0, dampening=0.0, nesterov=False):
    g = g + weight_decay * w
    v = memory["v"] = momentum * memory.get("v", 0) + (1 - dampening) * g if momentum else g
    return w - lr * (g + momentum * v if nesterov else v)


def rmsprop(g, w, memory, t, lr, alpha=0.99, eps=1e-8):
    v = memory["v"] = alpha * memory.get("v", 0) + (1 - alpha) * g**2
    return w - lr * g / (np.sqrt(v) + eps)


def adagrad(g, w, memory, t, lr, eps=1e-8):
    v = memory["v"] = memory.get("v", 0) + g**2
    return w - lr * g / (np.sqrt(v) + eps)


def adadelta(g, w, memory, t, lr, rho=0.9, eps=1e-6):
    v = memory["v"] = rho * memory.get("v", 0) + (1 - rho) * g**2
    d = np.sqrt((memory.get("u", 0) + eps) / (v + eps)) * g
    memory["u"] = rho * memory.get("u", 0) + (1 - rho) * d**2
    return w - lr * d


def adam(g, w, memory, t, lr, betas=(0.9, 0.999), eps=1e-8, bias_correction=False):
    m = memory["m"] = betas[0] * memory.get("m", 0) + (1 - betas[0]) * g
    v = memory["v"] = betas[1] * memory.get("v", 0) + (1 - betas[1]) * g**2
    if bias_correction:
        m, v = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
    return w - lr * m / (np.sqrt(v) + eps)


def adamw(g, w, memory, t, lr, weight_decay=0.01, **options):
    return adam(g, w * (1 - lr * weight_decay), memory, t, lr, **options)


def adamax(g, w, memory, t, lr, betas=(0.9, 0.999), eps=1e-8):
    m = memory["m"] = betas[0] * memory.get("m", 0) + (1 - betas[0]) * g
    v = memory["v"] = np.maximum(betas[1] * memory.get("v", 0), abs(g))
    return w - lr * m / (v + eps)


def lion(g, w, memory, t, lr, betas=(0.9, 0.99), weight_decay=0.0):
    m = memory.get("m", 0)
    memory["m"] = betas[1] * m + (1 - betas[1]) * g
    return (1 - lr * weight_decay) * w - lr * np.sign(betas[0] * m + (1 - betas[0]) * g)


def adafactor(
    g, w, memory, t, lr=None, eps=(1e-30, 1e-3), clip_threshold=1.0, decay_rate=-0.8, beta_1=None, weight_decay=0.0,
    scale_parameter=True, relative_step=True, warmup_init=False,
):  # fmt: skip
    if relative_step:
        lr = min(1e-6 * t if warmup_init else 1e-2, t**-0.5)
    if scale_parameter:
        lr = lr * max(eps[1], np.sqrt(np.mean(w**2)))
    u = g / np.sqrt(_mean_square(g**2 + eps[0], memory, 1 - t**decay_rate))
    u = lr * u / max(1.0, np.sqrt(np.mean(u**2)) / clip_threshold)
    if beta_1 is not None:
        u = memory["mean"] = beta_1 * memory.get("mean", 0) + (1 - beta_1) * u
    return w * (1 - weight_decay * lr) - u


def _mean_square(squares, memory, kept):
    """The mean of squares, or the product of its means over rows and over columns where it is a matrix."""
    if squares.ndim < 2:
        memory["v"] = kept * memory.get("v", 0) + (1 - kept) * squares
        return memory["v"]
    rows = memory["rows"] = kept * memory.get("rows", 0) + (1 - kept) * squares.mean(-1)
    columns = memory["columns"] = kept * memory.get("columns", 0) + (1 - kept) * squares.mean(-2)
    return rows[..., :, None] * columns[..., None, :] / rows.mean(-1)[..., None, None]


def muon(g, w, memory, t, lr, momentum=0.95, weight_decay=0.01, nesterov=True, ns_steps=5):
    g = g + weight_decay * w
    v = memory["v"] = momentum * memory.get("v", 0) + (1 - momentum) * g
    update = (1 - momentum) * g + momentum * v if nesterov else v
    if w.ndim < 2:
        return w - lr * update
    matrix = update.reshape(w.shape[0], -1)
    left, values, right = np.linalg.svd(matrix / (np.linalg.norm(matrix) + 1e-7), full_matrices=False)
    for _ in range(ns_steps):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return w - lr * max(1, w.shape[-2] / w.shape[-1]) ** 0.5 * ((left * values) @ right).reshape(w.shape)
