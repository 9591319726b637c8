"""Arguments and results of the operation functions, checked and converted."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from .._ffi import ffi
from .._handles import take_arrays
from ._arguments import MisfitError
from ._array import array
from ._marshal import many as many
from ._marshal import spread as spread
from ._dtype import Dtype

ArrayLike: TypeAlias = "array | bool | int | float | complex | Any"


def misfit(error: OverflowError) -> MisfitError:
    """The error for an int of more than 32 bits."""
    return MisfitError(f"expected ints of 32 bits: {error}")


def require_array(value: Any, name: str) -> array:
    """The array itself.

    Raises:
      TypeError: it is something else.
    """
    if isinstance(value, array):
        return value
    raise TypeError(f"{name}: expected an array, got {type(value).__name__}")


def array_list(values: Any, name: str) -> Sequence[array]:
    """A sequence of arrays as a list; an array is one of those along its first axis."""
    if not isinstance(values, (list, tuple)):
        if isinstance(values, (str, bytes)) or not hasattr(values, "__getitem__") or not hasattr(values, "__len__"):
            raise TypeError(f"{name}: expected a list of arrays, got {type(values).__name__}")
        values = list(values)
    given: Sequence[Any] = values
    for value in given:
        if type(value) is not array:
            break
    else:
        return given
    return [value if type(value) is array else require_array(value, f"an item of {name}") for value in given]


def dtype_number(value: Any) -> int:
    """The number of a Dtype in the C enum.

    Raises:
      TypeError: it is no Dtype.
    """
    if type(value) is Dtype:
        return value.number
    raise TypeError(f"dtype: expected a Dtype, got {value!r}")


def sizes(values: Any) -> Sequence[int]:
    """A sequence of ints as glue functions take it."""
    if type(values) is tuple or type(values) is list:
        return values
    if isinstance(values, (str, bytes)) or not hasattr(values, "__getitem__") or not hasattr(values, "__len__"):
        raise TypeError(f"expected a sequence of ints, got {values!r}")
    return [operator.index(value) for value in values]


def integers(value: Any) -> Sequence[int]:
    """A list of ints; one int stands for a list of it."""
    kind = type(value)
    if kind is tuple or kind is list:
        return value  # type: ignore[no-any-return]
    if kind is int:
        return (value,)
    return sizes(value) if many(value) else (operator.index(value),)


# --- results ---


def take_list(vector: int) -> list[array]:
    """The arrays of a fresh vector handle as a list; 0 stands for an error, which is raised."""
    return take_arrays(vector, array._share_all)


def take_tuple(vector: int) -> tuple[array, ...]:
    """The arrays of a fresh vector handle as a tuple; 0 stands for an error, which is raised."""
    return tuple(take_list(vector))


def take_two(glue: Callable[..., int], *arguments: Any) -> tuple[array, array]:
    """The two arrays that a glue function writes through its first two parameters."""
    first, second = ffi.new("intptr_t *"), ffi.new("intptr_t *")
    glue(first, second, *arguments)
    return array._own(first[0]), array._own(second[0])
