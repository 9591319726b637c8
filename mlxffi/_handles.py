"""Ownership: a Python object owns one C handle, as an integer, and frees it when it dies.

A handle of an array enters Python through `own_array` and `take_arrays` and nowhere else; one of another kind through
the constructor of its `Owner`. Vectors live for the length of a call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from ._errors import ArgumentError
from ._ffi import ffi, graph, last_error
from ._garbage import watching

if TYPE_CHECKING:
    from typing_extensions import Self

    from .array import Array

HANDLES = ffi.typeof("intptr_t[]")
# Most vectors are read by one call into a buffer of this size.
FEW = 8

# The class that owns arrays, and which those are of that have been closed. They have no values before array.py, above,
# sets them: look them up when they are needed, do not import them by name.
array_class: type[Array]
closed_class: type[Array]
_new: Callable[..., Any] = object.__new__


def set_array_class(array: type[Array], closed: type[Array]) -> None:
    """Say which class owns arrays, and which those are of that have been closed."""
    global array_class, closed_class
    array_class, closed_class = array, closed


def closed_error() -> ArgumentError:
    """What the use of a closed array raises."""
    return ArgumentError("this Array has been closed")


def take_arrays(vector: int, own: Callable[[int], Any] | None = None) -> list[Any]:
    """The arrays of a vector handle, which is freed; 0 stands for an error, which is raised. See `own_arrays`."""
    if not vector:
        raise last_error()
    found = ffi.new(HANDLES, FEW)
    size = graph.glue_vector_array_take(found, FEW, vector)
    if size > FEW:
        found = ffi.new(HANDLES, size)
        graph.glue_vector_array_take(found, size, vector)
    return own_arrays(found, size, own or own_array)


@watching
def own_array(handle: int) -> Array:
    """An Array that owns a fresh handle; 0 stands for an error, which is raised."""
    if not handle:
        raise last_error()
    array: Array = _new(array_class)
    array._h = handle
    return array


def own_arrays(buffer: Any, count: int, own: Callable[[int], Any] = own_array) -> list[Any]:
    """Arrays that own the first fresh handles of a buffer; where one is 0 there was an error, which is raised.

    `own` makes each of them.
    """
    if count == 1:
        return [own(buffer[0])]
    fresh, arrays = ffi.unpack(buffer, count), []
    try:
        for handle in fresh:
            arrays.append(own(handle))
    except BaseException:  # a signal's as well
        for handle in fresh[len(arrays) + 1 :]:
            graph.glue_array_free(handle)
        raise
    return arrays


def handles(arrays: Sequence[Array]) -> list[int]:
    """The handles of arrays, for a call that holds the GIL and takes a list."""
    kind = array_class
    try:
        if len(arrays) == 1 and type(arrays[0]) is kind:
            return [arrays[0]._h]
        found = [array._h for array in arrays if type(array) is kind]
        return found if len(found) == len(arrays) else [_handle(array) for array in arrays]
    except AttributeError:  # made by `object.__new__` alone
        raise TypeError("expected Arrays with a value, got one without") from None


def _handle(array: object) -> int:
    """The handle of what may be of a class derived from Array, or a stranger with an attribute of that name."""
    if not isinstance(array, array_class):
        raise TypeError(f"expected Arrays with a value, got {type(array).__name__}")
    return array._h


def pack_arrays(arrays: Sequence[Array]) -> int:
    """A new vector handle that holds the arrays: for a call that gives up the GIL, and frees it."""
    arrays = tuple(arrays)  # no other thread takes one of them away
    own = handles(arrays)
    vector = graph.glue_vector_array_of(*own) if len(own) == 1 else graph.glue_vector_array_pack(own, len(own))
    if not vector:
        raise last_error()
    return vector


class Owner:
    """The owner of a handle of another kind; `_free` is the C function that frees it when the object dies.

    Each class has its handle under a name of its own, `_slot`: C would take one of another kind for what it expects.
    """

    __slots__ = ("__weakref__",)
    _slot: ClassVar[str]
    _free: Callable[[int], Any]

    def __init__(self, handle: int):
        if not handle:
            raise last_error()
        if hasattr(self, self._slot):  # others may be using the one that it has
            type(self)._free(handle)
            raise TypeError(f"this {type(self).__name__} has been made already")
        setattr(self, self._slot, handle)

    @classmethod
    def handle_in(cls, value: object, name: str) -> int:
        """The handle of an argument, which must be an object of this class."""
        if not isinstance(value, cls):
            raise TypeError(f"{name}: expected a {cls.__name__}, got {type(value).__name__}")
        handle: int = getattr(value, cls._slot)
        return handle

    @classmethod
    def _own(cls, handle: int) -> Self:
        """An object of this class for a handle that C has just made."""
        owner = cls.__new__(cls)
        Owner.__init__(owner, handle)
        return owner

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} has one owner and can be neither copied nor pickled")

    def __del__(self) -> None:
        try:
            handle = getattr(self, self._slot)
            delattr(self, self._slot)  # what dies in one cycle with it may use it after its end
        except AttributeError:
            return
        type(self)._free(handle)
