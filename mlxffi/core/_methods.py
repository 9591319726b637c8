"""The methods of arrays: those that are functions too, and what these have not."""

# Those functions return arrays, whose class mypy knows after this one.
# mypy: disable-error-code="has-type, empty-body"

from __future__ import annotations

from collections.abc import Callable, Sequence

from ._binding import methods, native, signature
from ._device import StreamOrDevice
from ._dtype import Dtype
from .generated import ops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    from ._array import array

Axes: TypeAlias = "int | Sequence[int] | None"
Method: TypeAlias = "Callable[..., array]"


@methods
class Methods(native.ArrayOwner, metaclass=native.array_class):
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
    cummax: Method = ops.cummax
    cummin: Method = ops.cummin
    logcumsumexp: Method = ops.logcumsumexp
    conj: Method = ops.conjugate
    split: Callable[..., list[array]] = ops.split

    # --- shape ---

    @signature("reshape by rest")
    def reshape(self, *shape: Any, stream: StreamOrDevice = None) -> array:
        """It in another shape, given as ints or as one sequence of them; one may be -1, for the rest."""

    @signature("transpose by rest")
    def transpose(self, *axes: Any, stream: StreamOrDevice = None) -> array:
        """It with its axes in another order, given as ints or as one sequence of them; reversed without any."""

    @property
    @signature("transposed")
    def T(self) -> array:
        """It with its axes reversed."""

    @property
    @signature("matrix transposed")
    def mT(self) -> array:
        """It with its last two axes exchanged."""

    # --- dtype ---

    @signature("astype")
    def astype(self, dtype: Dtype, stream: StreamOrDevice = None) -> array:
        """Its values in another dtype."""

    @signature("view")
    def view(self, dtype: Dtype, *, stream: StreamOrDevice = None) -> array:
        """Its bytes as elements of another dtype; the last axis changes where their sizes differ."""

    @signature("round")
    def round(self, decimals: int = 0, *, stream: StreamOrDevice = None) -> array:
        """Its values rounded to a number of decimals, halves to even."""

    @property
    @signature("real part")
    def real(self) -> array:
        """The real parts."""

    @property
    @signature("imaginary part")
    def imag(self) -> array:
        """The imaginary parts."""

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

    @signature("cumsum method")
    def cumsum(
        self, axis: int | None = None, *, reverse: bool = False, inclusive: bool = True, stream: StreamOrDevice = None
    ) -> array:
        """Running sums along an axis."""

    @signature("cumprod method")
    def cumprod(
        self, axis: int | None = None, *, reverse: bool = False, inclusive: bool = True, stream: StreamOrDevice = None
    ) -> array:
        """Running products along an axis."""
