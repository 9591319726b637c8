"""Fourier transforms, as mlx.core.fft has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .._errors import ArgumentError, RangeError
from ._array import array
from ._binding import abi, operation
from ._device import StreamOrDevice
from ._marshal import integers, require_array, sizes
from .generated.fft import fftfreq as fftfreq
from .generated.fft import rfftfreq as rfftfreq

# By the number of the C enum.
NORMS = ("backward", "ortho", "forward")


def _norm(value: Any) -> int:
    if not isinstance(value, str):
        raise TypeError(f"norm: expected a str, got {type(value).__name__}")
    if value not in NORMS:
        raise ArgumentError(f"[fft] Invalid norm {value!r}, expected one of {', '.join(NORMS)}.")
    return NORMS.index(value)


def _size(a: array, axis: int, half: bool) -> int:
    """How many points a transform has along an axis; `half` says that the input is half of a symmetric one."""
    if not a.ndim:
        raise RangeError("[fft] expected an array with axes, got one of shape ().")
    if not -a.ndim <= axis < a.ndim:
        # Any number does: C refuses the axis.
        return 1
    size = a.shape[axis]
    return 2 * (size - 1) if half else size


def _along_one(
    function: Callable[..., array], a: Any, n: int | None, axis: int, norm: str, stream: Any, half: bool = False
) -> array:
    points = _size(require_array(a, "a"), axis, half) if n is None else n
    return function(a, points, axis, _norm(norm), stream)


def _along_several(
    function: Callable[..., array], a: Any, s: Any, axes: Any, norm: str, stream: Any, half: bool = False
) -> array:
    a, s = require_array(a, "a"), None if s is None else sizes(s)
    if axes is None and s is not None:
        raise ArgumentError("[fftn] `axes` should not be `None` if `s` is not `None`.")
    axes = list(range(-a.ndim, 0) if axes is None else sizes(axes))
    if s is None:
        s = [_size(a, axis, half and index == len(axes) - 1) for index, axis in enumerate(axes)]
    return function(a, s, axes, _norm(norm), stream)


@operation("fft_fft")
def fft(a: array, n: int | None = None, axis: int = -1, norm: str = "backward", stream: StreamOrDevice = None) -> array:
    """The discrete Fourier transform along an axis.

    Args:
      n: how many points: the input is cut or filled up with zeros; None takes its size.
      norm: "backward", "ortho" or "forward": which of the two directions is divided by n.
    """
    return _along_one(abi.fft_fft, a, n, axis, norm, stream)


@operation("fft_ifft")
def ifft(
    a: array, n: int | None = None, axis: int = -1, norm: str = "backward", stream: StreamOrDevice = None
) -> array:
    """The inverse of `fft`.

    Args:
      n: how many points: the input is cut or filled up with zeros; None takes its size.
      norm: "backward", "ortho" or "forward": which of the two directions is divided by n.
    """
    return _along_one(abi.fft_ifft, a, n, axis, norm, stream)


@operation("fft_fft2")
def fft2(
    a: array,
    s: tuple[int, ...] | None = None,
    axes: Sequence[int] | None = [-2, -1],
    norm: str = "backward",
    stream: StreamOrDevice = None,
) -> array:
    """The transform along two axes.

    Args:
      s: how many points along each axis; norm: both are as in `fft`.
    """
    return _along_several(abi.fft_fft2, a, s, axes, norm, stream)


@operation("fft_ifft2")
def ifft2(
    a: array,
    s: tuple[int, ...] | None = None,
    axes: Sequence[int] | None = [-2, -1],
    norm: str = "backward",
    stream: StreamOrDevice = None,
) -> array:
    """The inverse of `fft2`.

    Args:
      s: how many points along each axis; norm: both are as in `fft`.
    """
    return _along_several(abi.fft_ifft2, a, s, axes, norm, stream)


@operation("fft_fftn")
def fftn(
    a: array,
    s: tuple[int, ...] | None = None,
    axes: Sequence[int] | None = None,
    norm: str = "backward",
    stream: StreamOrDevice = None,
) -> array:
    """The transform along several axes; `axes` None is all of them.

    Args:
      s: how many points along each axis; norm: both are as in `fft`.
    """
    return _along_several(abi.fft_fftn, a, s, axes, norm, stream)


@operation("fft_ifftn")
def ifftn(
    a: array,
    s: tuple[int, ...] | None = None,
    axes: Sequence[int] | None = None,
    norm: str = "backward",
    stream: StreamOrDevice = None,
) -> array:
    """The inverse of `fftn`.

    Args:
      s: how many points along each axis; norm: both are as in `fft`.
    """
    return _along_several(abi.fft_ifftn, a, s, axes, norm, stream)


@operation("fft_rfft")
def rfft(
    a: array, n: int | None = None, axis: int = -1, norm: str = "backward", stream: StreamOrDevice = None
) -> array:
    """The transform of real numbers along an axis, up to the middle of its symmetric result.

    Args:
      n: how many points: the input is cut or filled up with zeros; None takes its size.
      norm: "backward", "ortho" or "forward": which of the two directions is divided by n.
    """
    return _along_one(abi.fft_rfft, a, n, axis, norm, stream)


@operation("fft_irfft")
def irfft(
    a: array, n: int | None = None, axis: int = -1, norm: str = "backward", stream: StreamOrDevice = None
) -> array:
    """The inverse of `rfft`, with real results.

    Args:
      n: how many points: the input is cut or filled up with zeros; None takes its size twice, less 2.
      norm: "backward", "ortho" or "forward": which of the two directions is divided by n.
    """
    return _along_one(abi.fft_irfft, a, n, axis, norm, stream, half=True)


@operation("fft_rfft2")
def rfft2(
    a: array,
    s: tuple[int, ...] | None = None,
    axes: Sequence[int] | None = [-2, -1],
    norm: str = "backward",
    stream: StreamOrDevice = None,
) -> array:
    """The transform of real numbers along two axes; see `rfft`.

    Args:
      s: how many points along each axis; norm: both are as in `fft`.
    """
    return _along_several(abi.fft_rfft2, a, s, axes, norm, stream)


@operation("fft_irfft2")
def irfft2(
    a: array,
    s: tuple[int, ...] | None = None,
    axes: Sequence[int] | None = [-2, -1],
    norm: str = "backward",
    stream: StreamOrDevice = None,
) -> array:
    """The inverse of `rfft2`.

    Args:
      s: how many points along each axis; norm: both are as in `fft`.
    """
    return _along_several(abi.fft_irfft2, a, s, axes, norm, stream, half=True)


@operation("fft_rfftn")
def rfftn(
    a: array,
    s: tuple[int, ...] | None = None,
    axes: Sequence[int] | None = None,
    norm: str = "backward",
    stream: StreamOrDevice = None,
) -> array:
    """The transform of real numbers along several axes; see `rfft`.

    Args:
      s: how many points along each axis; norm: both are as in `fft`.
    """
    return _along_several(abi.fft_rfftn, a, s, axes, norm, stream)


@operation("fft_irfftn")
def irfftn(
    a: array,
    s: tuple[int, ...] | None = None,
    axes: Sequence[int] | None = None,
    norm: str = "backward",
    stream: StreamOrDevice = None,
) -> array:
    """The inverse of `rfftn`.

    Args:
      s: how many points along each axis; norm: both are as in `fft`.
    """
    return _along_several(abi.fft_irfftn, a, s, axes, norm, stream, half=True)


def _shifted(function: Callable[..., array], a: Any, axes: Any, stream: Any) -> array:
    return function(a, list(range(require_array(a, "a").ndim)) if axes is None else integers(axes), stream)


def fftshift(a: array, axes: int | Sequence[int] | None = None, stream: StreamOrDevice = None) -> array:
    """The results of a transform in the order of their frequencies, along axes (None: all)."""
    return _shifted(abi.fft_fftshift, a, axes, stream)


def ifftshift(a: array, axes: int | Sequence[int] | None = None, stream: StreamOrDevice = None) -> array:
    """The inverse of `fftshift`."""
    return _shifted(abi.fft_ifftshift, a, axes, stream)


def stft(
    x: array,
    n_fft: int = 2048,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: array | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    norm: str = "backward",
    onesided: bool | None = None,
    stream: StreamOrDevice = None,
) -> array:
    """The transforms of windows that slide along the last axis.

    Args:
      n_fft: points of a transform; hop_length: the distance of windows (None: a quarter of that).
      win_length: points of a window (None: `n_fft`); window: its weights (None: a Hann window).
      center: fill up both ends, so that windows are centred on their points, as `pad_mode` says.
      onesided: leave out what symmetry tells; None does so for real input.
    """
    number = _norm(norm)
    return abi.fft_stft(x, n_fft, hop_length, win_length, window, center, pad_mode, number, onesided, stream)


def istft(
    stft_matrix: array,
    n_fft: int | None = None,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: array | None = None,
    center: bool = True,
    norm: str = "backward",
    onesided: bool | None = None,
    length: int | None = None,
    stream: StreamOrDevice = None,
) -> array:
    """The signal of which `stft` made transforms; see there. `length` is that of the signal."""
    lengths = n_fft, hop_length, win_length
    return abi.fft_istft(stft_matrix, *lengths, window, center, _norm(norm), onesided, length, stream)
