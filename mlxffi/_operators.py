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
    quotient, rest = _ops.divmod(a, b)
    return quotient, rest


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
    __divmod__ = _forward(_divmod)
    __rdivmod__ = _reflected(_divmod)
