"""Arrays in files: .npy for one array, .safetensors and .gguf for named arrays with metadata.

A file is a path or a binary file object. From a path, arrays are read lazily when they are evaluated, and the file must
not change until then. A file object is read to its end immediately, into a temporary file, and is written through one.
An exception that it raises reaches the caller as the same object.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from . import _handles
from ._arguments import as_own, stream_of, text
from ._containers import (
    array_map,
    arrays_of_map,
    decoded,
    entries_of,
    fresh,
    string_list,
    string_map,
    strings_of_list,
    strings_of_map,
    taken_array,
)
from ._ffi import check, ffi, freed, handle, lib, pointer, require_no_fork
from ._files import reading, writing
from ._handles import Owner
from .array import Array

if TYPE_CHECKING:
    from ._arguments import ArrayLike
    from .device import Stream

__all__ = ["GGUFMetadata", "load", "load_gguf", "load_safetensors", "save", "save_gguf", "save_safetensors"]

File: TypeAlias = "str | os.PathLike[str] | IO[bytes]"
GGUFValue: TypeAlias = "ArrayLike | str | Sequence[str]"

# What MLX's getters answer where there is no such entry.
MISSING = 2
# By the kind of C's slot: the getter of such metadata, and what makes it Python's.
GETTERS: dict[str, tuple[Callable[..., int], Callable[[Any], Any]]] = {
    "mlx_array": (lib.mlx_io_gguf_get_metadata_array, taken_array),
    "mlx_string": (lib.mlx_io_gguf_get_metadata_string, lambda slot: decoded(lib.mlx_string_data(slot[0]))),
    "mlx_vector_string": (lib.mlx_io_gguf_get_metadata_vector_string, lambda slot: strings_of_list(slot[0])),
}


# --- one array ---


def save(file: File, array: ArrayLike) -> None:
    """Write an array in .npy format, in row order.

    Args:
      file: a path, to which .npy is appended where it does not end so, or a binary file object.
      array: the array; it is evaluated.

    Raises:
      RuntimeError: the path cannot be written.

    Source: C mlx_save.
    """
    require_no_fork("save")
    value = as_own(array)
    with writing(file, ".npy") as path:
        check(lib.glue_save(text(path, "file"), value._h))


def load(file: File, *, stream: Stream | None = None) -> Array:
    """Read the array of an .npy file.

    Args:
      file: a path or a binary file object.

    Returns:
      The array, in the file's dtype.

    Raises:
      RuntimeError: the file cannot be opened or is no .npy file of a known dtype.

    Source: C mlx_load.
    """
    with reading(file, ".npy") as path:
        return _handles.own_array(lib.glue_load(text(path, "file"), stream_of(stream)))


# --- safetensors ---


def save_safetensors(file: File, arrays: Mapping[str, ArrayLike], metadata: Mapping[str, str] | None = None) -> None:
    """Write named arrays in safetensors format.

    Args:
      file: a path, to which .safetensors is appended where it does not end so, or a binary file object.
      arrays: arrays by name; they are evaluated.
      metadata: strings by key.

    Raises:
      RuntimeError: the path cannot be written.

    Source: C mlx_save_safetensors.
    """
    require_no_fork("save_safetensors")
    with array_map(arrays) as values, string_map(metadata) as strings, writing(file, ".safetensors") as path:
        check(lib.glue_save_safetensors(text(path, "file"), values, strings))


def load_safetensors(file: File, *, stream: Stream | None = None) -> tuple[dict[str, Array], dict[str, str]]:
    """Read the named arrays and the metadata of a safetensors file.

    Args:
      file: a path or a binary file object.

    Returns:
      (arrays, metadata): arrays by name, and strings by key.

    Raises:
      RuntimeError: the file cannot be opened, is no safetensors file, or has a dtype that MLX does not have or a name
        with a NUL.

    Source: C mlx_load_safetensors.
    """
    with freed("mlx_map_string_to_array") as arrays, freed("mlx_map_string_to_string") as metadata:
        with reading(file, ".safetensors") as path:
            slots = [ffi.cast("intptr_t *", slot) for slot in (arrays, metadata)]
            check(lib.glue_load_safetensors(slots[0], slots[1], text(path, "file"), stream_of(stream)))
        return arrays_of_map(pointer(arrays)), strings_of_map(pointer(metadata))


# --- GGUF ---


class GGUFMetadata(Owner):
    """The metadata of a GGUF file, looked up by key: an Array, a string or a list of strings; made by `load_gguf`."""

    __slots__ = ("_gguf",)
    _slot = "_gguf"
    _gguf: int

    def __init__(self, path: str, stream: Stream | None = None):
        super().__init__(lib.glue_load_gguf(text(path, "file"), stream_of(stream)))

    @staticmethod
    def _free(contents: int) -> None:
        lib.mlx_io_gguf_free(handle("mlx_io_gguf", contents))

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key.

        Args:
          key: the name.
          default: what is returned if the key is missing.

        Returns:
          An Array, a string or a list of strings.
        """
        contents, name = handle("mlx_io_gguf", self._gguf), text(key, "key")
        for kind, (read, taken) in GETTERS.items():
            with freed(kind) as slot:
                status = read(slot, contents, name)
                if status != MISSING:
                    check(status)
                    return taken(slot)
        return default

    def __getitem__(self, key: str) -> Any:
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __contains__(self, key: str) -> bool:
        return self.get(key) is not None

    def keys(self) -> list[str]:
        """All keys, in no particular order; only mlxffi's own libmlxc can list them.

        Source: C mlx_io_gguf_get_metadata_keys.
        """
        return _gguf_strings_of(lib.mlx_io_gguf_get_metadata_keys, handle("mlx_io_gguf", self._gguf))


