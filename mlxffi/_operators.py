"""The operators of arrays: one line each over the operation of the same meaning.

An operand that no array can be made of gives NotImplemented, so that Python asks that operand next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import _handles, _ops
from ._arguments import ArrayLike
from ._convert import ForeignValueError

if TYPE_CHECKING:
    from .array import Array

Operation = Callable[..., Any]


def _forward(operation: Operation) -> Callable[[Any, ArrayLike], Array]:
    """`array ? other`."""

    def operator(self: Array, other: ArrayLike) -> Array:
        try:
            return operation(self, other)  # type: ignore[no-any-return]
        except ForeignValueError:
            return NotImplemented

    operator.__doc__ = operation.__doc__
    return operator


def _reflected(operation: Operation) -> Callable[[Any, ArrayLike], Array]:
    """`other ? array`."""

    def operator(self: Array, other: ArrayLike) -> Array:
        try:
            return operation(other, self)  # type: ignore[no-any-return]
        except ForeignValueError:
            return NotImplemented

    operator.__doc__ = operation.__doc__
    return operator


def _divmod(a: ArrayLike, b: ArrayLike) -> tuple[Array, Array]:
    """Quotients, rounded down, and remainders."""
    return _ops.floor_divide(a, b), _ops.remainder(a, b)


class Operators(_handles.ArrayHandle):
    """What an array does between operators. `a += b` makes a new array and gives it the name `a`."""

    __slots__ = ()

    __add__ = _forward(_ops.add)
    __radd__ = _reflected(_ops.add)
    __sub__ = _forward(_ops.subtract)
    __rsub__ = _reflected(_ops.subtract)
    __mul__ = _forward(_ops.multiply)
    __rmul__ = _reflected(_ops.multiply)
    __truediv__ = _forward(_ops.divide)
    __rtruediv__ = _reflected(_ops.divide)
    __floordiv__ = _forward(_ops.floor_divide)
    __rfloordiv__ = _reflected(_ops.floor_divide)
    __mod__ = _forward(_ops.remainder)
    __rmod__ = _reflected(_ops.remainder)
    __pow__ = _forward(_ops.power)
    __rpow__ = _reflected(_ops.power)
    __matmul__ = _forward(_ops.matmul)
    __rmatmul__ = _reflected(_ops.matmul)
    __lshift__ = _forward(_ops.left_shift)
    __rlshift__ = _reflected(_ops.left_shift)
    __rshift__ = _forward(_ops.right_shift)
    __rrshift__ = _reflected(_ops.right_shift)
    __and__ = _forward(_ops.bitwise_and)
    __rand__ = _reflected(_ops.bitwise_and)
    __or__ = _forward(_ops.bitwise_or)
    __ror__ = _reflected(_ops.bitwise_or)
    __xor__ = _forward(_ops.bitwise_xor)
    __rxor__ = _reflected(_ops.bitwise_xor)
    __divmod__: Callable[[ArrayLike], tuple[Array, Array]] = _forward(_divmod)
    __rdivmod__: Callable[[ArrayLike], tuple[Array, Array]] = _reflected(_divmod)

    __eq__ = _forward(_ops.equal)  # type: ignore[assignment]
    __ne__ = _forward(_ops.not_equal)  # type: ignore[assignment]
    __lt__ = _forward(_ops.less)
    __le__ = _forward(_ops.less_equal)
    __gt__ = _forward(_ops.greater)
    __ge__ = _forward(_ops.greater_equal)
    # Comparisons are by element, so what an array is among keys is the object itself.
    __hash__ = object.__hash__

    __neg__ = _ops.negative
    __pos__ = _ops.positive
    __invert__ = _ops.bitwise_invert
    __abs__ = _ops.abs

    def __round__(self, ndigits: int | None = None) -> Array:
        """Its values rounded to a number of decimals, halves to even."""
        return _ops.round(self, ndigits or 0)
