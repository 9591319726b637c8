"""Arrays from and for other libraries by DLPack, which knows every dtype and any strides.

Both sides share the memory where they can. A capsule that comes in stays as it is and is kept alive instead: whoever
made it releases its memory when it dies, which happens once on every path. One that goes out owns a handle of its own,
which C frees without entering Python.
"""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _ops
from ._errors import ArgumentError, OutOfMemoryError
from ._exporters import CPU as CPU
from ._exporters import READABLE, capsule_of, unreadable
from ._ffi import ffi, graph, lib
from ._memory import DTYPES, adopt, from_bytes
from ._values import computed, copy_of

if TYPE_CHECKING:
    from .array import Array

# DLPack's numbers for kinds of elements; "V" stands for bfloat16.
KINDS = {0: "i", 1: "u", 2: "f", 4: "V", 5: "c", 6: "b"}
CODES = {kind: code for code, kind in KINDS.items()}
READ_ONLY, COPIED = 1, 2


def _python(name: str, result: Any, *arguments: Any) -> Any:
    """A function of CPython's, which alone has capsules that this file can read and make."""
    if sys.implementation.name != "cpython":
        raise BufferError(f"DLPack needs CPython, this is {sys.implementation.name}; use numpy")
    return ctypes.PYFUNCTYPE(result, *arguments)((name, ctypes.pythonapi))


# --- in ---


def from_exporter(value: Any) -> Array:
    """An Array of what an object with `__dlpack__` exports.

    Raises:
      ValueError: the memory is not the CPU's and the exporter does not copy it there.
      TypeError: MLX has no such elements.
    """
    is_valid = _python("PyCapsule_IsValid", ctypes.c_int, ctypes.py_object, ctypes.c_char_p)
    capsule = capsule_of(value)
    for name, structure in ((b"dltensor_versioned", "DLManagedTensorVersioned *"), (b"dltensor", "DLManagedTensor *")):
        if is_valid(capsule, name):
            return _from_tensor(ffi.cast(structure, pointer_in(capsule, name)).dl_tensor, capsule)
    raise ArgumentError(f"value: expected a DLPack capsule from {type(value).__name__}.__dlpack__(), got {capsule!r}")


def pointer_in(capsule: Any, name: bytes) -> int:
    """The address in a capsule of that name."""
    address: int = _python("PyCapsule_GetPointer", ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(capsule, name)
    return address


def _from_tensor(tensor: Any, owner: object) -> Array:
    if tensor.device.device_type not in READABLE:
        raise unreadable(tensor.device.device_type)
    shape = list(tensor.shape[0 : tensor.ndim]) if tensor.ndim else []
    strides = _row_order(shape)
    if tensor.strides and tensor.ndim:
        given = tensor.strides[0 : tensor.ndim]
        strides = [0 if size <= 1 else stride for size, stride in zip(shape, given, strict=True)]
    kind = KINDS.get(tensor.dtype.code, "?") if tensor.dtype.lanes == 1 else "vector"
    start = ffi.cast("char *", tensor.data) + tensor.byte_offset if tensor.data else ffi.NULL
    return _from_span(start, shape, strides, kind, tensor.dtype.bits // 8, owner)


def _row_order(shape: Sequence[int]) -> list[int]:
    """The strides, in elements, of row order; an axis on which nobody moves counts 0."""
    return [0 if size <= 1 else math.prod(shape[axis + 1 :]) for axis, size in enumerate(shape)]


def _from_span(start: Any, shape: list[int], strides: list[int], kind: str, size: int, owner: object) -> Array:
    """An Array of elements with strides: of all the memory between the first and the last, seen with these strides."""
    if not math.prod(shape):
        return from_bytes(b"", shape, kind, size)
    reach = [(count - 1) * stride for count, stride in zip(shape, strides, strict=True)]
    before = -sum(step for step in reach if step < 0)
    count = before + sum(step for step in reach if step > 0) + 1
    in_rows = strides == _row_order(shape)
    span = _flat(start - before * size, shape if in_rows else [count], kind, size, owner)
    return span if in_rows else _ops.as_strided(span, shape, strides, before)


def _flat(start: Any, shape: list[int], kind: str, size: int, owner: object) -> Array:
    dtype = DTYPES.get((kind, size))
    if dtype is None:
        return from_bytes(bytes(ffi.buffer(start, math.prod(shape) * size)), shape, kind, size)
    return adopt(ffi.cast("void *", start), shape, dtype, owner)


# --- out ---


def to_capsule(array: Array, version: tuple[int, int] | None, copied: bool) -> Any:
    """A capsule over the memory of an array, or over a copy of it that the consumer may write to.

    Args:
      version: the newest version of DLPack that the consumer reads; None: from before 1.0.
    """
    array = copy_of(array) if copied else computed(array, "__dlpack__")
    new_capsule = _python("PyCapsule_New", ctypes.py_object, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    versioned = version is not None and version[0] >= 1
    kind = "V" if array.dtype.name == "bfloat16" else array.dtype.kind
    data = graph.glue_array_data(array._h) if array.size else ffi.NULL
    flags = COPIED if copied else READ_ONLY
    tensor = lib.glue_dlpack_new(array._mlxffi_share(), data, CODES[kind], versioned, flags)
    if not tensor:
        raise OutOfMemoryError("[__dlpack__] no memory for the description of the array")
    name = ffi.cast("intptr_t", lib.glue_dlpack_name(versioned))
    return new_capsule(tensor, int(name), lib.glue_dlpack_destructor())
