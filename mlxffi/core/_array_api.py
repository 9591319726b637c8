"""What the array API standard asks of a library, and the names of types in annotations."""

from __future__ import annotations

from .._errors import ArgumentError
from . import _device, _dtype
from ._dtype import Dtype

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol, TypeAlias
else:
    Protocol = object

__all__ = ["DLPackCompatible", "__array_namespace_info__", "list_or_scalar", "scalar"]

scalar: TypeAlias = "int | float | bool | complex"
list_or_scalar: TypeAlias = "scalar | list[Any]"


class DLPackCompatible(Protocol):
    """What has DLPack's two methods."""

    def __dlpack__(self, *args: Any, **kwargs: Any) -> Any: ...

    def __dlpack_device__(self, *args: Any, **kwargs: Any) -> Any: ...


class _ArrayNamespaceInfo:
    """What this library can do, in the terms of the array API standard."""

    def capabilities(self) -> dict[str, Any]:
        """Which optional features there are."""
        return {"boolean indexing": False, "data-dependent shapes": False, "max dimensions": 10}

    def default_device(self) -> _device.Device:
        """The device on which operations run that name no stream."""
        return _device.default_device()

    def devices(self) -> tuple[_device.Device, ...]:
        """All devices."""
        kinds = (_device.cpu, _device.gpu)
        return tuple(_device.Device(kind, index) for kind in kinds for index in range(_device.device_count(kind)))

    def default_dtypes(self, *, device: Any = None) -> dict[str, Dtype]:
        """The dtypes that Python numbers become."""
        _require_device(device)
        return {
            "real floating": _dtype.float32,
            "complex floating": _dtype.complex64,
            "integral": _dtype.int32,
            "indexing": _dtype.int32,
        }

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, Dtype]:
        """The dtypes of the standard that a device knows, of one kind or several or all."""
        _require_device(device)
        lacking = {"float16", "bfloat16"}
        if (device or self.default_device()).type is not _device.cpu:
            lacking.add("float64")
        found = {dtype.name: dtype for dtype in _dtype.DTYPES if dtype.name not in lacking}
        if kind is None:
            return found
        kinds = (kind,) if isinstance(kind, str) else kind
        if not isinstance(kinds, tuple) or not all(isinstance(one, str) for one in kinds):
            raise ArgumentError(f"kind: expected a str or a tuple of them, got {kind!r}")
        return {name: dtype for name, dtype in found.items() if _dtype.isdtype(dtype, kinds)}


def _require_device(device: Any) -> None:
    if device is not None and not isinstance(device, _device.Device):
        raise TypeError(f"device: expected a Device or None, got {type(device).__name__}")


def __array_namespace_info__() -> _ArrayNamespaceInfo:
    """What this library can do, in the terms of the array API standard."""
    return _ArrayNamespaceInfo()
