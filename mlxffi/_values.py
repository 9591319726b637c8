"""The values of arrays for Python: numbers, lists, text, numpy's arrays and buffers.

Whatever is read here is read through a handle that nobody else has, so that no other thread can change it meanwhile.
"""

from __future__ import annotations

import importlib
import math
import struct
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _memory, _ops
from . import dtype as dtypes
from ._arguments import as_own
from ._errors import ArgumentError
from ._ffi import check, ffi, graph, handle, lib, require_no_fork, taken_text
from ._garbage import look_at_memory
from ._handles import pack_arrays
from .dtype import LETTERS

if TYPE_CHECKING:
    from .array import Array


def computed(array: Array, function: str) -> Array:
    """The same values under a handle of their own, computed."""
    require_no_fork(function)
    own = as_own(array)
    check(lib.glue_array_eval(own._h))
    look_at_memory()
    return own


def start(arrays: Sequence[Array]) -> None:
    """Start to compute arrays, without waiting for them."""
    require_no_fork("async_eval")
    check(lib.glue_async_eval(pack_arrays(arrays)))
    look_at_memory()


# --- elements ---


def bytes_of(array: Array) -> bytes:
    """The bytes of an array's elements in row order."""
    rows = computed(_ops.contiguous(array), "bytes")
    return bytes(ffi.buffer(graph.glue_array_data(rows._h), rows.nbytes)) if rows.size else b""


def copy_of(array: Array) -> Array:
    """An Array with the same elements in memory of its own, in row order."""
    return _memory.from_row_order(bytes_of(array), array.shape, array.dtype.name)


# --- numbers ---


def numbers_of(array: Array) -> list[Any]:
    """The elements of an array in row order, as Python numbers."""
    if array.dtype.name in ("float16", "bfloat16"):
        array = _ops.astype(array, dtypes.float32)
    if array.dtype.kind != "c":
        return memoryview(bytes_of(array)).cast(LETTERS[array.dtype.name]).tolist()  # type: ignore[call-overload, no-any-return]
    parts = memoryview(bytes_of(array)).cast("f").tolist()
    return [complex(real, imaginary) for real, imaginary in zip(parts[::2], parts[1::2], strict=True)]


def one(array: Array, function: str, hint: str = "") -> Any:
    """The one element of an array as a Python number, wherever it lies."""
    own = computed(array, function)
    if own.size != 1:
        raise ArgumentError(f"[{function}] expected an Array of one element, got shape {list(own.shape)}{hint}")
    dtype = own.dtype
    data = bytes(ffi.buffer(graph.glue_array_data(own._h), dtype.size))
    if dtype.name == "bfloat16":
        return struct.unpack("f", b"\0\0" + data if sys.byteorder == "little" else data + b"\0\0")[0]
    if dtype.kind == "c":
        return complex(*struct.unpack("2f", data))
    return struct.unpack(LETTERS[dtype.name], data)[0]


def nested(numbers: list[Any], shape: Sequence[int]) -> Any:
    """Numbers in row order as nested lists; one number where there are no axes."""
    if not shape:
        return numbers[0]
    for axis in range(len(shape) - 1, 0, -1):
        size = shape[axis]
        numbers = [numbers[row * size : (row + 1) * size] for row in range(math.prod(shape[:axis]))]
    return numbers


# --- text ---


def text_of(array: Array) -> str:
    """The elements and the dtype of an array as MLX writes them for Python."""
    own = computed(array, "str")
    text = taken_text(handle("mlx_string", lib.glue_array_tostring(own._h))).replace("array(", "Array(", 1)
    # MLX capitalises them only after somebody has imported mlx.core.
    return text.replace("true", "True").replace("false", "False") if own.dtype is dtypes.bool_ else text


# --- memory for others ---


class _Lent:
    """Memory of an array in the form in which numpy takes it; what numpy makes of it keeps this alive."""

    def __init__(self, array: Array, typestr: str):
        self.owner = computed(array, "__array__")
        handle, ndim = self.owner._h, self.owner.ndim
        # C counts them in size_t, also those that lead backwards.
        strides = ffi.cast("int64_t *", graph.glue_array_strides(handle))[0:ndim] if ndim else []
        self.__array_interface__ = {
            "version": 3,
            "shape": self.owner.shape,
            "typestr": typestr,
            "data": (int(ffi.cast("intptr_t", graph.glue_array_data(handle))), True),
            "strides": tuple(stride * self.owner.dtype.size for stride in strides),
        }


def to_numpy(array: Array, dtype: Any, copy: bool | None) -> Any:
    """A numpy array of the same values.

    Args:
      dtype: numpy's dtype; None: that of the array.
      copy: True always copies, False never, None where it must.

    Raises:
      ValueError: the dtype needs a copy, and `copy` forbids it.
    """
    found = _shared(array, copy)
    if dtype is not None and found.dtype != dtype:
        _require_copy(copy, f"{array.dtype.name} as {dtype}")
        return found.astype(dtype)
    return found.copy() if copy else found


def _shared(array: Array, copy: bool | None) -> Any:
    numpy = importlib.import_module("numpy")
    if array.dtype is not dtypes.bfloat16:
        kind = numpy.dtype(array.dtype.name)
        return numpy.asarray(_Lent(array, kind.str)) if array.size else numpy.zeros(array.shape, kind)
    try:
        bfloat16 = importlib.import_module("ml_dtypes").bfloat16
    except ImportError:
        _require_copy(copy, "bfloat16 as float32 (ml_dtypes is not installed)")
        return _shared(_ops.astype(array, dtypes.float32), copy)
    return _shared(_ops.view(array, dtypes.uint16), copy).view(bfloat16)


def _require_copy(copy: bool | None, what: str) -> None:
    if copy is False:
        raise ArgumentError(f"[__array__] expected copy to be None or True for {what}, got False")


def memory_of(array: Array) -> memoryview:
    """The elements of an array in row order, with their shape: its own memory where they lie so, else a copy.

    Raises:
      BufferError: a memoryview cannot hold such elements, or have such a shape; numpy then asks for `__array__`.
    """
    letter = LETTERS.get(array.dtype.name)
    if letter is None:
        raise BufferError(f"a memoryview cannot hold {array.dtype.name}; use numpy")
    if not array.size and array.ndim > 1:
        raise BufferError(f"a memoryview without elements cannot have the shape {list(array.shape)}; use numpy")
    if not array.size:
        return memoryview(b"").cast(letter)  # type: ignore[call-overload, no-any-return]
    rows = computed(_ops.contiguous(array), "buffer")
    # What is made of the pointer keeps the array.
    data = ffi.gc(graph.glue_array_data(rows._h), lambda _, kept=rows: None)
    flat: Any = memoryview(ffi.buffer(data, rows.nbytes)).toreadonly()
    return flat.cast(letter, array.shape)  # type: ignore[no-any-return]
