"""Arrays in files: .npy, .npz, .safetensors and .gguf, by path or through file objects."""

from __future__ import annotations

import io as streams
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from .._errors import ArgumentError, Error, OperationError
from .._files import copy_file, reading, temporary, writing
from ._array import array
from ._binding import abi, native
from ._device import StreamOrDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any, BinaryIO, TypeAlias
    from zipfile import ZipFile

__all__ = ["load", "save", "save_gguf", "save_safetensors", "savez", "savez_compressed"]


File: TypeAlias = "BinaryIO | str | Path"
# What makes the metadata of a file where somebody asks for it.
Metadata: TypeAlias = "Callable[[], dict[str, Any]]"


# --- saving ---


def save(file: File, arr: array) -> None:
    """Write an array in .npy format.

    Args:
      file: a path, to which .npy is appended where it does not end so, or a binary file object.
      arr: the array; it is evaluated.
    """
    if not isinstance(arr, array):
        raise TypeError(f"save(): arr: expected an array, got {type(arr).__name__}")
    with _written("save", file, ".npy") as path:
        abi.save(path, arr)


def savez(file: File, *args: array, **kwargs: array) -> None:
    """Write arrays to an uncompressed .npz archive; those without a name are arr_0, arr_1 and so on.

    Args:
      file: a path, to which .npz is appended if it does not end so, or a binary file object.
      args, kwargs: the arrays.
    """
    _save_archive(file, args, kwargs, compressed=False)


def savez_compressed(file: File, *args: array, **kwargs: array) -> None:
    """Write arrays to a compressed .npz archive; those without a name are arr_0, arr_1 and so on.

    Args:
      file: a path, to which .npz is appended if it does not end so, or a binary file object.
      args, kwargs: the arrays.
    """
    _save_archive(file, args, kwargs, compressed=True)


def _save_archive(file: Any, args: tuple[array, ...], kwargs: dict[str, array], *, compressed: bool) -> None:
    import zipfile  # for archives only

    entries = dict(kwargs)
    for index, arr in enumerate(args):
        if f"arr_{index}" in kwargs:
            raise ArgumentError(f"[savez] Cannot use un-named variables and keyword arr_{index}")
        entries[f"arr_{index}"] = arr
    for name, arr in entries.items():
        if not isinstance(arr, array):
            raise OperationError(f"[savez] {name}: expected an array, got {type(arr).__name__}")
        _require_whole_name("savez", name)
    target = file
    if isinstance(file, (str, os.PathLike)):
        target = os.fspath(file) if os.fspath(file).endswith(".npz") else f"{os.fspath(file)}.npz"
    elif not hasattr(file, "write"):
        raise AttributeError(f"[savez] file: expected a path or a file object with write(), got {type(file).__name__}")
    compression = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(target, "w", compression, allowZip64=True) as archive:
        for name, arr in entries.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                save(entry, arr)  # type: ignore[arg-type]


def save_safetensors(file: File, arrays: dict[str, array], metadata: dict[str, str] | None = None) -> None:
    """Write named arrays in safetensors format.

    Args:
      file: a path, to which .safetensors is appended where it does not end so, or a binary file object.
      arrays: arrays by name; they are evaluated.
      metadata: texts by key.
    """
    if not isinstance(arrays, dict):
        raise TypeError(f"save_safetensors(): arrays: expected a dict, got {type(arrays).__name__}")
    strings = {} if metadata is None else metadata
    if not isinstance(strings, dict) or not all(isinstance(item, str) for pair in strings.items() for item in pair):
        raise ArgumentError("[save_safetensors] Metadata must be a dictionary with string keys and values")
    _require_arrays("save_safetensors", arrays)
    with _written("save_safetensors", file, ".safetensors") as path:
        abi.save_safetensors(path, arrays, strings)


def _require_arrays(function: str, arrays: Mapping[Any, Any]) -> None:
    for name, value in arrays.items():
        if not isinstance(name, str) or not isinstance(value, array):
            raise OperationError(f"[{function}] arrays: expected arrays by str, got {value!r} by {name!r}")
        _require_whole_name(function, name)


def _require_whole_name(function: str, name: str) -> None:
    if "\0" in name:
        raise ArgumentError(f"[{function}] arrays: expected names without NUL characters, got {name!r}")


def save_gguf(file: File, arrays: dict[str, array], metadata: dict[str, Any] | None = None) -> None:
    """Write named arrays in GGUF format.

    Args:
      file: a path, to which .gguf is appended where it does not end so.
      arrays: arrays by name; they are evaluated.
      metadata: by key an array (a scalar or a vector), a text or a list of texts.
    """
    if not isinstance(arrays, dict):
        raise TypeError(f"save_gguf(): arrays: expected a dict, got {type(arrays).__name__}")
    if not isinstance(file, (str, os.PathLike)):
        raise ArgumentError("[save_gguf] Input must be a string")
    _require_arrays("save_gguf", arrays)
    contents = abi.io_gguf_new()
    for name, value in arrays.items():
        abi.io_gguf_set_array(contents, name, value)
    for key, value in (metadata or {}).items():
        _set_metadata(contents, key, value)
    with writing(file, ".gguf") as path:
        abi.save_gguf(path, contents)


def _set_metadata(contents: native.Handle, key: str, value: Any) -> None:
    if isinstance(value, str):
        abi.io_gguf_set_metadata_string(contents, key, value)
    elif isinstance(value, array):
        abi.io_gguf_set_metadata_array(contents, key, value)
    elif isinstance(value, list) and all(isinstance(item, str) for item in value):
        abi.io_gguf_set_metadata_vector_string(contents, key, value)
    else:
        raise OperationError(f"[save_gguf] metadata[{key!r}]: expected an array, a str or a list of str")


