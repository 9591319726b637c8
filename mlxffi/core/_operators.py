"""The operators of arrays: one type check and one call of the operation's C function each."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._errors import ArgumentError
from ._arguments import as_array
from ._binding import abi, native, operation
from ._convert import UnknownValueError

if TYPE_CHECKING:
    from ._array import array

Operator = Callable[[Any, Any], "array"]
InPlace = Callable[[Any, Any], Any]


def _operand(value: Any, other: Any, name: str) -> array:
    """The array that stands beside `other` in an operator.

    Raises:
      TypeError: the value is None, or `other` no array.
      ValueError: the value stands for no array.
    """
    if not isinstance(other, native.ArrayOwner):
        raise TypeError(f"{name}: expected an array, got {type(other).__name__}")
    if value is None:
        raise TypeError(f"Cannot perform {name} on an mlx.core.array and None")
    try:
        return as_array(value, other.dtype)
    except UnknownValueError:
        kind = type(value).__name__
        raise ArgumentError(f"Cannot perform {name} on an mlx.core.array and {kind}") from None


def _forward(what: str, name: str) -> Operator:
    """`array ? other`."""
    call = getattr(abi, what)

    def operator(self: Any, other: Any) -> array:
        made: array = call(self, _operand(other, self, name))
        return made

    operator.__doc__ = f"Element-wise {name}."
    return operation(f"{what} forward")(operator)


def _reflected(what: str, name: str) -> Operator:
    """`other ? array`."""
    call = getattr(abi, what)

    def operator(self: Any, other: Any) -> array:
        made: array = call(_operand(other, self, name), self)
        return made

    operator.__doc__ = f"Element-wise {name}."
    return operation(f"{what} reflected")(operator)


def _in_place(what: str, name: str) -> InPlace:
    """`array ?= other`: the object stays, and has other values; everybody who refers to it sees them."""
    call, name = getattr(abi, what), f"inplace {name}"

    def operator(self: Any, other: Any) -> Any:
        made = call(self, _operand(other, self, name))
        return self._become(made)

    operator.__doc__ = f"Element-wise {name}: the object gets the result."
    return operation(f"{what} in place")(operator)


def _of_integers(operator: InPlace, row: str, name: str) -> InPlace:
    def checked(self: Any, other: Any) -> Any:
        other = _operand(other, self, f"inplace {name}" if "place" in row else name)
        if self.dtype.kind in "fc" or other.dtype.kind in "fc":
            raise ArgumentError(f"Floating point types not allowed with {name}.")
        return operator(self, other)

    checked.__doc__ = operator.__doc__
    return operation(row)(checked)


def _integer_operators(what: str, name: str) -> tuple[Operator, InPlace]:
    forward, in_place = _forward(what, name), _in_place(what, name)
    return _of_integers(forward, f"{what} forward", name), _of_integers(in_place, f"{what} in place", name)


def _compared(what: str, otherwise: bool) -> InPlace:
    """`==` and `!=`, which have an answer for everything but None."""
    call = getattr(abi, what)

    def operator(self: Any, other: Any) -> Any:
        if type(other) is str:
            return otherwise
        if other is None:
            raise TypeError("Cannot compare an mlx.core.array with None; use `is`")
        try:
            return call(self, as_array(other, self.dtype))
        except UnknownValueError:
            return otherwise

    operator.__doc__ = "Element-wise comparison."
    return operation(f"{what} forward")(operator)


def _require_arrays(*operands: Any) -> None:
    for value in operands:
        if not isinstance(value, native.ArrayOwner):
            raise TypeError(f"matmul: expected an array, got {type(value).__name__}")


_divide_in_place = _in_place("divide", "division")


class Operators(native.ArrayOwner):
    """What an array does between operators."""

    __slots__ = ()

    __add__ = _forward("add", "addition")
    __iadd__ = _in_place("add", "addition")
    __radd__ = _reflected("add", "addition")
    __sub__ = _forward("subtract", "subtraction")
    __isub__ = _in_place("subtract", "subtraction")
    __rsub__ = _reflected("subtract", "subtraction")
    __mul__ = _forward("multiply", "multiplication")
    __imul__ = _in_place("multiply", "multiplication")
    __rmul__ = _reflected("multiply", "multiplication")
    __truediv__ = __div__ = _forward("divide", "division")
    __rtruediv__ = __rdiv__ = _reflected("divide", "division")
    __floordiv__ = _forward("floor_divide", "floor division")
    __ifloordiv__ = _in_place("floor_divide", "floor division")
    __rfloordiv__ = _reflected("floor_divide", "floor division")
    __mod__ = _forward("remainder", "modulus")
    __imod__ = _in_place("remainder", "modulus")
    __rmod__ = _reflected("remainder", "modulus")
    __pow__ = _forward("power", "power")
    __ipow__ = _in_place("power", "power")
    __rpow__ = _reflected("power", "power")
    __and__, __iand__ = _integer_operators("bitwise_and", "bitwise and")
    __or__, __ior__ = _integer_operators("bitwise_or", "bitwise or")
    __xor__, __ixor__ = _integer_operators("bitwise_xor", "bitwise xor")
    __lshift__, __ilshift__ = _integer_operators("left_shift", "left shift")
    __rshift__, __irshift__ = _integer_operators("right_shift", "right shift")
    __lt__ = _forward("less", "less than")
    __le__ = _forward("less_equal", "less than or equal")
    __gt__ = _forward("greater", "greater than")
    __ge__ = _forward("greater_equal", "greater than or equal")
    __eq__ = _compared("equal", False)
    __ne__ = _compared("not_equal", True)
    __hash__ = object.__hash__

    @operation("divide in place")
    def __itruediv__(self, other: Any) -> Any:
        """Element-wise division: the object gets the result."""
        other = _operand(other, self, "inplace division")
        if self.dtype.kind not in "fc":
            raise ArgumentError("In place division cannot cast to non-floating point type.")
        return _divide_in_place(self, other)

    @operation("matmul forward")
    def __matmul__(self, other: Any) -> array:
        """The product of matrices."""
        _require_arrays(self, other)
        return abi.matmul(self, other)

    @operation("matmul in place")
    def __imatmul__(self, other: Any) -> Any:
        """The product of matrices, which the object gets."""
        _require_arrays(self, other)
        return self._become(abi.matmul(self, other))

    @operation("negative operator")
    def __neg__(self) -> array:
        """Its elements with the other sign."""
        return abi.negative(self)

    @operation("same operator")
    def __pos__(self) -> array:
        """The same elements."""
        return native.adopt(self._share())

    @operation("absolute operator")
    def __abs__(self) -> array:
        """Absolute values."""
        return abi.abs(self)

    def __round__(self, ndigits: int | None = None) -> array:
        """Its elements rounded to so many decimals, in their dtype."""
        return abi.round(self, 0 if ndigits is None else operator.index(ndigits))

    @operation("inverted operator")
    def __invert__(self) -> array:
        """Its elements with all bits inverted; the logical not of bool."""
        if self.dtype.kind in "fc":
            raise ArgumentError("Floating point types not allowed with bitwise inversion.")
        return abi.bitwise_invert(self)
