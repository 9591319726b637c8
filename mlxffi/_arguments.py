"""Python values as the arguments of glue functions."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, SupportsIndex, TypeAlias

from . import _handles
from . import dtype as dtypes
from ._bindings import shares
from ._errors import ArgumentError
from ._ffi import graph
from ._handles import handles as handles
from .device import Stream
from .dtype import DtypeLike as DtypeLike

if TYPE_CHECKING:
    from .array import Array

ArrayLike: TypeAlias = "Array | bool | int | float | complex | Sequence[Any] | Any"

P = ParamSpec("P")

# What glue_beside_int and glue_beside_float give where the general way has to do.
NOT_HELD = -1

FFT_NORMS = {"backward": 0, "ortho": 1, "forward": 2}


def as_array(value: Any) -> Array:
    """The value itself where it is an Array, else an Array made of it."""
    array_class = _handles.array_class
    if isinstance(value, array_class):
        return value
    # Not by the class's constructor: fused layers take most of their arguments from another layer.
    return _handles.own_array(value._mlxffi_share()) if shares(value) else array_class(value)


def as_own(value: ArrayLike) -> Array:
    """An Array with a handle that nobody else has: for a call that gives up the GIL, or runs Python while it lasts."""
    array = as_array(value)
    return _handles.own_array(graph.glue_array_set(array._h))


def handle_of(value: Array | None) -> int:
    """The handle of an Array; 0, which stands for none, for None."""
    return 0 if value is None else value._h


def stream_of(stream: Stream | None) -> int:
    """The handle of a stream; 0, which stands for the default one, for None."""
    return 0 if stream is None else Stream.handle_in(stream, "stream")


def maybe(value: ArrayLike | None) -> Array | None:
    """`as_array`, but for None, which stays None."""
    return None if value is None else as_array(value)


def kind_of(*values: object) -> Any:
    """The class of the first array among values, of whichever layer; Array where there is none."""
    for value in values:
        if shares(value):
            return type(value)
    return _handles.array_class


def owner_in(kind: Any) -> Callable[[int], Any]:
    """What makes an array of a fresh handle in the class of the layer that it goes back to."""
    return _handles.own_array if issubclass(kind, _handles.array_class) else kind._own


def as_kind(kind: Any, result: Array) -> Any:
    """An Array in the class of the layer that it goes back to."""
    return result if issubclass(kind, _handles.array_class) else kind._own(result._mlxffi_share())


def in_kind(function: Callable[P, Array]) -> Callable[P, Any]:
    """A function of Arrays that takes arrays of other layers, such as mlxffi.core's, too.

    It answers in the class of the first array that it is given.
    """

    @functools.wraps(function)
    def call(*arguments: P.args, **named: P.kwargs) -> Any:
        result = function(*arguments, **named)
        return as_kind(kind_of(*arguments, *named.values()), result)

    return call


def as_arrays(values: Iterable[ArrayLike | None], optional: int = 0) -> Sequence[Any]:
    """Arrays for all values; a Python number takes the dtype of the first Array among them.

    The last `optional` ones may be None, which stays None. No other thread has the sequence.
    """
    array_class = _handles.array_class
    values = tuple(values)
    for value in values:
        if type(value) is not array_class:
            break
    else:
        return values
    first = next((value for value in values if isinstance(value, array_class)), None)
    required = len(values) - optional
    return [
        value if isinstance(value, array_class) or (value is None and i >= required) else beside(value, first)
        for i, value in enumerate(values)
    ]


def as_inputs(name: str, values: Sequence[ArrayLike]) -> Sequence[Any]:
    """`as_arrays` of a list; one array in its place, which would silently be taken apart into its rows, is refused."""
    # A list is none, and to find that out takes long.
    if type(values) is not list and hasattr(values, "shape"):
        raise TypeError(f"{name}: expected a list of Arrays, got one {type(values).__name__}")
    return as_arrays(values)


def as_pair(a: ArrayLike, b: ArrayLike) -> tuple[Array, Array]:
    """`as_arrays` for two, as operators call it."""
    array_class = _handles.array_class
    if isinstance(a, array_class):
        return a, b if isinstance(b, array_class) else beside(b, a)
    if isinstance(b, array_class):
        return beside(a, b), b
    return array_class(a), array_class(b)


def beside(value: Any, array: Array | None) -> Array:
    """An Array of a value; a Python number takes the dtype of the Array that it meets, if there is one."""
    if array is not None:
        handle = NOT_HELD
        if type(value) is float:
            handle = graph.glue_beside_float(array._h, value)
        elif type(value) is int and -(2**63) <= value < 2**63:
            handle = graph.glue_beside_int(array._h, value)
        if handle != NOT_HELD:
            return _handles.own_array(handle)
        if isinstance(value, (bool, int, float, complex)):
            return _handles.array_class(value, dtypes.of_scalar(value, array.dtype))
    return _handles.array_class(value)


def dtype_number(value: DtypeLike) -> int:
    """The number of a dtype in the C enum."""
    return dtypes.of(value).number


def integers(value: int | Iterable[int]) -> list[int]:
    """A list of ints; one int stands for a list of it."""
    if type(value) is int:
        return [value]
    # A list is none, and to find that out takes long.
    if type(value) is not list:
        if isinstance(value, SupportsIndex):
            return [operator.index(value)]
        value = list(value)  # which refuses at once what memory cannot hold, such as range(2**62)
    return [operator.index(item) for item in value]


def text(value: str, name: str) -> bytes:
    """A string as C reads it."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected a str, got {type(value).__name__}")
    if "\0" in value:
        raise ArgumentError(f"{name}: expected a string without NUL characters, got {value!r}")
    return value.encode("utf-8", "surrogateescape")


def fft_norm(value: str) -> int:
    """The number of a Fourier norm in the C enum."""
    if value not in FFT_NORMS:
        raise ArgumentError(f"norm: expected one of {', '.join(FFT_NORMS)}, got {value!r}")
    return FFT_NORMS[value]
