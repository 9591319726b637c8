"""C's maps and lists of strings from Python's and back. Those that go in live for the length of a `with` block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from . import _handles
from ._arguments import as_own, text
from ._ffi import check, ffi, last_error, lib
from ._files import path_of

if TYPE_CHECKING:
    from ._arguments import ArrayLike
    from .array import Array

END = 2  # what an iterator answers behind its last entry


def pointer(handle: Any) -> int:
    """A C handle as the integer that glue functions take."""
    return int(ffi.cast("intptr_t", handle.ctx))


def handle(kind: str, pointer: int) -> Any:
    """An integer as the C handle that plain functions take."""
    return ffi.new(f"{kind} *", [ffi.cast("void *", pointer)])[0]


def decoded(string: Any) -> str:
    """A C string as Python's."""
    raw: bytes = ffi.string(string)
    return raw.decode("utf-8", "surrogateescape")


def path_text(path: Any) -> bytes:
    """A path as C reads it."""
    return text(path_of(path), "file")


# --- into C ---


@contextmanager
def array_map(arrays: Mapping[str, ArrayLike]) -> Iterator[int]:
    """A map from names to arrays."""
    made = lib.mlx_map_string_to_array_new()
    try:
        for name, value in arrays.items():
            array = as_own(value)
            check(lib.mlx_map_string_to_array_insert(made, text(name, "name"), handle("mlx_array", array._h)))
        yield pointer(made)
    finally:
        lib.mlx_map_string_to_array_free(made)


@contextmanager
def string_map(strings: Mapping[str, str]) -> Iterator[int]:
    """A map from keys to strings."""
    made = lib.mlx_map_string_to_string_new()
    try:
        for key, value in strings.items():
            check(lib.mlx_map_string_to_string_insert(made, text(key, "metadata"), text(value, f"metadata[{key!r}]")))
        yield pointer(made)
    finally:
        lib.mlx_map_string_to_string_free(made)


@contextmanager
def string_list(strings: Sequence[str], name: str) -> Iterator[int]:
    """A list of strings."""
    made = lib.mlx_vector_string_new()
    try:
        for string in strings:
            check(lib.mlx_vector_string_append_value(made, text(string, name)))
        yield pointer(made)
    finally:
        lib.mlx_vector_string_free(made)


# --- out of C ---


def arrays_of_map(source: int) -> dict[str, Array]:
    """The entries of a map of arrays that somebody else frees."""
    iterator = lib.mlx_map_string_to_array_iterator_new(handle("mlx_map_string_to_array", source))
    key, value = ffi.new("char **"), ffi.new("mlx_array *")
    arrays = {}
    try:
        while (status := lib.mlx_map_string_to_array_iterator_next(key, value, iterator)) != END:
            check(status)
            arrays[decoded(key[0])] = _handles.own_array(pointer(value))
            value.ctx = ffi.NULL
    finally:
        lib.mlx_array_free(value[0])
        lib.mlx_map_string_to_array_iterator_free(iterator)
    return arrays


def strings_of_map(source: int) -> dict[str, str]:
    """The entries of a map of strings that somebody else frees."""
    iterator = lib.mlx_map_string_to_string_iterator_new(handle("mlx_map_string_to_string", source))
    key, value = ffi.new("char **"), ffi.new("char **")
    strings = {}
    try:
        while (status := lib.mlx_map_string_to_string_iterator_next(key, value, iterator)) != END:
            check(status)
            strings[decoded(key[0])] = decoded(value[0])
    finally:
        lib.mlx_map_string_to_string_iterator_free(iterator)
    return strings


def strings_of_list(source: Any) -> list[str]:
    """The elements of a list of strings that somebody else frees."""
    element = ffi.new("char **")
    strings = []
    for index in range(lib.mlx_vector_string_size(source)):
        if lib.mlx_vector_string_get(element, source, index):
            raise last_error()
        strings.append(decoded(element[0]))
    return strings
