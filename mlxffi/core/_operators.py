"""The operators of arrays: one type check and one call of the operation's C function each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from .._errors import ArgumentError
from .._ffi import graph
from .._handles import ArrayHandle
from . import _arguments
from ._arguments import UnknownValueError, operation

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


def _glue(what: str) -> Glue:
    found: Glue = getattr(graph, f"glue_{what}")
    return found


def _forward(what: str, name: str) -> Callable[[Any, Any], array]:
    """`array ? other`."""
    glue = _glue(what)

    def operator(self: Any, other: Any) -> array:
        kind = type(other)
        if kind is not _arguments.array_class:
            other = _arguments.beside(other, self) if kind in NUMBERS else _operand(other, self, name)
        return _arguments.own(glue(self._h, other._h, 0))

    operator.__doc__ = f"Element-wise {name}."
    return operation(f"{what} forward")(operator)


def _reflected(what: str, name: str) -> Callable[[Any, Any], array]:
    """`other ? array`."""
    glue = _glue(what)

    def operator(self: Any, other: Any) -> array:
        other = _arguments.beside(other, self) if type(other) in NUMBERS else _operand(other, self, name)
        return _arguments.own(glue(other._h, self._h, 0))

    operator.__doc__ = f"Element-wise {name}."
    return operation(f"{what} reflected")(operator)


def replace(self: Self, handle: int) -> Self:
    """Give an array object the value of a fresh handle; everybody who refers to the object sees it."""
    made = _arguments.own(handle)
    self._h, made._h = made._h, self._h
    return self


def _in_place(what: str, name: str) -> Callable[[Any, Any], Any]:
    """`array ?= other`: the object stays, and has other values."""
    glue, name = _glue(what), f"inplace {name}"

    def operator(self: Any, other: Any) -> Any:
        kind = type(other)
        if kind is not _arguments.array_class:
            other = _arguments.beside(other, self) if kind in NUMBERS else _operand(other, self, name)
        return replace(self, glue(self._h, other._h, 0))

    operator.__doc__ = f"Element-wise {name}: the object gets the result."
    return operation(f"{what} in place")(operator)


def _bitwise(operator: Callable[[Any, Any], array], row: str, name: str) -> Callable[[Any, Any], array]:
    """An operator of integers."""

    def checked(self: Any, other: Any) -> array:
        if type(other) is not _arguments.array_class:
            other = _operand(other, self, f"inplace {name}" if "place" in row else name)
        if self.dtype.kind in "fc" or other.dtype.kind in "fc":
            raise ArgumentError(f"Floating point types not allowed with {name}.")
        return operator(self, other)

    checked.__doc__ = operator.__doc__
    return operation(row)(checked)


def _integer_operators(what: str, name: str) -> tuple[Callable[[Any, Any], array], Callable[[Any, Any], array]]:
    forward, in_place = _forward(what, name), _in_place(what, name)
    return _bitwise(forward, f"{what} forward", name), _bitwise(in_place, f"{what} in place", name)


def _compared(what: str, otherwise: bool) -> Callable[[Any, Any], Any]:
    """`==` and `!=`, which have an answer for everything but None."""
    glue = _glue(what)

    def operator(self: Any, other: Any) -> Any:
        if type(other) is not _arguments.array_class:
            if type(other) is str:
                return otherwise
            if other is None:
                raise TypeError("Cannot compare an mlx.core.array with None; use `is`")
            try:
                other = _arguments.beside(other, self)
            except UnknownValueError:
                return otherwise
        return _arguments.own(glue(self._h, other._h, 0))

    operator.__doc__ = "Element-wise comparison."
    return operation(f"{what} forward")(operator)


def _absent(self: Any, other: Any = None) -> Any:
    """An operator that arrays have not."""
    return NotImplemented


def _require_arrays(self: Any, other: Any) -> None:
    if not isinstance(other, _arguments.array_class):
        raise TypeError(f"matmul: expected an array, got {type(other).__name__}")


_divide_in_place = _in_place("divide", "division")


class Operators(ArrayHandle):
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

    # The lower layer's arrays have more operators than MLX's.
    __round__: Any = None
    __rand__ = __ror__ = __rxor__ = __rlshift__ = __rrshift__ = __rmatmul__ = __divmod__ = __rdivmod__ = _absent

    @operation("divide in place")
    def __itruediv__(self: Self, other: Any) -> Self:
        """Element-wise division: the object gets the result."""
        if type(other) is not _arguments.array_class:
            other = _operand(other, self, "inplace division")
        if self.dtype.kind not in "fc":  # type: ignore[attr-defined]
            raise ArgumentError("In place division cannot cast to non-floating point type.")
        return _divide_in_place(self, other)  # type: ignore[no-any-return]

    @operation("matmul forward")
    def __matmul__(self, other: Any) -> array:
        """The product of matrices."""
        _require_arrays(self, other)
        return _arguments.own(graph.glue_matmul(self._h, other._h, 0))

    @operation("matmul in place")
    def __imatmul__(self: Self, other: Any) -> Self:
        """The product of matrices, which the object gets."""
        _require_arrays(self, other)
        return replace(self, graph.glue_matmul(self._h, other._h, 0))

    @operation("negative operator")
    def __neg__(self) -> array:
        """Its elements with the other sign."""
        return _arguments.own(graph.glue_negative(self._h, 0))

    @operation("same operator")
    def __pos__(self) -> array:
        """The same elements."""
        return _arguments.own(graph.glue_array_set(self._h))

    @operation("absolute operator")
    def __abs__(self) -> array:
        """Absolute values."""
        return _arguments.own(graph.glue_abs(self._h, 0))

    @operation("inverted operator")
    def __invert__(self) -> array:
        """Its elements with all bits inverted; the logical not of bool."""
        if self.dtype.kind in "fc":  # type: ignore[attr-defined]
            raise ArgumentError("Floating point types not allowed with bitwise inversion.")
        return _arguments.own(graph.glue_bitwise_invert(self._h, 0))
