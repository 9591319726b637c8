"""Python values as arrays, with the default dtypes and the conversions of C."""

from __future__ import annotations

from collections.abc import Sequence

from .._bindings import shares
from .._elements import elements_of, require_countable
from .._errors import ArgumentError, Error, OperationError
from .._exporters import capsule_of
from . import _dtype
from ._binding import abi, native
from ._device import cpu
from ._dtype import Dtype

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._array import array

NUMBERS = (bool, int, float, complex)


class UnknownValueError(ArgumentError):
    """A value that stands for no array."""


class NothingError(Error, TypeError):
    """None, where an array belongs."""


def from_value(value: Any, dtype: Dtype | None = None) -> array:
    """A new array of what `array` takes.

    Raises:
      TypeError: the value is None, or the dtype none.
      ValueError: it stands for no array.
      RuntimeError: a number does not fit.
    """
    if dtype is not None:
        _dtype.of(dtype)
    found = native.array_of_numbers(value, dtype)
    if found is not None:
        return found
    if isinstance(value, (list, tuple)):
        return _stacked(value, dtype)
    if isinstance(value, native.ArrayOwner):
        return value if dtype is None or value.dtype is dtype else abi.astype(value, dtype)  # type: ignore[return-value]
    return from_foreign(value, dtype)


def _stacked(value: Sequence[Any], dtype: Dtype | None) -> array:
    """The array of a list in which there are more than numbers. The graphs of arrays stay."""
    for row in value:
        if not isinstance(row, (*NUMBERS, native.ArrayOwner, list, tuple)) and not hasattr(row, "__mlx_array__"):
            raise _unknown(row)
    rows = [from_value(row, dtype) for row in value]
    if len({row.shape for row in rows}) > 1:
        raise ArgumentError("Initialization encountered non-uniform length.")
    return abi.stack(rows)


# --- values of other libraries ---


def from_foreign(value: Any, dtype: Dtype | None = None) -> array:
    """An array of an object with `__mlx_array__`, the buffer protocol, `__dlpack__` or `__array__`, or of mlxffi's own.

    Args:
      dtype: of its elements; None keeps theirs, but for float64, which becomes float32.
    """
    if value is None:
        raise NothingError("value: expected a number, a list of numbers or an array, got None")
    if isinstance(value, (list, tuple, str)):
        raise _unknown(value)
    if hasattr(value, "__mlx_array__"):
        made = value.__mlx_array__()
        return from_value(made, dtype) if isinstance(made, native.ArrayOwner) else from_foreign(made, dtype)
    if shares(value):
        return from_value(native.adopt(value._mlxffi_share()), dtype)
    found = _imported(value)
    dtype = dtype or (_dtype.float32 if found.dtype is _dtype.float64 else found.dtype)
    if found.dtype is not dtype:
        # GPUs have no float64, so the CPU converts.
        found = abi.astype(found, dtype, cpu)
        native.eval([found])
    return found


def _unknown(value: Any) -> UnknownValueError:
    return UnknownValueError(f"Invalid type {type(value).__name__} received in array initialization.")


def _imported(value: Any) -> array:
    """The elements of another library, in their own dtype."""
    if getattr(getattr(value, "dtype", None), "kind", "") in ("M", "m"):
        return _refused(value.dtype)
    found = _from_buffer(value)
    if found is not None:
        return found
    # numpy's own elements come as a buffer or not at all.
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array_interface__"):
        return native.from_capsule(capsule_of(value))
    if hasattr(value, "__array__"):
        exported = value.__array__()
        found = _from_buffer(exported)
        return _refused(getattr(exported, "dtype", type(exported).__name__)) if found is None else found
    for base in (complex, float, int):
        if isinstance(value, base):
            return from_value(base(value))  # type: ignore[arg-type]
    raise _unknown(value)


def _refused(found: object) -> array:
    names = ", ".join(dtype.name for dtype in _dtype.DTYPES)
    raise OperationError(f"value: expected elements of one of {names}, got {found}; convert them first")


# --- memory ---

BY_KIND = {("V" if dtype.name == "bfloat16" else dtype.kind, dtype.size): dtype for dtype in _dtype.DTYPES}


def _from_buffer(value: Any) -> array | None:
    """A copy of a buffer's elements; None where there is none, or it does not say what they are."""
    found = elements_of(value)
    if found is None:
        return None
    data, shape, kind, size = found
    require_countable(shape)
    dtype = BY_KIND.get((kind, size))
    if dtype is None:
        return _refused(f"{8 * size} bits of kind {kind!r}")
    return native.array_of_bytes(data, shape, dtype)
