"""Arrays for numpy, which the package does not need for anything else."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import _ops
from . import dtype as dtypes
from ._errors import ArgumentError

if TYPE_CHECKING:
    from .array import Array


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
        return numpy.from_dlpack(array)
    try:
        bfloat16 = importlib.import_module("ml_dtypes").bfloat16
    except ImportError:
        _require_copy(copy, "bfloat16 as float32 (ml_dtypes is not installed)")
        return numpy.from_dlpack(_ops.astype(array, dtypes.float32))
    return numpy.from_dlpack(_ops.view(array, dtypes.uint16)).view(bfloat16)


def _require_copy(copy: bool | None, what: str) -> None:
    if copy is False:
        raise ArgumentError(f"[__array__] expected copy to be None or True for {what}, got False")
