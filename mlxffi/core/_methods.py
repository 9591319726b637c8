"""The methods of arrays: those that are functions too, and what these have not."""

# Those functions return arrays, whose class mypy knows after this one.
# mypy: disable-error-code="has-type"

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from .._errors import OperationError
from ._binding import abi, native, operation
from ._device import StreamOrDevice
from ._dtype import Dtype, of
from ._marshal import many
from .generated import ops

if TYPE_CHECKING:
    from ._array import array

Axes: TypeAlias = "int | Sequence[int] | None"
Method: TypeAlias = "Callable[..., array]"


def _sizes(arguments: tuple[Any, ...], name: str) -> Sequence[int]:
    """Sizes or axes given one by one, or as one sequence."""
    if arguments and isinstance(arguments[0], (list, tuple)):
        arguments = tuple(arguments[0])
    try:
        return [operator.index(size) for size in map(_plain, arguments)]
    except TypeError:
        raise OperationError(f"{name}: expected ints or one sequence of ints, got {arguments!r}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, native.ArrayOwner):
        raise TypeError
    return value


class Methods(native.ArrayOwner):
    """What an array does by name."""

    __slots__ = ()

    flatten: Method = ops.flatten
    squeeze: Method = ops.squeeze
    moveaxis: Method = ops.moveaxis
    swapaxes: Method = ops.swapaxes
    diagonal: Method = ops.diagonal
    diag: Method = ops.diag
    abs: Method = ops.abs
    square: Method = ops.square
    sqrt: Method = ops.sqrt
    rsqrt: Method = ops.rsqrt
    reciprocal: Method = ops.reciprocal
    exp: Method = ops.exp
    log: Method = ops.log
    log2: Method = ops.log2
    log10: Method = ops.log10
    log1p: Method = ops.log1p
    sin: Method = ops.sin
    cos: Method = ops.cos
    all: Method = ops.all
    any: Method = ops.any
    sum: Method = ops.sum
    prod: Method = ops.prod
    min: Method = ops.min
    max: Method = ops.max
    logsumexp: Method = ops.logsumexp
    mean: Method = ops.mean
    argmin: Method = ops.argmin
    argmax: Method = ops.argmax

    # --- shape ---

    @operation("reshape by rest")
    def reshape(self, *shape: Any, stream: StreamOrDevice = None) -> array:
        """It in another shape, given as ints or as one sequence of them; one may be -1, for the rest."""
        return abi.reshape(self, _sizes(shape, "shape"), stream)

    @operation("transpose by rest")
    def transpose(self, *axes: Any, stream: StreamOrDevice = None) -> array:
        """It with its axes in another order, given as ints or as one sequence of them; reversed without any."""
        return abi.transpose_axes(self, _sizes(axes, "axes"), stream) if axes else abi.transpose(self, stream)

    @property
    @operation("transposed")
    def T(self) -> array:
        """It with its axes reversed."""
        return abi.transpose(self)

    @property
    @operation("matrix transposed")
    def mT(self) -> array:
        """It with its last two axes exchanged."""
        return abi.matrix_transpose(self)

    def split(
        self, indices_or_sections: int | tuple[int, ...], axis: int = 0, *, stream: StreamOrDevice = None
    ) -> list[array]:
        """Its parts along an axis: so many equal ones, or those between positions."""
        if many(indices_or_sections):
            return abi.split_sections(self, indices_or_sections, axis, stream)
        return abi.split(self, indices_or_sections, axis, stream)

    # --- dtype ---

    @operation("astype")
    def astype(self, dtype: Dtype, stream: StreamOrDevice = None) -> array:
        """Its values in another dtype."""
        return abi.astype(self, of(dtype), stream)

    @operation("view")
    def view(self, dtype: Dtype, *, stream: StreamOrDevice = None) -> array:
        """Its bytes as elements of another dtype; the last axis changes where their sizes differ."""
        return abi.view(self, of(dtype), stream)

    @property
    @operation("real part")
    def real(self) -> array:
        """The real parts."""
        return abi.real(self)

    @property
    @operation("imaginary part")
    def imag(self) -> array:
        """The imaginary parts."""
        return abi.imag(self)

    @operation("conjugate")
    def conj(self, *, stream: StreamOrDevice = None) -> array:
        """Complex conjugates."""
        return abi.conjugate(self, stream)

    @operation("round")
    def round(self, decimals: int = 0, *, stream: StreamOrDevice = None) -> array:
        """Its values rounded to a number of decimals, halves to even."""
        return abi.round(self, decimals, stream)

    # --- reductions ---

    def std(
        self,
        axis: Axes = None,
        keepdims: bool = False,
        ddof: int = 0,
        *,
        correction: int | None = None,
        stream: StreamOrDevice = None,
    ) -> array:
        """Standard deviations over some axes; `correction`, where given, stands for `ddof`."""
        return ops.std(self, axis, keepdims, ddof if correction is None else correction, stream=stream)  # type: ignore[arg-type]

    def var(
        self,
        axis: Axes = None,
        keepdims: bool = False,
        ddof: int = 0,
        *,
        correction: int | None = None,
        stream: StreamOrDevice = None,
    ) -> array:
        """Variances over some axes; `correction`, where given, stands for `ddof`."""
        return ops.var(self, axis, keepdims, ddof if correction is None else correction, stream=stream)  # type: ignore[arg-type]

    # --- scans ---

    @operation("logcumsumexp")
    def logcumsumexp(
        self, axis: int | None = None, *, reverse: bool = False, inclusive: bool = True, stream: StreamOrDevice = None
    ) -> array:
        """Running logarithms of sums of exponentials along an axis."""
        return abi.logcumsumexp(*_scanned(self, axis, stream), reverse, inclusive, stream)

    @operation("cumsum method")
    def cumsum(
        self, axis: int | None = None, *, reverse: bool = False, inclusive: bool = True, stream: StreamOrDevice = None
    ) -> array:
        """Running sums along an axis."""
        return abi.cumsum(*_scanned(self, axis, stream), reverse, inclusive, stream)

    @operation("cumprod method")
    def cumprod(
        self, axis: int | None = None, *, reverse: bool = False, inclusive: bool = True, stream: StreamOrDevice = None
    ) -> array:
        """Running products along an axis."""
        return abi.cumprod(*_scanned(self, axis, stream), reverse, inclusive, stream)

    @operation("cummax")
    def cummax(
        self, axis: int | None = None, *, reverse: bool = False, inclusive: bool = True, stream: StreamOrDevice = None
    ) -> array:
        """Running greatest elements along an axis."""
        return abi.cummax(*_scanned(self, axis, stream), reverse, inclusive, stream)

    @operation("cummin")
    def cummin(
        self, axis: int | None = None, *, reverse: bool = False, inclusive: bool = True, stream: StreamOrDevice = None
    ) -> array:
        """Running least elements along an axis."""
        return abi.cummin(*_scanned(self, axis, stream), reverse, inclusive, stream)


def _scanned(a: Any, axis: int | None, stream: StreamOrDevice) -> tuple[Any, int]:
    """An array and the axis to scan; without one it is flattened first."""
    return (abi.flatten(a, 0, -1, stream), 0) if axis is None else (a, axis)
