"""The CUDA backend."""

from __future__ import annotations

from ._binding import abi, operation


@operation("cuda is_available")
def is_available() -> bool:
    """Whether the library has the CUDA backend and can use it."""
    return abi.cuda_is_available()
