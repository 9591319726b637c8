"""The CUDA backend."""

from __future__ import annotations

from .._errors import check
from .._ffi import ffi, lib
from ._binding import operation


@operation("cuda is_available")
def is_available() -> bool:
    """Whether the library has the CUDA backend and can use it."""
    found = ffi.new("bool *")
    check(lib.mlx_cuda_is_available(found))
    return bool(found[0])
