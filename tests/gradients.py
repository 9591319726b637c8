"""Every differentiable operation with a point at which to check its derivatives.

A key is an operation's name, with its module's where that is not ops.h, and maybe a case behind a colon. A value is a
function over arrays and the points; `normal`, `positive` and their like draw these where the operation is smooth.
"""

import functools

import numpy as np
from helpers import TOLERANCE

import mlxffi as m
from mlxffi import fast, fft, linalg, random

_rng = np.random.default_rng(3)


# --- points ---


def normal(*shape):
    return _rng.normal(size=shape)


def positive(*shape):
    return _rng.uniform(0.4, 1.6, shape)


def unit(*shape):
    return _rng.uniform(-0.8, 0.8, shape)


def nonzero(*shape):
    return positive(*shape) * _rng.choice([-1, 1], shape)


def between_integers(*shape):
    return _rng.integers(-3, 3, shape) + _rng.uniform(0.1, 0.4, shape)


def distinct(*shape):
    return _rng.permutation(np.linspace(-2, 2, int(np.prod(shape)))).reshape(shape)


def waves(*shape):
    return normal(*shape) + 1j * normal(*shape)


def matrix(n):
    """A well conditioned matrix."""
    return normal(n, n) * 0.4 + np.diag(_rng.permutation(np.arange(2, n + 2)))


# --- functions that keep a point where the operation is defined ---


def symmetric(function):
    return lambda a: function(m.add(a, m.transpose(a)))


def gram(function):
    return lambda a: function(m.add(m.matmul(a, m.transpose(a)), m.eye(3, 3, 0, "float64")))


def float32(function):
    """For operations that know no float64."""

    def cast(*arrays):
        return function(*[m.astype(array, "float32") for array in arrays])

    cast.dtype = "float32"
    return cast


def squares_of_vectors(values_and_vectors):
    """Eigenvectors have no sign of their own."""
    values, vectors = values_and_vectors
    return [values, m.square(m.abs(vectors))]


