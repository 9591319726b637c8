"""The losses and their gradients in float64 numpy, from their definitions, and points to compare at."""

import numpy as np

import mlxffi as m

WIDE = {"float16": "float32", "bfloat16": "float32", "float32": "float32", "float64": "float64"}
# Relative to the largest number of a row: float32 sums; gradients are rounded to the dtype of the logits.
LOSS_ERROR = {"float16": 2e-6, "bfloat16": 2e-6, "float32": 2e-6, "float64": 1e-13}
GRADIENT_ERROR = {"float16": 1e-3, "bfloat16": 8e-3, "float32": 3e-6, "float64": 1e-13}


# --- definitions ---


def log_softmax(x, temperature=1.0):
    with np.errstate(all="ignore"):
        x = (x - x.max(-1, keepdims=True)) / temperature
        return x - np.log(np.exp(x).sum(-1, keepdims=True))


def wanted(x, targets, smoothing):
    """The target distribution."""
    onehot = np.arange(x.shape[-1]) == targets[..., None]
    return (1 - smoothing) * onehot + smoothing / x.shape[-1]


def times(weight, value):
    """weight * value, and 0 where the weight is 0."""
    with np.errstate(all="ignore"):
        return np.where(weight == 0, 0, weight * value)


def cross_entropy(x, targets, smoothing=0.0):
    return -times(wanted(x, targets, smoothing), log_softmax(x)).sum(-1)


def cross_entropy_gradient(x, targets, cotangent, smoothing=0.0):
    return (np.exp(log_softmax(x)) - wanted(x, targets, smoothing)) * cotangent[..., None]


def kl(q, p, temperature=1.0):
    log_q, log_p = log_softmax(q, temperature), log_softmax(p, temperature)
    with np.errstate(all="ignore"):
        return times(np.exp(log_p), log_p - log_q).sum(-1)


def kl_gradients(q, p, cotangent, temperature=1.0):
    log_q, log_p = log_softmax(q, temperature), log_softmax(p, temperature)
    scale = cotangent[..., None] / temperature
    with np.errstate(all="ignore"):
        of_p = times(np.exp(log_p), log_p - log_q - kl(q, p, temperature)[..., None])
    return (np.exp(log_q) - np.exp(log_p)) * scale, of_p * scale


def log_middle(log_q, log_p):
    with np.errstate(all="ignore"):
        return np.logaddexp(log_q, log_p) - np.log(2)


def js(q, p, temperature=1.0):
    log_q, log_p = log_softmax(q, temperature), log_softmax(p, temperature)
    middle = log_middle(log_q, log_p)
    with np.errstate(all="ignore"):
        terms = times(np.exp(log_p), log_p - middle) + times(np.exp(log_q), log_q - middle)
    return terms.sum(-1) / 2


def js_gradients(q, p, cotangent, temperature=1.0):
    logs = log_softmax(q, temperature), log_softmax(p, temperature)
    middle, scale = log_middle(*logs), cotangent[..., None] / (2 * temperature)
    gradients = []
    for log in logs:
        with np.errstate(all="ignore"):
            mean = times(np.exp(log), log - middle).sum(-1, keepdims=True)
            gradients.append(times(np.exp(log), log - middle - mean) * scale)
    return tuple(gradients)


# --- points and comparisons ---


def array_of(values, dtype="float32"):
    """An Array of a dtype, and its values, rounded to it, as numpy's float64."""
    array = m.astype(m.Array(np.asarray(values, np.float64)), dtype, stream=CPU)
    return array, as_numpy(array)


def as_numpy(array):
    return np.array(m.astype(array, "float64", stream=CPU).tolist()).reshape(array.shape)


def require_close(found, expected, error):
    """Require equality up to an error relative to the largest finite number of each row, with inf and NaN in place."""
    found, expected = as_numpy(found), np.asarray(expected)
    assert found.shape == expected.shape
    finite = np.isfinite(expected)
    rows = np.abs(np.where(finite, expected, 0))
    size = rows.max(-1, keepdims=True, initial=0) if rows.ndim else rows
    np.testing.assert_array_equal(np.isfinite(found), finite)
    np.testing.assert_array_equal(found[~finite], expected[~finite])
    gap = np.abs(np.where(finite, found, 0) - np.where(finite, expected, 0))
    assert (gap <= error * (1 + size)).all(), f"off by {gap.max():.3g}, with numbers up to {rows.max():.3g}"


CPU = m.default_stream(m.Device("cpu"))
