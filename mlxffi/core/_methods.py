"""The methods of arrays that are functions too."""

from __future__ import annotations

import importlib
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from .._errors import OperationError
from .._ffi import graph
from .._handles import ArrayHandle
from . import _arguments
from ._arguments import operation
from ._device import StreamOrDevice, stream_handle
from ._dtype import Dtype, of

if TYPE_CHECKING:
    from ._array import array

Axes: TypeAlias = "int | Sequence[int] | None"


class _Functions:
    """The functions of _ops.py, which stands above: looked up at their first use."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(importlib.import_module(f"{__package__}._ops"), name)
        setattr(self, name, found)
        return found


ops = _Functions()
INTS = frozenset((int,))


def _sizes(arguments: tuple[Any, ...], name: str) -> Sequence[int]:
    """Sizes or axes given one by one, or as one sequence."""
    if arguments and isinstance(arguments[0], (list, tuple)):
        arguments = tuple(arguments[0])
    if INTS.issuperset(map(type, arguments)):
        return arguments
    try:
        return [operator.index(size) for size in map(_plain, arguments)]
    except TypeError:
        raise OperationError(f"{name}: expected ints or one sequence of ints, got {arguments!r}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, (bool, ArrayHandle)):
        raise TypeError
    return value


class Methods(ArrayHandle):
    """What an array does by name."""

    __slots__ = ()

    # --- shape ---

    @operation("flatten")
    def flatten(self, start_axis: int = 0, end_axis: int = -1, *, stream: StreamOrDevice = None) -> array:
        """It with the axes from `start_axis` to `end_axis` made one."""
        return ops.flatten(self, start_axis, end_axis, stream=stream)  # type: ignore[no-any-return]

    @operation("reshape by rest")
    def reshape(self, *shape: Any, stream: StreamOrDevice = None) -> array:
        """It in another shape, given as ints or as one sequence of them; one may be -1, for the rest."""
        sizes = _sizes(shape, "shape")
        return _arguments.own(graph.glue_reshape(self._h, sizes, len(sizes), stream_handle(stream)))

    @operation("squeeze")
    def squeeze(self, axis: Axes = None, *, stream: StreamOrDevice = None) -> array:
        """It without axes of one element."""
        return ops.squeeze(self, axis, stream=stream)  # type: ignore[no-any-return]

    @operation("transpose by rest")
    def transpose(self, *axes: Any, stream: StreamOrDevice = None) -> array:
        """It with its axes in another order, given as ints or as one sequence of them; reversed without any."""
        if not axes:
            return _arguments.own(graph.glue_transpose(self._h, stream_handle(stream)))
        order = _sizes(axes, "axes")
        return _arguments.own(graph.glue_transpose_axes(self._h, order, len(order), stream_handle(stream)))

    @property
    @operation("transposed")
    def T(self) -> array:
        """It with its axes reversed."""
        return _arguments.own(graph.glue_transpose(self._h, 0))

    @property
    @operation("matrix transposed")
    def mT(self) -> array:
        """It with its last two axes exchanged."""
        return _arguments.own(graph.glue_matrix_transpose(self._h, 0))

    @operation("moveaxis")
    def moveaxis(self, source: int, destination: int, *, stream: StreamOrDevice = None) -> array:
        """It with an axis moved elsewhere."""
        return ops.moveaxis(self, source, destination, stream=stream)  # type: ignore[no-any-return]

    @operation("swapaxes")
    def swapaxes(self, axis1: int, axis2: int, *, stream: StreamOrDevice = None) -> array:
        """It with two axes exchanged."""
        return ops.swapaxes(self, axis1, axis2, stream=stream)  # type: ignore[no-any-return]

    @operation("split")
    def split(
        self, indices_or_sections: int | tuple[int, ...], axis: int = 0, *, stream: StreamOrDevice = None
    ) -> list[array]:
        """Its parts along an axis: so many equal ones, or those between positions."""
        return ops.split(self, indices_or_sections, axis, stream=stream)  # type: ignore[no-any-return]

    @operation("diagonal")
    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1, stream: StreamOrDevice = None) -> array:
        """Its diagonals over two axes."""
        return ops.diagonal(self, offset, axis1, axis2, stream=stream)  # type: ignore[no-any-return]

    @operation("diag")
    def diag(self, k: int = 0, *, stream: StreamOrDevice = None) -> array:
        """The diagonal of a matrix, or the matrix of a diagonal."""
        return ops.diag(self, k, stream=stream)  # type: ignore[no-any-return]

    # --- dtype ---

    @operation("astype")
    def astype(self, dtype: Dtype, stream: StreamOrDevice = None) -> array:
        """Its values in another dtype."""
        return _arguments.own(
            graph.glue_astype(self._h, of(dtype).number, 0 if stream is None else stream_handle(stream))
        )

    @operation("view")
    def view(self, dtype: Dtype, *, stream: StreamOrDevice = None) -> array:
        """Its bytes as elements of another dtype; the last axis changes where their sizes differ."""
        return _arguments.own(
            graph.glue_view(self._h, of(dtype).number, 0 if stream is None else stream_handle(stream))
        )

    @property
    @operation("real part")
    def real(self) -> array:
        """The real parts."""
        return _arguments.own(graph.glue_real(self._h, 0))

    @property
    @operation("imaginary part")
    def imag(self) -> array:
        """The imaginary parts."""
        return _arguments.own(graph.glue_imag(self._h, 0))

    # --- by element ---

    @operation("abs")
    def abs(self, *, stream: StreamOrDevice = None) -> array:
        """Absolute values."""
        return _arguments.own(graph.glue_abs(self._h, 0 if stream is None else stream_handle(stream)))

    @operation("square")
    def square(self, *, stream: StreamOrDevice = None) -> array:
        """Squares."""
        return _arguments.own(graph.glue_square(self._h, 0 if stream is None else stream_handle(stream)))

    @operation("sqrt")
    def sqrt(self, *, stream: StreamOrDevice = None) -> array:
        """Square roots."""
        return _arguments.own(graph.glue_sqrt(self._h, 0 if stream is None else stream_handle(stream)))

    @operation("rsqrt")
    def rsqrt(self, *, stream: StreamOrDevice = None) -> array:
        """Reciprocals of square roots."""
        return _arguments.own(graph.glue_rsqrt(self._h, 0 if stream is None else stream_handle(stream)))

    @operation("reciprocal")
    def reciprocal(self, *, stream: StreamOrDevice = None) -> array:
        """Reciprocals."""
        return _arguments.own(graph.glue_reciprocal(self._h, 0 if stream is None else stream_handle(stream)))

    @operation("exp")
    def exp(self, *, stream: StreamOrDevice = None) -> array:
        """Exponentials."""
        return _arguments.own(graph.glue_exp(self._h, 0 if stream is None else stream_handle(stream)))

    @operation("log")
    def log(self, *, stream: StreamOrDevice = None) -> array:
        """Natural logarithms."""
        return _arguments.own(graph.glue_log(self._h, 0 if stream is None else stream_handle(stream)))

    @operation("log2")
    def log2(self, *, stream: StreamOrDevice = None) -> array:
        """Logarithms to base 2."""
        return _arguments.own(graph.glue_log2(self._h, 0 if stream is None else stream_handle(stream)))

    @operation("log10")
    def log10(self, *, stream: StreamOrDevice = None) -> array:
        """Logarithms to base 10."""
        return _arguments.own(graph.glue_log10(self._h, 0 if stream is None else stream_handle(stream)))

    @operation("log1p")
    def log1p(self, *, stream: StreamOrDevice = None) -> array:
        """Natural logarithms of one more."""
        return _arguments.own(graph.glue_log1p(self._h, 0 if stream is None else stream_handle(stream)))

    @operation("sin")
    def sin(self, *, stream: StreamOrDevice = None) -> array:
        """Sines."""
        return _arguments.own(graph.glue_sin(self._h, 0 if stream is None else stream_handle(stream)))

    @operation("cos")
    def cos(self, *, stream: StreamOrDevice = None) -> array:
        """Cosines."""
        return _arguments.own(graph.glue_cos(self._h, 0 if stream is None else stream_handle(stream)))

    @operation("conjugate")
    def conj(self, *, stream: StreamOrDevice = None) -> array:
        """Complex conjugates."""
        return _arguments.own(graph.glue_conjugate(self._h, 0 if stream is None else stream_handle(stream)))

    @operation("round")
    def round(self, decimals: int = 0, *, stream: StreamOrDevice = None) -> array:
        """Its values rounded to a number of decimals, halves to even."""
        return ops.round(self, decimals, stream=stream)  # type: ignore[no-any-return]

    # --- reductions ---

    @operation("all")
    def all(self, axis: Axes = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array:
        """Whether all elements are true, over some axes."""
        return ops.all(self, axis, keepdims, stream=stream)  # type: ignore[no-any-return]

    @operation("any")
    def any(self, axis: Axes = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array:
        """Whether any element is true, over some axes."""
        return ops.any(self, axis, keepdims, stream=stream)  # type: ignore[no-any-return]

    @operation("sum")
    def sum(self, axis: Axes = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array:
        """Sums over some axes."""
        return ops.sum(self, axis, keepdims, stream=stream)  # type: ignore[no-any-return]

    @operation("prod")
    def prod(self, axis: Axes = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array:
        """Products over some axes."""
        return ops.prod(self, axis, keepdims, stream=stream)  # type: ignore[no-any-return]

    @operation("min")
    def min(self, axis: Axes = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array:
        """Least elements over some axes."""
        return ops.min(self, axis, keepdims, stream=stream)  # type: ignore[no-any-return]

    @operation("max")
    def max(self, axis: Axes = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array:
        """Greatest elements over some axes."""
        return ops.max(self, axis, keepdims, stream=stream)  # type: ignore[no-any-return]

    @operation("logsumexp")
    def logsumexp(self, axis: Axes = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array:
        """Logarithms of sums of exponentials over some axes."""
        return ops.logsumexp(self, axis, keepdims, stream=stream)  # type: ignore[no-any-return]

    @operation("mean")
    def mean(self, axis: Axes = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array:
        """Means over some axes."""
        return ops.mean(self, axis, keepdims, stream=stream)  # type: ignore[no-any-return]

    @operation("std method")
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
        ddof = ddof if correction is None else correction
        return ops.std(self, axis, keepdims, ddof, stream=stream)  # type: ignore[no-any-return]

    @operation("var method")
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
        ddof = ddof if correction is None else correction
        return ops.var(self, axis, keepdims, ddof, stream=stream)  # type: ignore[no-any-return]

    @operation("argmin")
    def argmin(self, axis: int | None = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array:
        """Positions of the least elements along an axis."""
        return ops.argmin(self, axis, keepdims, stream=stream)  # type: ignore[no-any-return]

    @operation("argmax")
    def argmax(self, axis: int | None = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array:
        """Positions of the greatest elements along an axis."""
        return ops.argmax(self, axis, keepdims, stream=stream)  # type: ignore[no-any-return]

    # --- scans ---

    @operation("logcumsumexp")
    def logcumsumexp(
        self, axis: int | None = None, *, reverse: bool = False, inclusive: bool = True, stream: StreamOrDevice = None
    ) -> array:
        """Running logarithms of sums of exponentials along an axis."""
        return ops.logcumsumexp(  # type: ignore[no-any-return]
            self, axis, reverse=reverse, inclusive=inclusive, stream=stream
        )

    @operation("cumsum method")
    def cumsum(
        self, axis: int | None = None, *, reverse: bool = False, inclusive: bool = True, stream: StreamOrDevice = None
    ) -> array:
        """Running sums along an axis."""
        return ops.cumsum(self, axis, reverse=reverse, inclusive=inclusive, stream=stream)  # type: ignore[no-any-return]

    @operation("cumprod method")
    def cumprod(
        self, axis: int | None = None, *, reverse: bool = False, inclusive: bool = True, stream: StreamOrDevice = None
    ) -> array:
        """Running products along an axis."""
        return ops.cumprod(self, axis, reverse=reverse, inclusive=inclusive, stream=stream)  # type: ignore[no-any-return]

    @operation("cummax")
    def cummax(
        self, axis: int | None = None, *, reverse: bool = False, inclusive: bool = True, stream: StreamOrDevice = None
    ) -> array:
        """Running greatest elements along an axis."""
        return ops.cummax(self, axis, reverse=reverse, inclusive=inclusive, stream=stream)  # type: ignore[no-any-return]

    @operation("cummin")
    def cummin(
        self, axis: int | None = None, *, reverse: bool = False, inclusive: bool = True, stream: StreamOrDevice = None
    ) -> array:
        """Running least elements along an axis."""
        return ops.cummin(self, axis, reverse=reverse, inclusive=inclusive, stream=stream)  # type: ignore[no-any-return]
