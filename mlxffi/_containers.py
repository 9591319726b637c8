"""C's maps and lists of strings from Python's and back. Those that go in live for the length of a `with` block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from . import _handles
from ._arguments import as_own, text
from ._ffi import check, ffi, freed, handle, lib, pointer, read
from ._files import path_of
from ._handles import pack_arrays

if TYPE_CHECKING:
    from ._arguments import ArrayLike
    from .array import Array

Value = TypeVar("Value")

END = 2  # what an iterator answers behind its last entry


def decoded(string: Any) -> str:
    """A C string as Python's."""
    raw: bytes = ffi.string(string)
    return raw.decode("utf-8", "surrogateescape")


def path_text(path: Any) -> bytes:
    """A path as C reads it."""
    return text(path_of(path), "file")


# --- into C ---


def entries_of(mapping: Mapping[str, Value] | None, name: str) -> Iterable[tuple[str, Value]]:
    """The entries of a dict, none for None; else an error that names the argument."""
    if mapping is None:
        return ()
    if not isinstance(mapping, Mapping):
        raise TypeError(f"{name}: expected a dict, got {type(mapping).__name__}")
    return mapping.items()


@contextmanager
def fresh(kind: str) -> Iterator[Any]:
    """A new container, freed at the end."""
    with freed(kind) as slot:
        slot[0] = getattr(lib, f"{kind}_new")()
        yield slot[0]


@contextmanager
def array_list(arrays: Sequence[Array]) -> Iterator[Any]:
    """A list of arrays."""
    with freed("mlx_vector_array") as slot:
        slot[0] = handle("mlx_vector_array", pack_arrays(arrays))
        yield slot[0]


@contextmanager
def array_map(arrays: Mapping[str, ArrayLike]) -> Iterator[int]:
    """A map from names to arrays."""
    with fresh("mlx_map_string_to_array") as made:
        for name, value in entries_of(arrays, "arrays"):
            array = as_own(value)
            check(lib.mlx_map_string_to_array_insert(made, text(name, "name"), handle("mlx_array", array._h)))
        yield pointer(made)


@contextmanager
def string_map(strings: Mapping[str, str] | None) -> Iterator[int]:
    """A map from keys to strings."""
    with fresh("mlx_map_string_to_string") as made:
        for key, value in entries_of(strings, "metadata"):
            check(lib.mlx_map_string_to_string_insert(made, text(key, "metadata"), text(value, f"metadata[{key!r}]")))
        yield pointer(made)


@contextmanager
def string_list(strings: Sequence[str], name: str) -> Iterator[int]:
    """A list of strings."""
    with fresh("mlx_vector_string") as made:
        for string in strings:
            check(lib.mlx_vector_string_append_value(made, text(string, name)))
        yield pointer(made)


# --- out of C ---


def _entries(kind: str, source: int, value: Any) -> Iterator[str]:
    """The keys of a map that somebody else frees; each time the slot has its value."""
    key = ffi.new("char **")
    iterator = getattr(lib, f"{kind}_iterator_new")(handle(kind, source))
    try:
        while (status := getattr(lib, f"{kind}_iterator_next")(key, value, iterator)) != END:
            check(status)
            yield decoded(key[0])
    finally:
        getattr(lib, f"{kind}_iterator_free")(iterator)


def arrays_of_map(source: int) -> dict[str, Array]:
    """The entries of a map of arrays that somebody else frees."""
    with freed("mlx_array") as value:
        return {key: taken_array(value) for key in _entries("mlx_map_string_to_array", source, value)}


def taken_array(slot: Any) -> Array:
    """The array in a slot, which no longer owns it."""
    found, slot.ctx = pointer(slot), ffi.NULL
    return _handles.own_array(found)


def strings_of_map(source: int) -> dict[str, str]:
    """The entries of a map of strings that somebody else frees."""
    value = ffi.new("char **")
    return {key: decoded(value[0]) for key in _entries("mlx_map_string_to_string", source, value)}


def strings_of_list(source: Any) -> list[str]:
    """The elements of a list of strings that somebody else frees."""
    places = range(lib.mlx_vector_string_size(source))
    return [decoded(read("char *", lib.mlx_vector_string_get, source, place)) for place in places]
