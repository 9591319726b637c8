"""The operations that the sweep differentiates and maps: for each, calls with inputs at which it is smooth or special.

A case is a function of float64 arrays and the values that it takes. `point` says what is special about them; at a
`corner` the function has no derivative, and only that both modes agree is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import mlxffi.core as mx

Values = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Case:
    """One call of an operation: arrays in, one array out."""

    operation: str
    call: Callable[..., Any]
    inputs: tuple[Values, ...]
    point: str = ""
    corner: bool = False
    mapped_only: bool = False  # its results are truth values, indices or codes

    @property
    def label(self) -> str:
        shapes = ", ".join(f"{value.dtype.name}{list(value.shape)}" for value in self.inputs)
        return f"{self.operation}({shapes}){' at ' + self.point if self.point else ''}"


def normal(*shape: int, seed: int = 0) -> Values:
    """Numbers of both signs, none near 0 and no two alike."""
    rng = np.random.default_rng([seed, *shape])
    values = rng.normal(size=shape)
    return np.asarray(values + 0.1 * np.sign(values))


def positive(*shape: int, seed: int = 0) -> Values:
    return np.abs(normal(*shape, seed=seed)) + 0.2


def unit(*shape: int, seed: int = 0) -> Values:
    """Numbers inside -1 to 1."""
    return np.tanh(normal(*shape, seed=seed)) * 0.8


def complex_normal(*shape: int, seed: int = 0) -> Values:
    return (normal(*shape, seed=seed) + 1j * normal(*shape, seed=seed + 1)).astype(np.complex64)


def spd(n: int, seed: int = 0) -> Values:
    """A symmetric matrix whose eigenvalues are positive and apart."""
    q, _ = np.linalg.qr(normal(n, n, seed=seed))
    return np.asarray(q * (1.0 + np.arange(n)) @ q.T)


def indices(*values: Any) -> Any:
    return mx.array(np.array(values))


# --- functions of single numbers ---

ANYWHERE = """
abs arctan arcsinh cos cosh degrees erf exp expm1 floor ceil negative radians round sigmoid sign sin sinh square tan
tanh trunc
"""
POSITIVE = ["log", "log10", "log1p", "log2", "reciprocal", "rsqrt", "sqrt"]
INSIDE = ["arccos", "arcsin", "arctanh", "erfinv"]
COMPLEX = """
abs conjugate cos cosh exp imag log negative real reciprocal sign sin sinh sqrt square tan tanh arctan arcsin arccos
"""
PAIRS = ["add", "subtract", "multiply", "divide", "maximum", "minimum", "logaddexp", "arctan2", "remainder"]


def _numbers() -> Iterator[Case]:
    for name in ANYWHERE.split():
        yield Case(name, getattr(mx, name), (normal(2, 3),))
        yield Case(name, getattr(mx, name), (np.zeros((0, 3)),), "empty")
    for name in POSITIVE:
        yield Case(name, getattr(mx, name), (positive(2, 3),))
    for name in INSIDE:
        yield Case(name, getattr(mx, name), (unit(2, 3),))
    yield Case("arccosh", mx.arccosh, (positive(2, 3) + 1,))
    yield Case("nan_to_num", mx.nan_to_num, (normal(2, 3),))
    yield Case("clip", lambda a: mx.clip(a, -0.5, 0.5), (normal(2, 3),))
    for name in ["square", "sin", "exp", "tanh", "sigmoid"]:
        yield Case(name, getattr(mx, name), (np.array([0.0, -0.0]),), "0")
    for name in COMPLEX.split():
        yield Case(name, getattr(mx, name), (complex_normal(2, 3) * np.complex64(0.5),))
    for name in ["abs", "sign"]:
        yield Case(name, getattr(mx, name), (np.array([0.0, -0.0]),), "0", corner=True)


def _pairs() -> Iterator[Case]:
    for name in PAIRS:
        call = getattr(mx, name)
        yield Case(name, call, (normal(2, 3), normal(2, 3, seed=1)))
        yield Case(name, call, (normal(2, 3), normal(3, seed=1)))
        yield Case(name, call, (normal(3, 1), normal(seed=1)))
    for name in ["add", "subtract", "multiply", "divide"]:
        yield Case(name, getattr(mx, name), (complex_normal(2, 3), complex_normal(2, 3, seed=2)))
    for name in ["maximum", "minimum"]:
        yield Case(name, getattr(mx, name), (np.ones(3), np.array([1.0, 2.0, 1.0])), "ties", corner=True)
    yield Case("power", mx.power, (positive(2, 3), normal(2, 3, seed=1)))
    yield Case("power", mx.power, (complex_normal(2, 3), complex_normal(2, 3, seed=2) * np.complex64(0.5)))
    for exponent in (0.0, 1.0, 2.0, 3.0):
        yield Case(
            "power", lambda a, e=exponent: mx.power(a, e), (np.array([0.0, -0.0, -1.5]),), f"0 to the {exponent:g}"
        )
    yield Case("power", mx.power, (np.array([0.0, 0.0]), np.array([2.0, 3.0])), "0", corner=True)
    yield Case("divmod", lambda a, b: mx.divmod(a, b)[1], (normal(2, 3) * 3, normal(2, 3, seed=1)))
    yield Case("divmod", lambda a, b: mx.divmod(a, b)[0], (normal(2, 3) * 3, normal(2, 3, seed=1)))
    yield Case("floor_divide", mx.floor_divide, (normal(2, 3) * 3, normal(2, 3, seed=1)))
    yield Case(
        "where", lambda a, b: mx.where(indices([1, 0, 1]).astype(mx.bool_), a, b), (normal(2, 3), normal(3, seed=1))
    )


# --- reductions and scans ---


def _reductions() -> Iterator[Case]:
    for name in ["sum", "mean", "prod", "max", "min", "logsumexp", "var", "std", "median"]:
        call = getattr(mx, name)
        for axis in (None, 0, 1, -1, (0, 2)):
            if name == "median" and isinstance(axis, tuple):
                continue
            yield Case(name, lambda a, call=call, axis=axis: call(a, axis=axis), (normal(2, 3, 4),))
        yield Case(name, lambda a, call=call: call(a, axis=1, keepdims=True), (normal(2, 3),))
    for name in ["max", "min"]:
        yield Case(name, getattr(mx, name), (np.array([1.0, 1.0, 1.0]),), "ties", corner=True)
    yield Case("prod", lambda a: mx.prod(a, axis=1), (np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 3.0]]),), "0")
    yield Case("prod", lambda a: mx.prod(a, axis=1), (complex_normal(2, 3),))
    yield Case("sum", lambda a: mx.sum(a, axis=1), (complex_normal(2, 3),))
    yield Case("sum", mx.sum, (np.zeros((0, 3)),), "empty")
    yield Case("prod", mx.prod, (np.zeros((0, 3)),), "empty")
    yield Case("softmax", lambda a: mx.softmax(a, axis=-1), (normal(2, 3),))
    yield Case("softmax", lambda a: mx.softmax(a, axis=0), (normal(2, 3),))
    yield Case("softmax", lambda a: mx.softmax(a, axis=(0, 1)), (normal(2, 3),))
    yield from _scans()


def _scans() -> Iterator[Case]:
    for name in ["cumsum", "cumprod", "cummax", "cummin", "logcumsumexp"]:
        call = getattr(mx, name)
        for axis in (0, -1):
            for reverse in (False, True):
                for inclusive in (False, True):
                    how = {"axis": axis, "reverse": reverse, "inclusive": inclusive}
                    yield Case(name, partial(call, **how), (normal(3, 4),))
    yield Case("cumprod", lambda a: mx.cumprod(a, axis=0), (np.array([1.0, 0.0, 2.0, 0.0, 3.0]),), "0")
    yield Case("cumprod", lambda a: mx.cumprod(a, axis=0), (complex_normal(5),))
    yield Case("cumsum", lambda a: mx.cumsum(a, axis=0), (complex_normal(5),))
    yield Case("cummax", lambda a: mx.cummax(a, axis=0), (np.array([1.0, 1.0, 0.0]),), "ties", corner=True)


# --- shapes and order ---


Calls = dict[str, list[Callable[..., Any]]]


def _moves() -> Calls:
    return {
        "reshape": [lambda a: mx.reshape(a, (3, 8)), lambda a: mx.reshape(a, (-1,))],
        "transpose": [mx.transpose, lambda a: mx.transpose(a, (1, 2, 0))],
        "swapaxes": [lambda a: mx.swapaxes(a, 0, 2)],
        "moveaxis": [lambda a: mx.moveaxis(a, 0, -1)],
        "expand_dims": [lambda a: mx.expand_dims(a, (0, 2)), lambda a: mx.expand_dims(a, (1, -1))],
        "squeeze": [lambda a: mx.squeeze(mx.expand_dims(a, (0, 2)), (0, 2))],
        "flatten": [lambda a: mx.flatten(a, 1, 2)],
        "unflatten": [lambda a: mx.unflatten(a, 2, (2, 2))],
        "broadcast_to": [lambda a: mx.broadcast_to(a, (5, 2, 3, 4))],
        "repeat": [lambda a: mx.repeat(a, 2, axis=1)],
        "tile": [lambda a: mx.tile(a, (2, 1, 1))],
        "roll": [lambda a: mx.roll(a, 2, 1)],
        "flip": [lambda a: mx.flip(a, 1)],
        "atleast_1d": [mx.atleast_1d],
        "atleast_2d": [lambda a: mx.atleast_2d(a[0, 0])],
        "atleast_3d": [lambda a: mx.atleast_3d(a[0])],
        "broadcast_arrays": [lambda a: mx.broadcast_arrays(a[:, :1], a)[0]],
        "meshgrid": [lambda a: mx.meshgrid(a[0, 0], a[1, :, 0])[1]],
        "positive": [mx.positive],
        "full": [lambda a: mx.full((2, 3, 4), a[0])],
        "full_like": [lambda a: mx.full_like(a, a[0])],
        "split": [lambda a: mx.split(a, [1], axis=1)[1], lambda a: mx.split(a, 2, axis=2)[0]],
    }


def _selections() -> Calls:
    return {
        "tril": [mx.tril],
        "triu": [mx.triu],
        "diagonal": [lambda a: mx.diagonal(a, 1, 1, 2)],
        "trace": [lambda a: mx.trace(a, 0, 1, 2)],
        "diff": [lambda a: mx.diff(a, axis=1)],
        "sort": [lambda a: mx.sort(a, axis=1), lambda a: mx.sort(a, axis=-1)],
        "partition": [lambda a: mx.partition(a, 1, axis=-1)],
        "topk": [lambda a: mx.sort(mx.topk(a, 2, axis=-1), axis=-1)],
        "slice": [lambda a: a[1:, ::2, -3:], lambda a: a[:, ::-1]],
        "as_strided": [lambda a: mx.as_strided(a, (3, 2), (2, 1), 1)],
        "contiguous": [mx.contiguous],
        "astype": [lambda a: a.astype(mx.float64), lambda a: a.astype(mx.int32).astype(mx.float64)],
        "stop_gradient": [mx.stop_gradient],
        "pad": [lambda a: mx.pad(a, 1), lambda a: mx.pad(a, 1, mode="edge")],
        "depends": [lambda a: mx.depends(a, [a * 2])],
        "matrix_transpose": [mx.matrix_transpose],
        "minmax": [lambda a: mx.minmax(a)[0], lambda a: mx.minmax(a)[1]],
        "unstack": [lambda a: mx.unstack(a, axis=1)[1]],
        "diag": [lambda a: mx.diag(a[0, 0])],
    }


def _shapes() -> Iterator[Case]:
    a, b = normal(2, 3, 4), normal(2, 3, 4, seed=1)
    for name, forms in {**_moves(), **_selections()}.items():
        for call in forms:
            yield Case(name, call, (a,))
    yield Case("pad", lambda a, v: mx.pad(a, ((1, 0), (0, 2)), constant_values=v), (normal(2, 3), normal(seed=1)))
    yield Case("hadamard_transform", mx.hadamard_transform, (normal(2, 4).astype(np.float32),))
    yield Case("concatenate", lambda a, b: mx.concatenate([a, b], axis=1), (a, b))
    yield Case("stack", lambda a, b: mx.stack([a, b], axis=1), (a, b))
    yield Case("sort", lambda a: mx.sort(a, axis=0), (np.array([1.0, 1.0, 0.0]),), "ties", corner=True)


# --- indices ---


def _written(a: Any, key: Any, value: Any) -> Any:
    result = mx.array(a)
    result[key] = value
    return result


def _indices() -> Iterator[Case]:
    a, some, twice = normal(4, 3), [0, 2], [1, 3, 1]
    yield Case("take", lambda a: mx.take(a, indices(*twice), axis=0), (a,))
    yield Case("take", lambda a: a[indices(*twice), indices(0, 1, 0)], (a,))
    yield Case("take_along_axis", lambda a: mx.take_along_axis(a, indices(twice), axis=0), (a,))
    yield Case(
        "put_along_axis", lambda a, v: mx.put_along_axis(a, indices(some[:1] * 3), v, axis=0), (a, normal(1, 3, seed=1))
    )
    yield Case("slice_update", lambda a, v: _written(a, slice(1, 3), v), (a, normal(2, 3, seed=1)))
    yield Case("slice_update", lambda a, v: _written(a, 1, v), (a, normal(3, seed=1)))
    yield Case("slice_update", lambda a, v: _written(a, (slice(None, None, 2), 1), v), (a, normal(seed=1)))
    yield Case("slice_update", lambda a, v: mx.slice_update(a, v, indices(1, 0), (0, 1)), (a, normal(2, 2, seed=1)))
    yield Case("slice", lambda a: mx.slice(a, indices(1, 0), (0, 1), (2, 2)), (a,))
    yield Case("scatter", lambda a, v: _written(a, indices(*some), v), (a, normal(2, 3, seed=1)))
    yield Case("scatter", lambda a, v: _written(a, indices(*twice), v), (a, normal(3, 3, seed=1)), "repeated indices")
    yield Case(
        "scatter",
        lambda a, v: _written(a, (indices(*twice), indices(0, 1, 0)), v),
        (a, normal(3, seed=1)),
        "repeated indices",
    )
    for name in ["add", "subtract", "multiply", "divide", "maximum", "minimum"]:
        at = lambda a, v, i, name=name: getattr(a.at[i], name)(v)  # noqa: E731
        yield Case(
            f"at.{name}", lambda a, v, at=at: at(a, v, indices(*twice)), (a, normal(3, 3, seed=1)), "repeated indices"
        )
        yield Case(f"at.{name}", lambda a, v, at=at: at(a, v, slice(1, 3)), (a, normal(2, 3, seed=1)))
    yield Case("at.maximum", lambda a, v: a.at[indices(0, 0)].maximum(v), (np.ones(3), np.ones(2)), "ties", corner=True)
    yield Case(
        "at.multiply", lambda a, v: a.at[indices(0, 0)].multiply(v), (np.array([0.0, 1.0]), np.array([2.0, 3.0])), "0"
    )


# --- products ---


def _products() -> Iterator[Case]:
    yield Case("matmul", mx.matmul, (normal(2, 3), normal(3, 4, seed=1)))
    yield Case("matmul", mx.matmul, (normal(5, 2, 3), normal(3, 4, seed=1)))
    yield Case("matmul", mx.matmul, (normal(3), normal(5, 3, 4, seed=1)))
    yield Case("matmul", mx.matmul, (complex_normal(2, 3), complex_normal(3, 4, seed=1)))
    yield Case("addmm", lambda c, a, b: mx.addmm(c, a, b, 0.5, 2.0), (normal(2, 4), normal(2, 3), normal(3, 4, seed=1)))
    yield Case("addmm", lambda c, a, b: mx.addmm(c, a, b, 0.5, 2.0), (normal(4), normal(5, 2, 3), normal(3, 4, seed=1)))
    yield Case("inner", mx.inner, (normal(2, 3), normal(4, 3, seed=1)))
    yield Case("outer", mx.outer, (normal(2), normal(3, seed=1)))
    yield Case("kron", mx.kron, (normal(2, 2), normal(2, 3, seed=1)))
    yield Case("vecdot", mx.vecdot, (normal(2, 3), normal(2, 3, seed=1)))
    yield Case("tensordot", lambda a, b: mx.tensordot(a, b, 1), (normal(2, 3), normal(3, 4, seed=1)))
    yield Case("einsum", lambda a, b: mx.einsum("ij,kj->ik", a, b), (normal(2, 3), normal(4, 3, seed=1)))
    yield Case("linalg.cross", mx.linalg.cross, (normal(2, 3), normal(2, 3, seed=1)))
    yield Case("convolve", mx.convolve, (normal(5), normal(3, seed=1)))
    yield Case("conv1d", lambda a, w: mx.conv1d(a, w, padding=1), (normal(2, 5, 3), normal(4, 3, 3, seed=1)))
    yield Case("conv1d", lambda a, w: mx.conv1d(a, w, stride=2, groups=2), (normal(2, 6, 4), normal(4, 3, 2, seed=1)))
    yield Case(
        "conv2d", lambda a, w: mx.conv2d(a, w, padding=1, stride=2), (normal(1, 5, 5, 2), normal(3, 3, 3, 2, seed=1))
    )
    yield Case("conv2d", lambda a, w: mx.conv2d(a, w, dilation=2), (normal(1, 5, 5, 2), normal(3, 2, 2, 2, seed=1)))
    yield Case("conv3d", mx.conv3d, (normal(1, 3, 3, 3, 2), normal(2, 2, 2, 2, 2, seed=1)))
    yield Case("conv_transpose1d", mx.conv_transpose1d, (normal(2, 4, 3), normal(2, 3, 3, seed=1)))
    yield Case(
        "conv_general",
        lambda a, w: mx.conv_general(a, w, stride=2, padding=1, input_dilation=2),
        (normal(1, 5, 2), normal(3, 3, 2, seed=1)),
    )
    narrow = (normal(2, 6, 4).astype(np.float32), normal(4, 3, 2, seed=1).astype(np.float32))
    yield Case("conv1d", lambda a, w: mx.conv1d(a, w, stride=2, groups=2), narrow)
    plane = (normal(1, 5, 5, 2).astype(np.float32), normal(3, 3, 3, 2, seed=1).astype(np.float32))
    yield Case("conv2d", lambda a, w: mx.conv2d(a, w, padding=1, stride=2), plane)
    yield Case("conv_transpose2d", lambda a, w: mx.conv_transpose2d(a, w, stride=2), plane)
    yield from _narrow_products()


def _narrow_products() -> Iterator[Case]:
    """Products that MLX has for float32 alone."""
    a, b = normal(4, 64).astype(np.float32), normal(64, 32, seed=1).astype(np.float32)
    mask = mx.array([[True, False]])
    yield Case("block_masked_mm", lambda a, b: mx.block_masked_mm(a, b, 32, None, mask, None), (a, b))
    segments = indices([0, 16], [16, 64])
    yield Case("segmented_mm", lambda a, b: mx.segmented_mm(a, b, segments), (a, b))
    batches = (normal(3, 2, 4).astype(np.float32), normal(2, 4, 3, seed=1).astype(np.float32))
    yield Case("gather_mm", lambda a, b: mx.gather_mm(a, b, indices(0, 2, 0), indices(1, 1, 0)), batches)
    packed = mx.quantize(array32(normal(8, 64)), 32, 8)
    yield Case("quantized_matmul", lambda a: mx.quantized_matmul(a, *packed, group_size=32, bits=8), (a,))
    block = (normal(1, 2, 2, 2, 2).astype(np.float32), normal(3, 2, 2, 2, 2, seed=1).astype(np.float32))
    yield Case("conv_transpose3d", mx.conv_transpose3d, block)
    yield Case(
        "fast.cross_entropy", lambda x: mx.fast.cross_entropy(x, indices(1, 0)), (normal(2, 5).astype(np.float32),)
    )


def array32(values: Values) -> Any:
    return mx.array(values, dtype=mx.float32)


# --- Fourier transforms ---


def _fourier() -> Iterator[Case]:
    real, z = normal(3, 4).astype(np.float32), complex_normal(3, 4)
    for name in ["fft", "ifft", "fft2", "ifft2", "fftn", "ifftn"]:
        yield Case(f"fft.{name}", getattr(mx.fft, name), (z,))
    for name in ["rfft", "rfft2", "rfftn"]:
        yield Case(f"fft.{name}", getattr(mx.fft, name), (real,))
        yield Case(f"fft.{name}", getattr(mx.fft, name), (normal(3, 5).astype(np.float32),))
    for name in ["irfft", "irfft2", "irfftn"]:
        yield Case(f"fft.{name}", getattr(mx.fft, name), (z,))
    for n in (5, 6, 7):
        yield Case("fft.irfft", lambda a, n=n: mx.fft.irfft(a, n=n), (z,), f"{n} points")
    yield Case("fft.fftshift", mx.fft.fftshift, (real,))
    yield Case("fft.ifftshift", mx.fft.ifftshift, (real,))
    wave = normal(16).astype(np.float32)
    yield Case("fft.stft", lambda a: mx.fft.stft(a, 8), (wave,))
    yield Case("fft.istft", lambda a: mx.fft.istft(mx.fft.stft(a, 8)), (wave,))
    yield Case("abs of fft", lambda a: mx.abs(mx.fft.fft(a)), (real,))


# --- fused operations ---


def _fast() -> Iterator[Case]:
    yield Case("fast.rms_norm", lambda x, w: mx.fast.rms_norm(x, w, 1e-5), (normal(2, 4), normal(4, seed=1)))
    yield Case(
        "fast.layer_norm",
        lambda x, w, b: mx.fast.layer_norm(x, w, b, 1e-5),
        (normal(2, 4), normal(4, seed=1), normal(4, seed=2)),
    )
    rope = lambda x: mx.fast.rope(x, 4, traditional=False, base=100.0, scale=1.0, offset=1)  # noqa: E731
    yield Case("fast.rope", rope, (normal(1, 2, 3, 4),))
    attend = lambda q, k, v: mx.fast.scaled_dot_product_attention(q, k, v, scale=0.5)  # noqa: E731
    yield Case("fast.attention", attend, (normal(1, 2, 3, 4), normal(1, 2, 3, 4, seed=1), normal(1, 2, 3, 4, seed=2)))
    heads, steps = [normal(1, 2, 1, 3, seed=seed) for seed in range(3)], [normal(1, 2, 1, seed=seed) for seed in (3, 4)]
    yield Case("fast.gated_delta_update", lambda *inputs: mx.fast.gated_delta_update(*inputs)[0], (*heads, *steps))


# --- matrices ---


def _matrices() -> Iterator[Case]:
    a, general = spd(3), normal(3, 3) + 2 * np.eye(3)
    symmetric = lambda fn: lambda a: fn((a + mx.swapaxes(a, -1, -2)) / 2)  # noqa: E731
    linalg = mx.linalg
    yield Case("linalg.inv", linalg.inv, (general,))
    yield Case("linalg.inv", linalg.inv, (np.stack([general, a]),))
    yield Case("linalg.tri_inv", lambda a: linalg.tri_inv(mx.tril(a)), (a,))
    yield Case("linalg.solve", linalg.solve, (general, normal(3, 2, seed=1)))
    yield Case("linalg.solve", linalg.solve, (general, normal(3, seed=1)))
    yield Case(
        "linalg.solve_triangular", lambda a, b: linalg.solve_triangular(mx.tril(a), b), (a, normal(3, 2, seed=1))
    )
    yield Case(
        "linalg.solve_triangular",
        lambda a, b: linalg.solve_triangular(mx.triu(a), b, upper=True),
        (a, normal(3, 2, seed=1)),
    )
    yield Case("linalg.cholesky", symmetric(linalg.cholesky), (a,))
    yield Case("linalg.cholesky", symmetric(lambda a: linalg.cholesky(a, upper=True)), (a,))
    yield Case("linalg.cholesky_inv", lambda a: linalg.cholesky_inv(mx.tril(a)), (a,))
    yield Case("linalg.qr", lambda a: linalg.qr(a)[0], (general,))
    yield Case("linalg.qr", lambda a: linalg.qr(a)[1], (normal(4, 3),))
    yield Case("linalg.svd", lambda a: linalg.svd(a)[1], (normal(3, 3),))
    yield Case("linalg.svd", lambda a: linalg.svd(a, compute_uv=False), (normal(4, 3),))
    yield Case("linalg.svd", lambda a: mx.abs(linalg.svd(a)[0]), (normal(3, 3),))
    yield Case("linalg.eigh", symmetric(lambda a: linalg.eigh(a)[0]), (a,))
    yield Case("linalg.eigh", symmetric(lambda a: mx.abs(linalg.eigh(a)[1])), (a,))
    yield Case("linalg.eigvalsh", symmetric(linalg.eigvalsh), (a,))
    yield Case("linalg.pinv", linalg.pinv, (normal(4, 3),))
    yield Case("linalg.det", linalg.det, (general,))
    yield Case("linalg.slogdet", lambda a: linalg.slogdet(a)[1], (general,))
    yield Case("linalg.norm", linalg.norm, (normal(2, 3),))
    yield Case("linalg.norm", lambda a: linalg.norm(a, ord="nuc"), (normal(3, 3),))
    yield Case("linalg.norm", lambda a: linalg.norm(a, ord=1, axis=1), (normal(2, 3),))


def cases() -> list[Case]:
    """All of them, in an order that stays."""
    parts = (_numbers, _pairs, _reductions, _shapes, _indices, _products, _fourier, _fast, _matrices)
    return [case for part in parts for case in part()]
