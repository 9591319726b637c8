"""Fourier transforms and linear algebra."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .operation import Calls
from .program import REFERENCE, Case
from .tensors import Array, F, quiet

NORMS: Any = ("backward", "ortho", "forward")
Ints = Sequence[int]


def _one(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, n, axis, norm: function(x, n if n > 0 else None, axis, NORMS[norm])


def _many(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, sizes, axes, norm: function(x, list(sizes) or None, list(axes), NORMS[norm])


def stft(
    x: Array,
    size: int,
    hop: int | None,
    width: int | None,
    window: Array | None,
    center: bool,
    mode: str,
    norm: int,
    one: bool | None,
) -> Array:
    hop, window = hop or size // 4, np.ones(width or size) if window is None else window
    before = (size - len(window)) // 2
    window = np.pad(window, (before, size - len(window) - before))
    if center:
        x = np.pad(x, (size // 2, size // 2), mode=mode)  # type: ignore[call-overload]
    frames = np.stack([x[i : i + size] * window for i in range(0, len(x) - size + 1, hop)])
    transform = np.fft.fft if one is False else np.fft.rfft
    return np.asarray(transform(frames, norm=NORMS[norm]).T)


def istft(
    x: Array,
    size: int | None,
    hop: int | None,
    width: int | None,
    window: Array | None,
    center: bool,
    norm: int,
    one: bool | None,
    length: int | None,
) -> Array:
    size = size or 2 * (x.shape[0] - 1)
    hop, window = hop or size // 4, np.ones(width or size) if window is None else window
    frames = np.fft.irfft(x.T, size, norm=NORMS[norm]) * window
    total, weight = np.zeros(size + hop * (len(frames) - 1)), np.zeros(size + hop * (len(frames) - 1))
    for i, frame in enumerate(frames):
        total[i * hop : i * hop + size] += frame
        weight[i * hop : i * hop + size] += window**2
    made = total / np.where(weight > 1e-10, weight, 1)
    made = made[size // 2 : -(size // 2) if length is None else None] if center else made
    return made if length is None else np.pad(made[:length], (0, max(0, length - len(made))))


def lu_factor(a: Array) -> list[Array]:
    """Gaussian elimination with the largest of each column as pivot."""
    a, pivots = a.astype(np.float64), []
    for i in range(min(a.shape)):
        pivots.append(i + int(np.argmax(np.abs(a[i:, i]))))
        a[[i, pivots[-1]]] = a[[pivots[-1], i]]
        a[i + 1 :, i] /= a[i, i]
        a[i + 1 :, i + 1 :] -= np.outer(a[i + 1 :, i], a[i, i + 1 :])
    return [a, np.array(pivots, np.uint32)]


def lu(a: Array) -> list[Array]:
    packed, pivots = lu_factor(a)
    rows = list(range(len(a)))
    for i, pivot in enumerate(pivots):
        rows[i], rows[pivot] = rows[pivot], rows[i]
    places = np.argsort(rows).astype(np.uint32)
    return [places, np.tril(packed, -1) + np.eye(len(a)), np.triu(packed)]


def norm(x: Array, order: Any, axes: Ints | None, keepdims: bool) -> Array:
    return np.asarray(
        np.linalg.norm(
            x,
            {"f": "fro"}.get(order, order),
            None if axes is None else tuple(axes) if len(axes) > 1 else axes[0],
            keepdims,
        )
    )


def norm_l2(x: Array, axes: Ints | None, keepdims: bool) -> Array:
    return np.asarray(np.sqrt(np.sum(np.abs(x) ** 2, None if axes is None else tuple(axes), keepdims=keepdims)))


def inverse(a: Array) -> Array:
    """Of any precision, which numpy's is not: Gauss and Jordan, with the largest of each column as pivot."""
    if a.ndim > 2:
        return np.stack([inverse(each) for each in a])
    size = len(a)
    both = np.concatenate([a, np.eye(size, dtype=a.dtype)], 1)
    for i in range(size):
        pivot = i + int(np.argmax(np.abs(both[i:, i])))
        both[[i, pivot]] = both[[pivot, i]]
        both[i] /= both[i, i]
        for j in range(size):
            both[j] -= both[j, i] * both[i] if i != j else 0
    return both[:, size:]


def determinant(a: Array) -> Array:
    """Along the first row."""
    if len(a) == 1:
        return np.asarray(a[0, 0])
    minors = [np.delete(a[1:], i, 1) for i in range(len(a))]
    return np.asarray(sum((-1) ** i * a[0, i] * determinant(minor) for i, minor in enumerate(minors)))


def triangle(a: Array, upper: bool) -> Array:
    return np.triu(a) if upper else np.tril(a)


def cholesky(a: Array, upper: bool) -> Array:
    lower = np.linalg.cholesky(a)
    return lower.T if upper else lower


def cholesky_inverse(a: Array, upper: bool) -> Array:
    factor = triangle(a, upper)
    return np.linalg.inv(factor.T @ factor if upper else factor @ factor.T)


