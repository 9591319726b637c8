"""The capsules of DLPack that objects of other libraries export, for a reader on the CPU."""

from __future__ import annotations

from ._errors import ArgumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CPU = (1, 0)
# Devices whose memory the CPU reads: its own, and memory pinned or managed by CUDA or ROCm.
READABLE = {1, 3, 11, 13}


def capsule_of(value: Any) -> Any:
    """The capsule of an object with `__dlpack__`, as new as the exporter knows them.

    Raises:
      ValueError: the memory is not the CPU's and the exporter does not copy it there.
    """
    value = _settled(value)
    device = value.__dlpack_device__() if hasattr(value, "__dlpack_device__") else CPU
    options: dict[str, Any] = {} if int(device[0]) in READABLE else {"dl_device": CPU}
    try:
        return value.__dlpack__(max_version=(1, 0), **options)
    except TypeError:
        if options:
            raise unreadable(int(device[0])) from None
    # An exporter from before DLPack 1.0.
    return value.__dlpack__()


def unreadable(device: int) -> ArgumentError:
    """The error for the memory of a kind of device."""
    return ArgumentError(
        f"value: expected memory that the CPU reads, got DLPack device type {device}; copy it to the CPU first"
    )


def _settled(value: Any) -> Any:
    """A tensor of torch without a graph, whose memory holds its values: torch conjugates and negates when it reads, and
    exports the memory of what is to be negated as it is."""
    return value.detach().resolve_conj().resolve_neg() if hasattr(value, "resolve_neg") else value
