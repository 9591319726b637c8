"""The operators of arrays: one type check and one call of the operation's C function each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from .._errors import ArgumentError
from .._ffi import graph
from .._handles import ArrayHandle
from . import _arguments
from ._arguments import UnknownValueError

if TYPE_CHECKING:
    from ._array import array

Self = TypeVar("Self", bound="Operators")
Glue = Callable[[int, int, int], int]
NUMBERS = frozenset((int, float))


def _operand(value: Any, other: Any, name: str) -> array:
    """The array that stands beside `other` in an operator.

    Raises:
      TypeError: the value is None.
      ValueError: it stands for no array.
    """
    if value is None:
        raise TypeError(f"Cannot perform {name} on an mlx.core.array and None")
    try:
        return _arguments.beside(value, other)
    except UnknownValueError:
        kind = type(value).__name__
        raise ArgumentError(f"Cannot perform {name} on an mlx.core.array and {kind}") from None


def _forward(glue: Glue, name: str) -> Callable[[Any, Any], array]:
    """`array ? other`."""

    def operator(self: Any, other: Any) -> array:
        kind = type(other)
        if kind is not _arguments.array_class:
            other = _arguments.beside(other, self) if kind in NUMBERS else _operand(other, self, name)
        return _arguments.own(glue(self._h, other._h, 0))

    operator.__doc__ = f"Element-wise {name}."
    return operator


def _reflected(glue: Glue, name: str) -> Callable[[Any, Any], array]:
    """`other ? array`."""

    def operator(self: Any, other: Any) -> array:
        other = _arguments.beside(other, self) if type(other) in NUMBERS else _operand(other, self, name)
        return _arguments.own(glue(other._h, self._h, 0))

    operator.__doc__ = f"Element-wise {name}."
    return operator


def replace(self: Self, handle: int) -> Self:
    """Give an array object the value of a fresh handle; everybody who refers to the object sees it."""
    made = _arguments.own(handle)
    self._h, made._h = made._h, self._h
    return self


def _in_place(glue: Glue, name: str) -> Callable[[Any, Any], Any]:
    """`array ?= other`: the object stays, and has other values."""
    name = f"inplace {name}"

    def operator(self: Any, other: Any) -> Any:
        kind = type(other)
        if kind is not _arguments.array_class:
            other = _arguments.beside(other, self) if kind in NUMBERS else _operand(other, self, name)
        return replace(self, glue(self._h, other._h, 0))

    operator.__doc__ = f"Element-wise {name}: the object gets the result."
    return operator


def _bitwise(operator: Callable[[Any, Any], array], name: str, what: str = "") -> Callable[[Any, Any], array]:
    """An operator of integers."""

    def checked(self: Any, other: Any) -> array:
        if type(other) is not _arguments.array_class:
            other = _operand(other, self, what + name)
        if self.dtype.kind in "fc" or other.dtype.kind in "fc":
            raise ArgumentError(f"Floating point types not allowed with {name}.")
        return operator(self, other)

    checked.__doc__ = operator.__doc__
    return checked


def _integer_operators(glue: Glue, name: str) -> tuple[Callable[[Any, Any], array], Callable[[Any, Any], array]]:
    return _bitwise(_forward(glue, name), name), _bitwise(_in_place(glue, name), name, "inplace ")


def _compared(glue: Glue, otherwise: bool) -> Callable[[Any, Any], Any]:
    """`==` and `!=`, which have an answer for everything but None."""

    def operator(self: Any, other: Any) -> Any:
        if type(other) is not _arguments.array_class:
            if other is None:
                raise TypeError("Cannot compare an mlx.core.array with None; use `is`")
            try:
                other = _arguments.beside(other, self)
            except UnknownValueError:
                return otherwise
        return _arguments.own(glue(self._h, other._h, 0))

    operator.__doc__ = "Element-wise comparison."
    return operator


def _absent(self: Any, other: Any = None) -> Any:
    """An operator that arrays have not."""
    return NotImplemented


def _require_arrays(self: Any, other: Any) -> None:
    if not isinstance(other, _arguments.array_class):
        raise TypeError(f"matmul: expected an array, got {type(other).__name__}")


_divide_in_place = _in_place(graph.glue_divide, "division")


class Operators(ArrayHandle):
    """What an array does between operators."""

    __slots__ = ()

    __add__ = _forward(graph.glue_add, "addition")
    __iadd__ = _in_place(graph.glue_add, "addition")
    __radd__ = _reflected(graph.glue_add, "addition")
    __sub__ = _forward(graph.glue_subtract, "subtraction")
    __isub__ = _in_place(graph.glue_subtract, "subtraction")
    __rsub__ = _reflected(graph.glue_subtract, "subtraction")
    __mul__ = _forward(graph.glue_multiply, "multiplication")
    __imul__ = _in_place(graph.glue_multiply, "multiplication")
    __rmul__ = _reflected(graph.glue_multiply, "multiplication")
    __truediv__ = __div__ = _forward(graph.glue_divide, "division")
    __rtruediv__ = __rdiv__ = _reflected(graph.glue_divide, "division")
    __floordiv__ = _forward(graph.glue_floor_divide, "floor division")
    __ifloordiv__ = _in_place(graph.glue_floor_divide, "floor division")
    __rfloordiv__ = _reflected(graph.glue_floor_divide, "floor division")
    __mod__ = _forward(graph.glue_remainder, "modulus")
    __imod__ = _in_place(graph.glue_remainder, "modulus")
    __rmod__ = _reflected(graph.glue_remainder, "modulus")
    __pow__ = _forward(graph.glue_power, "power")
    __ipow__ = _in_place(graph.glue_power, "power")
    __rpow__ = _reflected(graph.glue_power, "power")
    __and__, __iand__ = _integer_operators(graph.glue_bitwise_and, "bitwise and")
    __or__, __ior__ = _integer_operators(graph.glue_bitwise_or, "bitwise or")
    __xor__, __ixor__ = _integer_operators(graph.glue_bitwise_xor, "bitwise xor")
    __lshift__, __ilshift__ = _integer_operators(graph.glue_left_shift, "left shift")
    __rshift__, __irshift__ = _integer_operators(graph.glue_right_shift, "right shift")
    __lt__ = _forward(graph.glue_less, "less than")
    __le__ = _forward(graph.glue_less_equal, "less than or equal")
    __gt__ = _forward(graph.glue_greater, "greater than")
    __ge__ = _forward(graph.glue_greater_equal, "greater than or equal")
    __eq__ = _compared(graph.glue_equal, False)
    __ne__ = _compared(graph.glue_not_equal, True)
    __hash__ = object.__hash__

    # The lower layer's arrays have more operators than MLX's.
    __round__: Any = None
    __rand__ = __ror__ = __rxor__ = __rlshift__ = __rrshift__ = __rmatmul__ = __divmod__ = __rdivmod__ = _absent

    def __itruediv__(self: Self, other: Any) -> Self:
        """Element-wise division: the object gets the result."""
        if type(other) is not _arguments.array_class:
            other = _operand(other, self, "inplace division")
        if self.dtype.kind not in "fc":  # type: ignore[attr-defined]
            raise ArgumentError("In place division cannot cast to non-floating point type.")
        return _divide_in_place(self, other)  # type: ignore[no-any-return]

    def __matmul__(self, other: Any) -> array:
        """The product of matrices."""
        _require_arrays(self, other)
        return _arguments.own(graph.glue_matmul(self._h, other._h, 0))

    def __imatmul__(self: Self, other: Any) -> Self:
        """The product of matrices, which the object gets."""
        _require_arrays(self, other)
        return replace(self, graph.glue_matmul(self._h, other._h, 0))

    def __neg__(self) -> array:
        """Its elements with the other sign."""
        return _arguments.own(graph.glue_negative(self._h, 0))

    def __pos__(self) -> array:
        """The same elements."""
        return _arguments.own(graph.glue_array_set(self._h))

    def __abs__(self) -> array:
        """Absolute values."""
        return _arguments.own(graph.glue_abs(self._h, 0))

    def __invert__(self) -> array:
        """Its elements with all bits inverted; the logical not of bool."""
        if self.dtype.kind in "fc":  # type: ignore[attr-defined]
            raise ArgumentError("Floating point types not allowed with bitwise inversion.")
        return _arguments.own(graph.glue_bitwise_invert(self._h, 0))