def cross(a: Array, b: Array, axis: int) -> Array:
    a, b = (np.moveaxis(each, axis, -1) for each in (a, b))
    a, b = (np.pad(each, [(0, 0)] * (each.ndim - 1) + [(0, 3 - each.shape[-1])]) for each in (a, b))
    return np.moveaxis(np.cross(a, b), -1, axis)


EXACT: dict[str, Callable[..., Any]] = {
    f"mlx_fft_{name}": _one(getattr(np.fft, name)) for name in ("fft", "ifft", "rfft", "irfft")
}
EXACT |= {
    f"mlx_fft_{name}": _many(getattr(np.fft, name))
    for name in ("fft2", "ifft2", "fftn", "ifftn", "rfft2", "irfft2", "rfftn", "irfftn")
}
EXACT |= {
    "mlx_fft_fftfreq": np.fft.fftfreq,
    "mlx_fft_rfftfreq": np.fft.rfftfreq,
    "mlx_fft_fftshift": lambda x, axes: np.fft.fftshift(x, tuple(axes)),
    "mlx_fft_ifftshift": lambda x, axes: np.fft.ifftshift(x, tuple(axes)),
    "mlx_fft_stft": stft,
    "mlx_fft_istft": istft,
    "mlx_linalg_cholesky": cholesky,
    "mlx_linalg_cholesky_inv": cholesky_inverse,
    "mlx_linalg_cross": cross,
    "mlx_linalg_det": determinant,
    "mlx_linalg_slogdet": lambda a: list(np.linalg.slogdet(a)),
    "mlx_linalg_eigvals": lambda a: np.linalg.eigvals(a).astype(np.complex128),
    "mlx_linalg_eigvalsh": np.linalg.eigvalsh,
    "mlx_linalg_eig": lambda a: [each.astype(np.complex128) for each in np.linalg.eig(a)],
    "mlx_linalg_eigh": lambda a, triangle: list(np.linalg.eigh(a, triangle)),
    "mlx_linalg_inv": inverse,
    "mlx_linalg_pinv": np.linalg.pinv,
    "mlx_linalg_tri_inv": lambda a, upper: np.linalg.inv(triangle(a, upper)),
    "mlx_linalg_solve": lambda a, b: inverse(a) @ b,
    "mlx_linalg_solve_triangular": lambda a, b, upper: np.linalg.solve(triangle(a, upper), b),
    "mlx_linalg_lu": lu,
    "mlx_linalg_lu_factor": lu_factor,
    "mlx_linalg_norm": norm,
    "mlx_linalg_norm_matrix": norm,
    "mlx_linalg_norm_l2": norm_l2,
    "mlx_linalg_qr": lambda a: list(np.linalg.qr(a)),
    "mlx_linalg_svd": lambda a, vectors: list(np.linalg.svd(a)) if vectors else np.linalg.svd(a, compute_uv=False),
}


def _quiet(function: Callable[..., Any]) -> Callable[..., Any]:
    def called(*args: Any) -> Any:
        result = function(*args)
        return [quiet(np.asarray(each)) for each in result] if isinstance(result, list) else quiet(np.asarray(result))

    return called


REFERENCE |= {name: _quiet(function) for name, function in EXACT.items()}


def cases() -> list[Case]:
    calls = Calls()
    _fourier(calls)
    _matrices(calls)
    _norms(calls)
    _up_to_signs(calls)
    return calls.cases


def _fourier(calls: Calls) -> None:
    line, square = F(3, 8, dtype="complex64"), F(2, 4, 6, dtype="complex64")
    for name in ("fft", "ifft", "irfft"):
        for kind in range(3):
            calls.add(f"mlx_fft_{name}", line, 8, -1, kind)
        calls.add(f"mlx_fft_{name}", line, 6, 1, 0)
        calls.add(f"mlx_fft_{name}", line, 4, 0, 0)
    calls.add("mlx_fft_rfft", F(3, 8), 8, -1, 0)
    calls.add("mlx_fft_rfft", F(3, 5), 8, -1, 1)
    for name in ("fft2", "ifft2", "fftn", "ifftn", "irfft2", "irfftn"):
        calls.add(f"mlx_fft_{name}", square, [4, 6], [1, 2], 0)
        calls.add(f"mlx_fft_{name}", square, [2, 4], [0, 2], 2)
    for name in ("rfft2", "rfftn"):
        calls.add(f"mlx_fft_{name}", F(2, 4, 6), [4, 6], [1, 2], 0)
    for name in ("fftfreq", "rfftfreq"):
        calls.add(f"mlx_fft_{name}", 7, 0.5)
    for name in ("fftshift", "ifftshift"):
        calls.add(f"mlx_fft_{name}", F(4, 5), [1])
    window = F(8, low=0.25, high=1, salt=1)
    calls.add("mlx_fft_stft", F(24), 8, None, None, window, True, "reflect", 0, None)
    calls.add("mlx_fft_stft", F(24), 8, 4, 6, None, False, "constant", 0, None)
    spectrum = stft(F(24).astype(np.float64), 8, None, None, window, True, "reflect", 0, None).astype(np.complex64)
    calls.add("mlx_fft_istft", spectrum, None, None, None, window, True, 0, None, None)
    calls.add("mlx_fft_istft", spectrum, 8, 2, None, window, True, 0, None, 20)


