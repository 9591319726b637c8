"""Fourier transforms, as mlx.core.fft has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .._arguments import FFT_NORMS, text
from .._errors import ArgumentError, RangeError
from .._ffi import graph
from ._binding import operation
from ._array import array
from ._checks import integers, misfit, require_array, sizes
from ._device import StreamOrDevice, stream_handle

own = array._own


def _norm(value: Any) -> int:
    text(value, "norm")
    if value not in FFT_NORMS:
        raise ArgumentError(f"[fft] Invalid norm {value!r}, expected one of {', '.join(FFT_NORMS)}.")
    return FFT_NORMS[value]


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
    glue: Callable[..., int], a: Any, n: int | None, axis: int, norm: str, stream: Any, half: bool = False
) -> array:
    a = require_array(a, "a")
    number, where = _norm(norm), 0 if stream is None else stream_handle(stream)
    try:
        return own(glue(a._h, _size(a, axis, half) if n is None else n, axis, number, where))
    except OverflowError as error:
        raise misfit(error) from None


def _along_several(
    glue: Callable[..., int], a: Any, s: Any, axes: Any, norm: str, stream: Any, half: bool = False
) -> array:
    a = require_array(a, "a")
    number, where = _norm(norm), 0 if stream is None else stream_handle(stream)
    s = None if s is None else list(sizes(s))
    if axes is None:
        if s is not None:
            raise ArgumentError("[fftn] `axes` should not be `None` if `s` is not `None`.")
        axes = range(-a.ndim, 0)
    axes = list(sizes(axes))
    if s is None:
        s = [_size(a, axis, half and index == len(axes) - 1) for index, axis in enumerate(axes)]
    return own(glue(a._h, s, len(s), axes, len(axes), number, where))


@operation("fft_fft")
def fft(a: array, n: int | None = None, axis: int = -1, norm: str = "backward", stream: StreamOrDevice = None) -> array:
    """The discrete Fourier transform along an axis.

    Args:
      n: how many points: the input is cut or filled up with zeros; None takes its size.
      norm: "backward", "ortho" or "forward": which of the two directions is divided by n.
    """
    return _along_one(graph.glue_fft_fft, a, n, axis, norm, stream)


@operation("fft_ifft")
def ifft(
    a: array, n: int | None = None, axis: int = -1, norm: str = "backward", stream: StreamOrDevice = None
) -> array:
    """The inverse of `fft`.

    Args:
      n: how many points: the input is cut or filled up with zeros; None takes its size.
      norm: "backward", "ortho" or "forward": which of the two directions is divided by n.
    """
    return _along_one(graph.glue_fft_ifft, a, n, axis, norm, stream)


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
    return _along_several(graph.glue_fft_fft2, a, s, axes, norm, stream)


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
    return _along_several(graph.glue_fft_ifft2, a, s, axes, norm, stream)


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
    return _along_several(graph.glue_fft_fftn, a, s, axes, norm, stream)


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
    return _along_several(graph.glue_fft_ifftn, a, s, axes, norm, stream)


@operation("fft_rfft")
def rfft(
    a: array, n: int | None = None, axis: int = -1, norm: str = "backward", stream: StreamOrDevice = None
) -> array:
    """The transform of real numbers along an axis, up to the middle of its symmetric result.

    Args:
      n: how many points: the input is cut or filled up with zeros; None takes its size.
      norm: "backward", "ortho" or "forward": which of the two directions is divided by n.
    """
    return _along_one(graph.glue_fft_rfft, a, n, axis, norm, stream)


@operation("fft_irfft")
def irfft(
    a: array, n: int | None = None, axis: int = -1, norm: str = "backward", stream: StreamOrDevice = None
) -> array:
    """The inverse of `rfft`, with real results.

    Args:
      n: how many points: the input is cut or filled up with zeros; None takes its size twice, less 2.
      norm: "backward", "ortho" or "forward": which of the two directions is divided by n.
    """
    return _along_one(graph.glue_fft_irfft, a, n, axis, norm, stream, half=True)


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
    return _along_several(graph.glue_fft_rfft2, a, s, axes, norm, stream)


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
    return _along_several(graph.glue_fft_irfft2, a, s, axes, norm, stream, half=True)


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
    return _along_several(graph.glue_fft_rfftn, a, s, axes, norm, stream)


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
    return _along_several(graph.glue_fft_irfftn, a, s, axes, norm, stream, half=True)


@operation("fft_fftfreq")
def fftfreq(n: int, d: float = 1.0, stream: StreamOrDevice = None) -> array:
    """The frequencies of the results of `fft` for `n` points at the distance `d`."""
    try:
        return own(graph.glue_fft_fftfreq(n, d, 0 if stream is None else stream_handle(stream)))
    except OverflowError as error:
        raise misfit(error) from None


@operation("fft_rfftfreq")
def rfftfreq(n: int, d: float = 1.0, stream: StreamOrDevice = None) -> array:
    """The frequencies of the results of `rfft` for `n` points at the distance `d`."""
    try:
        return own(graph.glue_fft_rfftfreq(n, d, 0 if stream is None else stream_handle(stream)))
    except OverflowError as error:
        raise misfit(error) from None


def _shifted(glue: Callable[..., int], a: Any, axes: Any, stream: Any) -> array:
    a = require_array(a, "a")
    chosen = list(range(a.ndim)) if axes is None else integers(axes)
    return own(glue(a._h, chosen, len(chosen), 0 if stream is None else stream_handle(stream)))


@operation("fft_fftshift")
def fftshift(a: array, axes: int | Sequence[int] | None = None, stream: StreamOrDevice = None) -> array:
    """The results of a transform in the order of their frequencies, along axes (None: all)."""
    return _shifted(graph.glue_fft_fftshift, a, axes, stream)


@operation("fft_ifftshift")
def ifftshift(a: array, axes: int | Sequence[int] | None = None, stream: StreamOrDevice = None) -> array:
    """The inverse of `fftshift`."""
    return _shifted(graph.glue_fft_ifftshift, a, axes, stream)


def _optional(value: Any, empty: Any = 0) -> tuple[Any, bool]:
    return (empty, False) if value is None else (value, True)


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
    x = require_array(x, "x")
    weights = None if window is None else require_array(window, "window")
    options = (*_optional(hop_length), *_optional(win_length), 0 if weights is None else weights._h, center)
    rest = (text(pad_mode, "pad_mode"), _norm(norm), *_optional(onesided, False), stream_handle(stream))
    return own(graph.glue_fft_stft(x._h, n_fft, *options, *rest))


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
    matrix = require_array(stft_matrix, "stft_matrix")
    weights = None if window is None else require_array(window, "window")
    options = (*_optional(n_fft), *_optional(hop_length), *_optional(win_length), 0 if weights is None else weights._h)
    rest = (center, _norm(norm), *_optional(onesided, False), *_optional(length), stream_handle(stream))
    return own(graph.glue_fft_istft(matrix._h, *options, *rest))