@contextmanager
def _written(function: str, file: Any, suffix: str) -> Iterator[str]:
    if not isinstance(file, (str, os.PathLike)) and not hasattr(file, "write"):
        raise ArgumentError(f"[{function}] Input must be a file-like object, or string")
    with writing(file, suffix) as path:
        yield path


# --- loading ---


def load(
    file: File,
    /,
    format: str | None = None,
    return_metadata: bool = False,
    *,
    stream: StreamOrDevice = None,
) -> Any:
    """Read the array or the arrays of a file.

    Args:
      file: a path or, but for gguf, a binary file object. Out of a path arrays are read when they are evaluated.
      format: "npy", "npz", "safetensors" or "gguf"; None takes what the name ends in.
      return_metadata: give the metadata as well, where the format has it.

    Returns:
      An array for npy, else arrays by name; with `return_metadata` the pair of that and a dict.
    """
    if file is None:
        raise TypeError("load(): file: expected a path or a binary file object, got None")
    by_path = isinstance(file, (str, os.PathLike))
    if not by_path and not _is_binary(file):
        raise ArgumentError("[load] Input must be a file-like object opened in binary mode, or string")
    kind = format
    if kind is not None and not isinstance(kind, str):
        raise TypeError(f"load(): format: expected a str, got {type(kind).__name__}")
    if kind is None:
        _, dot, kind = (os.fspath(file) if by_path else str(file.name)).rpartition(".")  # type: ignore[arg-type,union-attr]
        if not dot:
            raise ArgumentError("[load] Could not infer file format from extension")
    if kind not in READERS:
        raise ArgumentError(f"[load] Unknown file format {kind}")
    if return_metadata and kind in ("npy", "npz"):
        raise ArgumentError(f"[load] metadata not supported for format {kind}")
    arrays, metadata = READERS[kind](file, stream)
    return (arrays, metadata()) if return_metadata else arrays


def _is_binary(file: Any) -> bool:
    if isinstance(file, streams.TextIOBase):
        return False
    return all(hasattr(file, name) for name in ("read", "seek", "tell"))


def _load_npy(file: Any, stream: StreamOrDevice) -> tuple[array, Metadata]:
    with reading(file, ".npy") as path:
        return abi.load(path, stream), dict


def _load_npz(file: Any, stream: StreamOrDevice) -> tuple[dict[str, array], Metadata]:
    import zipfile  # for archives only

    try:
        archive = zipfile.ZipFile(file)
    except (OSError, zipfile.BadZipFile) as error:
        raise ArgumentError(f"[load_npz] file: expected a zip archive, got {file!r} ({error})") from error
    with archive:
        return {name.removesuffix(".npy"): _entry(archive, name, stream) for name in archive.namelist()}, dict


def _entry(archive: ZipFile, name: str, stream: StreamOrDevice) -> array:
    with archive.open(name) as entry:
        try:
            return _load_npy(entry, stream)[0]
        except Error as error:
            raise type(error)(f"[load_npz] {name}: {error}") from None


def _load_safetensors(file: Any, stream: StreamOrDevice) -> tuple[dict[str, array], Metadata]:
    with reading(file, ".safetensors") as path:
        arrays, metadata = _with_nul(path, stream) or abi.load_safetensors(path, stream)
    return arrays, lambda: metadata


def _with_nul(path: str, stream: StreamOrDevice) -> tuple[dict[str, array], dict[str, str]] | None:
    """What a safetensors file holds where its names or metadata have a NUL, which ends a name in C; else None.

    C reads a copy with other names, and tells what else is wrong with a file.
    """
    if not os.path.isfile(path):
        return None
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = file.read(size) if size < os.path.getsize(path) else b""
        if rb"\u0000" not in header:
            return None
        import json  # for such files only

        try:
            described = dict(json.loads(header))
        except (TypeError, ValueError, RecursionError):
            return None
        metadata = described.pop("__metadata__", {})
        plain = json.dumps(dict(enumerate(described.values()))).encode()
        with temporary(".safetensors") as path:
            with open(path, "wb") as copy:
                copy.write(len(plain).to_bytes(8, "little") + plain)
                copy_file(file, copy)
            arrays = abi.load_safetensors(path, stream)[0]
    return {name: arrays[str(number)] for number, name in enumerate(described)}, metadata


def _load_gguf(file: Any, stream: StreamOrDevice) -> tuple[dict[str, array], Metadata]:
    if not isinstance(file, (str, os.PathLike)):
        raise ArgumentError("[load_gguf] Input must be a string")
    with reading(file, ".gguf") as path:
        contents = abi.load_gguf(path, stream)
    arrays = {name: abi.io_gguf_get_array(contents, name) for name in abi.io_gguf_get_keys(contents)}
    return arrays, lambda: {key: _metadata(contents, key) for key in abi.io_gguf_get_metadata_keys(contents)}


def _metadata(contents: native.Handle, key: str) -> array | str | list[str]:
    if abi.io_gguf_has_metadata_array(contents, key):
        return abi.io_gguf_get_metadata_array(contents, key)
    if abi.io_gguf_has_metadata_string(contents, key):
        return abi.io_gguf_get_metadata_string(contents, key)
    return abi.io_gguf_get_metadata_vector_string(contents, key)


READERS: dict[str, Callable[[Any, StreamOrDevice], tuple[Any, Metadata]]] = {
    "npy": _load_npy,
    "npz": _load_npz,
    "safetensors": _load_safetensors,
    "gguf": _load_gguf,
}
