"""The operators of arrays. But for what compares, all of them are C (native/python/ops/operators.c)."""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

import operator
from collections.abc import Callable

from ._arguments import as_array
from ._binding import abi, methods, native, operation, signature
from ._convert import UnknownValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._array import array

    Operator = Callable[[Any, Any], array]


def _operator(row: str) -> Operator:
    """`array ? other`, `other ? array`, or `array ?= other`, by which the object gets other values."""

    @signature(row)
    def operator(self: Any, other: Any) -> array:
        """Element by element."""

    return operator


def _operators(what: str) -> tuple[Operator, Operator, Operator]:
    """The three of them."""
    return _operator(f"{what} forward"), _operator(f"{what} reflected"), _operator(f"{what} in place")


def _compared(what: str, otherwise: bool) -> Callable[[Any, Any], Any]:
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


@methods
class Operators(native.ArrayOwner, metaclass=native.array_class):
    """What an array does between operators."""

    __slots__ = ()

    __add__, __radd__, __iadd__ = _operators("add")
    __sub__, __rsub__, __isub__ = _operators("subtract")
    __mul__, __rmul__, __imul__ = _operators("multiply")
    __truediv__, __rtruediv__, __itruediv__ = _operators("divide")
    __div__, __rdiv__ = __truediv__, __rtruediv__
    __floordiv__, __rfloordiv__, __ifloordiv__ = _operators("floor_divide")
    __mod__, __rmod__, __imod__ = _operators("remainder")
    __pow__, __rpow__, __ipow__ = _operators("power")
    __matmul__, __imatmul__ = _operator("matmul forward"), _operator("matmul in place")
    __and__, __iand__ = _operator("bitwise_and forward"), _operator("bitwise_and in place")
    __or__, __ior__ = _operator("bitwise_or forward"), _operator("bitwise_or in place")
    __xor__, __ixor__ = _operator("bitwise_xor forward"), _operator("bitwise_xor in place")
    __lshift__, __ilshift__ = _operator("left_shift forward"), _operator("left_shift in place")
    __rshift__, __irshift__ = _operator("right_shift forward"), _operator("right_shift in place")
    __lt__, __le__ = _operator("less forward"), _operator("less_equal forward")
    __gt__, __ge__ = _operator("greater forward"), _operator("greater_equal forward")
    __eq__, __ne__ = _compared("equal", False), _compared("not_equal", True)
    __hash__ = object.__hash__

    @signature("negative operator")
    def __neg__(self) -> array:
        """Its elements with the other sign."""

    @signature("absolute operator")
    def __abs__(self) -> array:
        """Absolute values."""

    @signature("same operator")
    def __pos__(self) -> array:
        """The same elements."""

    def __round__(self, ndigits: int | None = None) -> array:
        """Its elements rounded to that many decimals, in their dtype."""
        return abi.round(self, 0 if ndigits is None else operator.index(ndigits))

    @signature("inverted operator")
    def __invert__(self) -> array:
        """Its elements with all bits inverted; the logical not of bool."""
