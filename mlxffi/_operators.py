"""The operators of arrays: one line each over the operation of the same meaning.

An operand that no array can be made of gives NotImplemented, so that Python asks that operand next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from . import _handles, _ops
from ._arguments import ArrayLike, beside
from ._convert import ForeignValueError
from ._ffi import graph

if TYPE_CHECKING:
    from .array import Array

Result = TypeVar("Result")
NUMBERS = frozenset((int, float))


def _forward(operation: Callable[..., Result]) -> Callable[[Any, ArrayLike], Result]:
    """`array ? other`."""

    def operator(self: Array, other: ArrayLike) -> Result:
        if other is None:
            return cast(Result, NotImplemented)
        try:
            return operation(self, other)
        except ForeignValueError:
            return cast(Result, NotImplemented)

    operator.__doc__ = operation.__doc__
    return operator


def _direct(operation: Callable[..., Array], glue: Callable[[int, int, int], int]) -> Callable[[Any, ArrayLike], Array]:
    """`array ? other`, which for Arrays and plain numbers is the operation's C function at once."""
    general = _forward(operation)

    def operator(self: Array, other: Any) -> Array:
        kind: type = type(other)
        if kind is not type(self):
            if kind not in NUMBERS:
                return general(self, other)
            other = beside(other, self)
        return _handles.own_array(glue(self._h, other._h, 0))

    operator.__doc__ = operation.__doc__
    return operator


def _reflected(operation: Callable[..., Result]) -> Callable[[Any, ArrayLike], Result]:
    """`other ? array`."""

    def operator(self: Array, other: ArrayLike) -> Result:
        if other is None:
            return cast(Result, NotImplemented)
        try:
            return operation(other, self)
        except ForeignValueError:
            return cast(Result, NotImplemented)

    operator.__doc__ = operation.__doc__
    return operator


def _divmod(a: ArrayLike, b: ArrayLike) -> tuple[Array, Array]:
    """Quotients, rounded down, and remainders."""
    quotient, remainder = _ops.divmod(a, b)
    return quotient, remainder


_equal = _direct(_ops.equal, graph.glue_equal)
_not_equal = _direct(_ops.not_equal, graph.glue_not_equal)


class Operators(_handles.ArrayHandle):
    """What an array does between operators. `a += b` makes a new array and gives it the name `a`."""

    __slots__ = ()

    __add__ = _direct(_ops.add, graph.glue_add)
    __radd__ = _reflected(_ops.add)
    __sub__ = _direct(_ops.subtract, graph.glue_subtract)
    __rsub__ = _reflected(_ops.subtract)
    __mul__ = _direct(_ops.multiply, graph.glue_multiply)
    __rmul__ = _reflected(_ops.multiply)
    __truediv__ = _direct(_ops.divide, graph.glue_divide)
    __rtruediv__ = _reflected(_ops.divide)
    __floordiv__ = _direct(_ops.floor_divide, graph.glue_floor_divide)
    __rfloordiv__ = _reflected(_ops.floor_divide)
    __mod__ = _direct(_ops.remainder, graph.glue_remainder)
    __rmod__ = _reflected(_ops.remainder)
    __pow__ = _direct(_ops.power, graph.glue_power)
    __rpow__ = _reflected(_ops.power)
    __matmul__ = _direct(_ops.matmul, graph.glue_matmul)
    __rmatmul__ = _reflected(_ops.matmul)
    __lshift__ = _direct(_ops.left_shift, graph.glue_left_shift)
    __rlshift__ = _reflected(_ops.left_shift)
    __rshift__ = _direct(_ops.right_shift, graph.glue_right_shift)
    __rrshift__ = _reflected(_ops.right_shift)
    __and__ = _direct(_ops.bitwise_and, graph.glue_bitwise_and)
    __rand__ = _reflected(_ops.bitwise_and)
    __or__ = _direct(_ops.bitwise_or, graph.glue_bitwise_or)
    __ror__ = _reflected(_ops.bitwise_or)
    __xor__ = _direct(_ops.bitwise_xor, graph.glue_bitwise_xor)
    __rxor__ = _reflected(_ops.bitwise_xor)
    __divmod__ = _forward(_divmod)
    __rdivmod__ = _reflected(_divmod)

    __lt__ = _direct(_ops.less, graph.glue_less)
    __le__ = _direct(_ops.less_equal, graph.glue_less_equal)
    __gt__ = _direct(_ops.greater, graph.glue_greater)
    __ge__ = _direct(_ops.greater_equal, graph.glue_greater_equal)
    # Comparisons are by element, so what an array is among keys is the object itself.
    __hash__ = object.__hash__

    __neg__ = _ops.negative
    __invert__ = _ops.bitwise_invert
    __abs__ = _ops.abs

    def __eq__(self, other: object) -> Array:  # type: ignore[override]
        return _equal(self, other)

    def __ne__(self, other: object) -> Array:  # type: ignore[override]
        return _not_equal(self, other)

    def __pos__(self) -> Array:
        return _handles.own_array(graph.glue_array_set(self._h))

    def __round__(self, ndigits: int | None = None) -> Array:
        """Its values rounded to a number of decimals, halves to even."""
        return _ops.round(self, ndigits or 0)