def matrix(*shape: int, salt: int = 0) -> Array:
    """A matrix that is far from singular."""
    made = F(*shape, low=-0.5, high=0.5, salt=salt)
    made[..., range(min(shape[-2:])), range(min(shape[-2:]))] += 2
    return made


def _matrices(calls: Calls) -> None:
    a = matrix(3, 3)
    symmetric = (a + a.T).astype(np.float32)
    for upper in (False, True):
        calls.add("mlx_linalg_cholesky", symmetric, upper)
        calls.add("mlx_linalg_cholesky_inv", a, upper)
        calls.add("mlx_linalg_tri_inv", a, upper)
        calls.add("mlx_linalg_solve_triangular", a, F(3, 2), upper)
    calls.add("mlx_linalg_cross", F(2, 3), F(2, 3, salt=1), 1)
    calls.add("mlx_linalg_cross", F(2, 4), F(3, 4, salt=1), 0)
    for name in ("det", "inv", "pinv", "lu", "lu_factor"):
        gives = {"lu": 3, "lu_factor": 2}.get(name)
        calls.add(f"mlx_linalg_{name}", matrix(3, 3, salt=1)[::-1].copy() if gives else a, gives=gives)
    calls.add("mlx_linalg_inv", matrix(2, 3, 3))
    calls.add("mlx_linalg_pinv", matrix(2, 4))
    calls.add("mlx_linalg_slogdet", np.stack([a, -a]), gives=2)
    calls.add("mlx_linalg_solve", a, F(3))
    calls.add("mlx_linalg_solve", matrix(2, 3, 3), F(2, 3, 2))
    calls.add("mlx_linalg_eigvalsh", symmetric, "L")
    calls.add("mlx_linalg_svd", matrix(3, 4), False, gives=1)
    calls.refused("mlx_linalg_inv", F(2, 3))
    calls.refused("mlx_linalg_inv", np.zeros((2, 2), np.float32))
    calls.refused("mlx_linalg_cholesky", -np.eye(2, dtype=np.float32), False)
    calls.refused("mlx_linalg_solve", np.zeros((2, 2), np.float32), F(2))


def _norms(calls: Calls) -> None:
    x, v = F(3, 4), F(6)
    for order in (0.0, 1.0, 2.0, 3.0, "inf", "-inf"):
        calls.add("mlx_linalg_norm", v, order, [0], False)
    for order in (1.0, -1.0, "inf", 2.0):
        calls.add("mlx_linalg_norm", x, order, None, False)
    calls.add("mlx_linalg_norm", x, 2.0, [1], True)
    for name in ("fro", "nuc"):
        calls.add("mlx_linalg_norm_matrix", x, name, [0, 1], False)
    calls.add("mlx_linalg_norm_l2", F(2, 3, 2), None, False)
    calls.add("mlx_linalg_norm_l2", x, [1], True)


# --- vectors that are right with either sign ---


def _up_to_signs(calls: Calls) -> None:
    symmetric = np.array([[3, 1], [1, 2]], np.float32)
    w, v = np.linalg.eigh(symmetric.astype(np.float64))
    _allowed(calls, "mlx_linalg_eigh", [symmetric, "L"], [[w, v * s] for s in _signs()])
    skew = np.array([[2, 1], [0, -1]], np.float32)
    w, v = (each.astype(np.complex128) for each in np.linalg.eig(skew.astype(np.float64)))
    orders = [[w[::step], v[:, ::step] * s] for step in (1, -1) for s in _signs()]
    _allowed(calls, "mlx_linalg_eig", [skew], orders)
    _allowed(calls, "mlx_linalg_eigvals", [skew], [[w], [w[::-1]]])
    q, r = np.linalg.qr(symmetric.astype(np.float64))
    _allowed(calls, "mlx_linalg_qr", [symmetric], [[q * s, r * s[:, None]] for s in _signs()])
    u, d, vt = np.linalg.svd(symmetric.astype(np.float64))
    _allowed(calls, "mlx_linalg_svd", [symmetric, True], [[u * s, d, vt * s[:, None]] for s in _signs()])


def _signs() -> list[Array]:
    return [np.array(pair, np.float64) for pair in itertools.product((1, -1), repeat=2)]


def _allowed(calls: Calls, name: str, args: list[Any], lists: list[list[Array]]) -> None:
    known = [
        [quiet(each).astype(np.complex64 if each.dtype.kind == "c" else np.float32) for each in right]
        for right in lists
    ]
    calls.add(name, *args, gives=len(known[0]), outcome="allowed", known=known)