def quantized(rows=4, columns=64, batch=()):
    """The packed weight of a quantized matrix, and points for its scales and biases."""
    weight = _rng.integers(0, 2**32, (*batch, rows, columns // 8), dtype=np.uint32)
    groups = (*batch, rows, columns // 32)
    return m.Array(weight.tolist(), "uint32"), positive(*groups), normal(*groups)


PACKED, SCALES, BIASES = quantized()
PACKED_STACK, SCALES_STACK, BIASES_STACK = quantized(batch=(2,))
MASK = m.Array([[True, False, True], [False, False, True]], "bool")
HEADS = [normal(1, 4, 3, 4), normal(1, 2, 5, 4), normal(1, 2, 5, 4)]
DELTA = [normal(1, 2, 1, 2), normal(1, 2, 1, 2), normal(1, 2, 2, 2), unit(1, 2, 2) * 0.5 + 0.5, positive(1, 2, 2)]


def _points(point, *names):
    return {name: (getattr(m, name), point(2, 3)) for name in names}


def _reductions(name, *arguments, point=normal):
    """An operation over all axes, one and several."""
    return {
        name: (lambda a: getattr(m, name)(a), point(2, 3)),
        f"{name}_axis": (lambda a: getattr(m, f"{name}_axis")(a, 1, *arguments), point(2, 3)),
        f"{name}_axes": (lambda a: getattr(m, f"{name}_axes")(a, [0, 2], *arguments), point(2, 3, 2)),
    }


def _scatters(name, size=(2, 1, 3)):
    """A scatter over one axis and over a list of axes; the updates hit no place twice."""
    single, several = getattr(m, f"{name}_single"), getattr(m, name)
    return {
        f"{name}_single": (lambda a, u: single(a, [2, 0], u, 0), distinct(4, 3), distinct(*size) + 0.11),
        name: (lambda a, u: several(a, [[2, 0], [1, 2]], u, [0, 1]), distinct(4, 3), distinct(2, 1, 1) + 0.11),
    }


def _slice_update(name):
    return lambda a, u: getattr(m, name)(a, u, [0, 1], [4, 3], [2, 1])


UNARY = {
    **_points(nonzero, "abs", "reciprocal", "sign"),
    **_points(unit, "arccos", "arcsin", "arctanh", "erfinv", "tan"),
    **_points(positive, "log", "log10", "log1p", "log2", "rsqrt", "sqrt"),
    **_points(between_integers, "ceil", "floor", "round", "trunc"),
    **_points(waves, "conjugate", "imag", "real"),
    **_points(
        normal, "arcsinh", "arctan", "atleast_1d", "atleast_2d", "atleast_3d", "contiguous", "copy", "cos", "cosh",
        "degrees", "erf", "exp", "expm1", "flip", "matrix_transpose", "negative", "positive", "radians", "sigmoid",
        "sin", "sinh", "square", "squeeze", "tanh", "transpose", "tril", "triu", "unstack",
    ),
    "arccosh": (m.arccosh, positive(2, 3) + 1),
    "abs:complex": (m.abs, waves(2, 3)),
    "exp:complex": (m.exp, waves(2, 3)),
    "sin:complex": (m.sin, waves(2, 3)),
    "sqrt:complex": (m.sqrt, waves(2, 3)),
    "nan_to_num": (float32(m.nan_to_num), normal(2, 3)),
}  # fmt: skip

BINARY = {
    "add": (m.add, normal(2, 3), normal(3)),
    "arctan2": (m.arctan2, nonzero(2, 3), nonzero(3)),
    "clip": (m.clip, distinct(3, 4), normal(1) * 0.1 - 1, normal(1) * 0.1 + 1),
    "divide": (m.divide, normal(2, 3), nonzero(3)),
    "divide:complex": (m.divide, waves(2, 3), waves(3)),
    "divmod": (m.divmod, between_integers(2, 3), np.array([1.0, 2.0, 4.0])),
    "floor_divide": (m.floor_divide, between_integers(2, 3), np.array([1.0, 2.0, 4.0])),
    "inner": (m.inner, normal(2, 3), normal(4, 3)),
    "kron": (m.kron, normal(2, 2), normal(2, 3)),
    "logaddexp": (m.logaddexp, normal(2, 3), normal(3)),
    "matmul": (m.matmul, normal(2, 2, 3), normal(3, 4)),
    "matmul:vectors": (m.matmul, normal(3), normal(3)),
    "maximum": (m.maximum, distinct(2, 3), distinct(3) + 0.2),
    "minimum": (m.minimum, distinct(2, 3), distinct(3) + 0.2),
    "multiply": (m.multiply, normal(2, 3), normal(3)),
    "multiply:complex": (m.multiply, waves(2, 3), waves(3)),
    "outer": (m.outer, normal(2), normal(3)),
    "power": (m.power, positive(2, 3), normal(3)),
    "power:base 0": (lambda a: m.power(a, 2.0), np.zeros((2, 3))),
    "remainder": (m.remainder, between_integers(2, 3), np.array([1.0, 2.0, 4.0])),
    "subtract": (m.subtract, normal(2, 3), normal(3)),
    "tensordot": (lambda a, b: m.tensordot(a, b, [0, 1], [1, 0]), normal(2, 3, 2), normal(3, 2)),
    "tensordot_axis": (lambda a, b: m.tensordot_axis(a, b, 2), normal(2, 3), normal(2, 3)),
    "vecdot": (lambda a, b: m.vecdot(a, b, -1), normal(2, 3), normal(2, 3)),
    "vecdot:complex": (lambda a, b: m.vecdot(a, b, -1), waves(2, 3), waves(2, 3)),
    "where": (functools.partial(m.where, MASK), normal(2, 3), normal(3)),
    "addmm": (lambda c, a, b: m.addmm(c, a, b, 0.5, 2.0), normal(2, 4), normal(2, 3), normal(3, 4)),
    "block_masked_mm": (
        float32(lambda a, b, out, left, right: m.block_masked_mm(a, b, 32, out, left, right)),
        normal(2, 33), normal(33, 2), positive(1, 1), positive(1, 2), positive(2, 1),
    ),
    "einsum": (lambda a, b: m.einsum("ij,kj->ik", [a, b]), normal(2, 3), normal(4, 3)),
    "gather_mm": (float32(lambda a, b: m.gather_mm(a, b, [1, 0, 1], [0, 1, 1])), normal(2, 2, 3), normal(2, 3, 2)),
    "segmented_mm": (lambda a, b: m.segmented_mm(a, b, [[0, 2], [2, 5]]), normal(2, 5), normal(5, 3)),
}  # fmt: skip

REDUCTIONS = {
    **_reductions("logsumexp"),
    **_reductions("max", point=distinct),
    **_reductions("mean"),
    **_reductions("min", point=distinct),
    **_reductions("minmax", point=distinct),
    **_reductions("prod", point=nonzero),
    **_reductions("softmax"),
    **_reductions("std"),
    **_reductions("sum"),
    **_reductions("var"),
    "prod:zero": (m.prod, np.array([2.0, 0.0, 3.0])),
    "cummax": (lambda a: m.cummax(a, 1), distinct(2, 4)),
    "cummin": (lambda a: m.cummin(a, 1), distinct(2, 4)),
    "cumprod": (lambda a: m.cumprod(a, 1), nonzero(2, 4)),
    "cumprod_dtype": (lambda a: m.cumprod_dtype(a, 1), nonzero(2, 4)),
    "cumsum": (lambda a: m.cumsum(a, 1), normal(2, 4)),
    "cumsum:reverse": (lambda a: m.cumsum(a, 1, True, False), normal(2, 4)),
    "cumsum_dtype": (lambda a: m.cumsum_dtype(a, 1), normal(2, 4)),
    "logcumsumexp": (lambda a: m.logcumsumexp(a, 1), normal(2, 4)),
    "median": (lambda a: m.median(a, [0, 1]), distinct(2, 3)),
    "diff": (lambda a: m.diff(a, 2, 1), normal(2, 4)),
    "trace": (lambda a: m.trace(a, 0, 0, 1, "float64"), normal(3, 3)),
    "partition": (lambda a: m.sort(m.partition(a, 2)), distinct(2, 3)),
    "partition_axis": (lambda a: m.sort_axis(m.partition_axis(a, 2, 1), 1), distinct(2, 4)),
    "sort": (m.sort, distinct(2, 3)),
    "sort_axis": (lambda a: m.sort_axis(a, 0), distinct(3, 2)),
    "topk": (lambda a: m.sort(m.topk(a, 2)), distinct(2, 3)),
    "topk_axis": (lambda a: m.sort_axis(m.topk_axis(a, 2, 1), 1), distinct(2, 4)),
    "unique": (lambda a: m.unique(a, 6, False, False, False)[0], distinct(2, 3)),
}

SHAPES = {
    "as_strided": (lambda a: m.as_strided(a, [2, 3], [1, 2], 1), normal(2, 4)),
    "astype": (lambda a: m.astype(a, "float64"), normal(2, 3)),
    "broadcast_arrays": (lambda a, b: m.broadcast_arrays([a, b]), normal(2, 1), normal(3)),
    "broadcast_to": (lambda a: m.broadcast_to(a, [2, 2, 3]), normal(2, 1)),
    "concatenate": (lambda a, b: m.concatenate([a, b]), normal(2, 3), normal(1, 3)),
    "concatenate_axis": (lambda a, b: m.concatenate_axis([a, b], 1), normal(2, 3), normal(2, 1)),
    "depends": (lambda a, b: m.depends([a], [b]), normal(2, 3), normal(2)),
    "diag": (m.diag, normal(3)),
    "diag:matrix": (lambda a: m.diag(a, 1), normal(3, 3)),
    "diagonal": (lambda a: m.diagonal(a, 1), normal(3, 4)),
    "expand_dims": (lambda a: m.expand_dims(a, 1), normal(2, 3)),
    "expand_dims_axes": (lambda a: m.expand_dims_axes(a, [0, 2]), normal(2, 3)),
    "flatten": (lambda a: m.flatten(a, 0, -1), normal(2, 3)),
    "flip_axes": (lambda a: m.flip_axes(a, [0, 1]), normal(2, 3)),
    "flip_axis": (lambda a: m.flip_axis(a, 1), normal(2, 3)),
    "full": (lambda v: m.full([2, 3], v, "float64"), normal(3)),
    "full_like": (lambda a, v: m.full_like(a, v, "float64"), normal(2, 3), normal(3)),
    "hadamard_transform": (float32(m.hadamard_transform), normal(2, 4)),
    "meshgrid": (lambda a, b: m.meshgrid([a, b]), normal(2), normal(3)),
    "moveaxis": (lambda a: m.moveaxis(a, 0, 2), normal(2, 3, 2)),
    "pad": (lambda a: m.pad(a, [0], [1], [2], 1.5, "constant"), normal(2, 3)),
    "pad:edge": (lambda a: m.pad(a, [0], [1], [2], 0.0, "edge"), normal(2, 3)),
    "pad:reflect": (lambda a: m.pad(a, [0], [1], [2], 0.0, "reflect"), normal(3, 3)),
    "pad_symmetric": (lambda a: m.pad_symmetric(a, 1, 0.0, "constant"), normal(2, 3)),
    "repeat": (lambda a: m.repeat(a, 2), normal(2, 3)),
    "repeat_axis": (lambda a: m.repeat_axis(a, 2, 1), normal(2, 3)),
    "reshape": (lambda a: m.reshape(a, [3, -1]), normal(2, 3)),
    "roll": (lambda a: m.roll(a, 2), normal(2, 3)),
    "roll_axes": (lambda a: m.roll_axes(a, [1, 2], [0, 1]), normal(2, 3)),
    "roll_axis": (lambda a: m.roll_axis(a, 1, 1), normal(2, 3)),
    "slice": (lambda a: m.slice(a, [3, 0], [0, 3], [-2, 2]), normal(4, 3)),
    "split": (lambda a: m.split(a, 2, 0), normal(4, 3)),
    "split_sections": (lambda a: m.split_sections(a, [1, 3], 0), normal(4, 3)),
    "squeeze_axes": (lambda a: m.squeeze_axes(a, [0, 2]), normal(1, 3, 1)),
    "squeeze_axis": (lambda a: m.squeeze_axis(a, 0), normal(1, 3, 1)),
    "stack": (lambda a, b: m.stack([a, b]), normal(2, 3), normal(2, 3)),
    "stack_axis": (lambda a, b: m.stack_axis([a, b], -1), normal(2, 3), normal(2, 3)),
    "swapaxes": (lambda a: m.swapaxes(a, 0, 2), normal(2, 3, 2)),
    "tile": (lambda a: m.tile(a, [2, 1, 2]), normal(2, 3)),
    "transpose_axes": (lambda a: m.transpose_axes(a, [2, 0, 1]), normal(2, 3, 2)),
    "unflatten": (lambda a: m.unflatten(a, 1, [2, 3]), normal(2, 6)),
    "unstack_axis": (lambda a: m.unstack_axis(a, 1), normal(2, 3)),
}

INDEXING = {
    "gather": (lambda a: m.gather(a, [[2, 0], [1, 0]], [0, 1], [1, 2]), normal(4, 3)),
    "gather_single": (lambda a: m.gather_single(a, [2, 0, 2], 0, [2, 3]), normal(4, 3)),
    "take": (lambda a: m.take(a, [5, 1, 5]), normal(2, 3)),
    "take_along_axis": (lambda a: m.take_along_axis(a, [[2, 0], [1, 1]], 1), normal(2, 3)),
    "take_axis": (lambda a: m.take_axis(a, [2, 0, 2], 1), normal(2, 3)),
    "put_along_axis": (lambda a, v: m.put_along_axis(a, [[2, 0], [1, 0]], v, 1), normal(2, 3), normal(2, 2)),
    "masked_scatter": (lambda a, v: m.masked_scatter(a, MASK, v), normal(2, 3), normal(3)),
    **_scatters("scatter"),
    **_scatters("scatter_add"),
    **_scatters("scatter_max"),
    **_scatters("scatter_min"),
    **_scatters("scatter_prod"),
    "scatter_add_axis": (lambda a, v: m.scatter_add_axis(a, [[2, 2], [1, 0]], v, 1), normal(2, 3), normal(2, 2)),
    "slice_dynamic": (lambda a: m.slice_dynamic(a, [1], [0], [2, 3]), normal(4, 3)),
    "slice_update": (_slice_update("slice_update"), normal(4, 3), normal(2, 2)),
    "slice_update_add": (_slice_update("slice_update_add"), normal(4, 3), normal(2, 2)),
    "slice_update_dynamic": (lambda a, u: m.slice_update_dynamic(a, u, [1], [0]), normal(4, 3), normal(2, 3)),
    "slice_update_max": (_slice_update("slice_update_max"), distinct(4, 3), distinct(2, 2) + 0.1),
    "slice_update_min": (_slice_update("slice_update_min"), distinct(4, 3), distinct(2, 2) + 0.1),
    "slice_update_prod": (_slice_update("slice_update_prod"), nonzero(4, 3), nonzero(2, 2)),
}

CONVOLUTIONS = {
    "conv1d": (float32(lambda x, w: m.conv1d(x, w, 2, 1)), normal(2, 6, 4), normal(2, 3, 4)),
    "conv1d:groups": (float32(lambda x, w: m.conv1d(x, w, 1, 1, 1, 2)), normal(2, 6, 4), normal(2, 3, 2)),
    "conv2d": (float32(lambda x, w: m.conv2d(x, w, 1, 2, 1, 0)), normal(1, 4, 5, 2), normal(3, 2, 3, 2)),
    "conv3d": (float32(m.conv3d), normal(1, 3, 3, 3, 2), normal(2, 2, 2, 2, 2)),
    "conv_general": (
        float32(lambda x, w: m.conv_general(x, w, 1, 2, 1, 2, 2, 1, True)), normal(1, 5, 2), normal(2, 3, 2)
    ),
    "conv_transpose1d": (float32(lambda x, w: m.conv_transpose1d(x, w, 2, 1, 1, 1)), normal(1, 4, 2), normal(3, 3, 2)),
    "conv_transpose2d": (float32(m.conv_transpose2d), normal(1, 3, 3, 2), normal(2, 2, 2, 2)),
    "conv_transpose3d": (float32(m.conv_transpose3d), normal(1, 2, 2, 2, 2), normal(2, 2, 2, 2, 2)),
}  # fmt: skip

QUANTIZED = {
    "dequantize": (float32(lambda s, b: m.dequantize(PACKED, s, b, 32, 4)), SCALES, BIASES),
    "quantized_matmul": (
        float32(lambda x, s, b: m.quantized_matmul(x, PACKED, s, b, True, 32, 4)), normal(2, 64) / 64, SCALES, BIASES
    ),
    "gather_qmm_global_scale": (
        float32(lambda x, s, b: m.gather_qmm_global_scale(x, PACKED_STACK, s, b, None, [1, 0], True, 32, 4)),
        normal(2, 1, 64) / 64, SCALES_STACK, BIASES_STACK,
    ),
    "gather_qmm": (
        float32(lambda x, s, b: m.gather_qmm(x, PACKED_STACK, s, b, None, [1, 0], True, 32, 4)),
        normal(2, 1, 64) / 64, SCALES_STACK, BIASES_STACK,
    ),
}  # fmt: skip

LINALG = {
    "linalg.cholesky": (gram(linalg.cholesky), normal(3, 3)),
    "linalg.cholesky_inv": (lambda a: linalg.cholesky_inv(m.tril(a)), matrix(3)),
    "linalg.cross": (lambda a, b: linalg.cross(a, b, 1), normal(2, 3), normal(2, 3)),
    "linalg.det": (linalg.det, matrix(3)),
    "linalg.eig": (lambda a: squares_of_vectors(linalg.eig(a)), matrix(3)),
    "linalg.eigh": (symmetric(lambda a: squares_of_vectors(linalg.eigh(a))), matrix(3)),
    "linalg.eigvals": (linalg.eigvals, matrix(3)),
    "linalg.eigvalsh": (symmetric(linalg.eigvalsh), matrix(3) + np.diag([0.0, 3.0, 6.0])),
    "linalg.inv": (linalg.inv, matrix(3)),
    "linalg.lu": (lambda a: linalg.lu(a)[1:], matrix(3)),
    "linalg.lu_factor": (lambda a: linalg.lu_factor(a)[0], matrix(3)),
    "linalg.norm": (lambda a: linalg.norm(a, 3.0), nonzero(4)),
    "linalg.norm_l2": (linalg.norm_l2, normal(2, 3)),
    "linalg.norm_matrix": (lambda a: linalg.norm_matrix(a, "fro"), normal(2, 3)),
    "linalg.pinv": (linalg.pinv, normal(3, 2)),
    "linalg.qr": (linalg.qr, matrix(3)),
    "linalg.slogdet": (lambda a: linalg.slogdet(a)[1], matrix(3)),
    "linalg.solve": (linalg.solve, matrix(3), normal(3, 2)),
    "linalg.solve_triangular": (lambda a, b: linalg.solve_triangular(m.tril(a), b), matrix(3), normal(3, 2)),
    "linalg.svd": (lambda a: linalg.svd(a, False), matrix(3)),
    "linalg.svd:vectors": (lambda a: [m.square(part) for part in linalg.svd(a)], matrix(3)),
    "linalg.tri_inv": (lambda a: linalg.tri_inv(m.tril(a)), matrix(3)),
}

FFT = {
    "fft.fft": (lambda a: fft.fft(a, 4, -1), waves(2, 5)),
    "fft.fft2": (lambda a: fft.fft2(a, [2, 4], [0, 1]), waves(2, 4)),
    "fft.fftn": (lambda a: fft.fftn(a, [2, 4], [0, 1], "ortho"), waves(2, 4)),
    "fft.fftshift": (lambda a: fft.fftshift(a, [0, 1]), normal(2, 3)),
    "fft.ifft": (lambda a: fft.ifft(a, 4, -1), waves(2, 4)),
    "fft.ifft2": (lambda a: fft.ifft2(a, [2, 4], [0, 1]), waves(2, 4)),
    "fft.ifftn": (lambda a: fft.ifftn(a, [2, 4], [0, 1]), waves(2, 4)),
    "fft.ifftshift": (lambda a: fft.ifftshift(a, [0, 1]), normal(2, 3)),
    "fft.irfft": (lambda a: fft.irfft(a, 4, -1), waves(2, 3)),
    "fft.irfft2": (lambda a: fft.irfft2(a, [2, 4], [0, 1]), waves(2, 3)),
    "fft.irfftn": (lambda a: fft.irfftn(a, [2, 4], [0, 1]), waves(2, 3)),
    "fft.rfft": (lambda a: fft.rfft(a, 4, -1), normal(2, 4)),
    "fft.rfft2": (lambda a: fft.rfft2(a, [2, 4], [0, 1]), normal(2, 4)),
    "fft.rfftn": (lambda a: fft.rfftn(a, [2, 4], [0, 1]), normal(2, 4)),
    "fft.stft": (lambda a: fft.stft(a, 4, 2, None, None, True, "reflect"), normal(12)),
    "fft.istft": (lambda a: fft.istft(a, 4, 2), waves(3, 5)),
}

FAST = {
    "fast.layer_norm": (lambda x, w, b: fast.layer_norm(x, w, b, 1e-5), normal(2, 4), positive(4), normal(4)),
    "fast.rms_norm": (lambda x, w: fast.rms_norm(x, w, 1e-5), normal(2, 4), positive(4)),
    "fast.rope": (lambda x: fast.rope(x, 4, False, 100.0, 1.0, 2), normal(1, 3, 6)),
    "fast.rope:traditional": (lambda x: fast.rope(x, 4, True, 100.0, 1.0, 2), normal(1, 3, 6)),
    "fast.rope_dynamic": (lambda x: fast.rope_dynamic(x, 4, False, 100.0, 1.0, 2), normal(1, 3, 6)),
    "fast.scaled_dot_product_attention": (
        lambda q, k, v: fast.scaled_dot_product_attention(q, k, v, 0.5, "causal"), *HEADS
    ),
    "fast.scaled_dot_product_attention_fused": (
        lambda q, k, v: fast.scaled_dot_product_attention_fused(q, k, v, 0.5, "causal"), *HEADS
    ),
    "fast.cross_entropy": (lambda x: fast.cross_entropy(x, [2, 0]), normal(2, 4)),
    "fast.gated_delta_update": (fast.gated_delta_update, *DELTA),
}  # fmt: skip

RANDOM = {
    "random.normal_broadcast": (
        float32(lambda mean, scale: random.normal_broadcast([2, 3], "float32", mean, scale, random.key(5))),
        normal(3), positive(2, 1),
    ),
    "random.permutation": (lambda a: random.permutation(a, 0, random.key(5)), normal(4, 2)),
    "random.uniform": (
        float32(lambda low, high: random.uniform(low, high, [2, 3], "float32", random.key(5))), normal(3), normal(2, 1)
    ),
}  # fmt: skip

CASES = {
    **UNARY, **BINARY, **REDUCTIONS, **SHAPES, **INDEXING, **CONVOLUTIONS, **QUANTIZED, **LINALG, **FFT, **FAST,
    **RANDOM,
}  # fmt: skip


def function(name):
    """The function of a case, from a list of Arrays to a list of Arrays."""
    operation = CASES[name][0]

    def call(inputs):
        result = operation(*inputs)
        return list(result) if isinstance(result, (list, tuple)) else [result]

    call.__name__ = name
    return call


def tolerance(name):
    """The relative error to which a case computes."""
    return TOLERANCE[getattr(CASES[name][0], "dtype", "float64")]


# --- what is not checked ---

_INTEGERS = "its result is an index, a truth value or a count"
_BITS = "works on the bits of integers"
_CONSTANT = "its result does not depend on a value that can be differentiated"
_ROUNDS = "rounds to a few bits"
_SAMPLES = "draws random numbers whose parameters are not arrays or pass no gradient"
_NAMES = {
    _INTEGERS: (
        "all all_axes all_axis allclose any any_axes any_axis argmax argmax_axis argmin argmin_axis argpartition "
        "argpartition_axis argsort argsort_axis array_equal count_nonzero count_nonzero_axes count_nonzero_axis equal "
        "greater greater_equal isclose isfinite isinf isnan isneginf isposinf less less_equal logical_and logical_not "
        "logical_or logical_xor not_equal searchsorted"
    ),
    _BITS: "bitwise_and bitwise_invert bitwise_or bitwise_xor left_shift right_shift view",
    _CONSTANT: (
        "arange bartlett blackman eye fft.fftfreq fft.rfftfreq hamming hanning identity linspace linspace_endpoint "
        "number_of_elements ones ones_like ones_like_dtype stop_gradient tri zeros zeros_like zeros_like_dtype"
    ),
    _ROUNDS: "from_fp8 gather_qqmm qqmm quantize to_fp8",
    _SAMPLES: (
        "random.bernoulli random.bits random.categorical random.categorical_num_samples random.categorical_shape "
        "random.gumbel random.key random.laplace random.multivariate_normal random.normal random.permutation_arange "
        "random.randint random.seed random.split random.split_num random.truncated_normal"
    ),
}
NOT_DIFFERENTIABLE = {name: reason for reason, names in _NAMES.items() for name in names.split()}

# What has no derivative and says so: the chains of modes that fail, the message, and the cases. "rev fwd" is forward
# mode over reverse mode.
_ALL = ("fwd", "rev", "fwd fwd", "fwd rev", "rev fwd", "rev rev")
_FORWARD = ("fwd", "fwd fwd", "fwd rev", "rev fwd")
_SECOND = ("fwd fwd", "fwd rev", "rev fwd", "rev rev")
_FAULTS = [
    (_ALL, "Not implemented for Eig.", "linalg.eig linalg.eigvals"),
    (_ALL, "Not implemented for LUF", "linalg.lu linalg.lu_factor"),
    (_FORWARD, "[gather_qmm] packed matrices have no tangents", "gather_qmm gather_qmm_global_scale"),
    (("rev rev",), "Cannot unflatten", "gather_qmm gather_qmm_global_scale"),
    (_SECOND, "[scatter_prod] has first derivatives alone", "scatter_prod_single scatter_prod"),
]
FAULTS = {
    (name, tuple(path.split())): text for paths, text, names in _FAULTS for name in names.split() for path in paths
}