def save_gguf(file: File, arrays: Mapping[str, ArrayLike], metadata: Mapping[str, GGUFValue] | None = None) -> None:
    """Write named arrays in GGUF format.

    Args:
      file: a path, to which .gguf is appended where it does not end so, or a binary file object.
      arrays: arrays by name, of dtype float32, float16, bfloat16, float64, int8, int16, int32 or int64.
      metadata: by key an Array (a scalar or a vector), a string or a list of strings.

    Raises:
      ValueError: the format cannot hold the dtype of an entry.
      RuntimeError: the path cannot be written, or the format cannot hold an array.

    Source: C mlx_save_gguf.
    """
    require_no_fork("save_gguf")
    with fresh("mlx_io_gguf") as contents:
        for name, value in entries_of(arrays, "arrays"):
            array = as_own(value)
            check(lib.mlx_io_gguf_set_array(contents, text(name, "name"), handle("mlx_array", array._h)))
        for key, value in entries_of(metadata, "metadata"):
            _set_metadata(contents, text(key, "metadata"), value)
        with writing(file, ".gguf") as path:
            check(lib.glue_save_gguf(text(path, "file"), pointer(contents)))


def _set_metadata(contents: Any, key: bytes, value: Any) -> None:
    if isinstance(value, str):
        check(lib.mlx_io_gguf_set_metadata_string(contents, key, text(value, "metadata")))
    elif isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        with string_list(value, "metadata") as strings:
            vector = handle("mlx_vector_string", strings)
            check(lib.mlx_io_gguf_set_metadata_vector_string(contents, key, vector))
    else:
        array = as_own(value)
        check(lib.mlx_io_gguf_set_metadata_array(contents, key, handle("mlx_array", array._h)))


def load_gguf(file: File, *, stream: Stream | None = None) -> tuple[dict[str, Array], GGUFMetadata]:
    """Read the named arrays and the metadata of a GGUF file.

    Tensors of the types Q4_0, Q4_1 and Q8_0 are packed weights with .scales and .biases beside them, other quantised
    ones are decoded to float16, or to float32 where a number does not fit; MXFP4 and BF16 are bfloat16.

    Args:
      file: a path or a binary file object.

    Returns:
      (arrays, metadata): arrays by name, and what looks up metadata by key.

    Raises:
      ValueError: the file cannot be opened.
      RuntimeError: it is no GGUF file, does not hold what its header says or has a tensor of a type that is not read;
        the message names it.

    Source: C mlx_load_gguf.
    """
    with reading(file, ".gguf") as path:
        metadata = GGUFMetadata(path, stream)
    contents = handle("mlx_io_gguf", metadata._gguf)
    names = _gguf_strings_of(lib.mlx_io_gguf_get_keys, contents)
    arrays: dict[str, Array] = {}
    with freed("mlx_array") as slot:
        for name in names:
            check(lib.mlx_io_gguf_get_array(slot, contents, text(name, "name")))
            arrays[name] = taken_array(slot)
    return arrays, metadata


def _gguf_strings_of(read: Callable[..., int], contents: Any) -> list[str]:
    """The names that a C function lists."""
    with freed("mlx_vector_string") as names:
        check(read(names, contents))
        return strings_of_list(names[0])
