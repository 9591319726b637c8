"""Memory: what MLX holds, its limits, and how many native objects are alive."""

from __future__ import annotations

from collections.abc import Callable

from . import _live
from ._ffi import check, ffi, lib, plain_mlxc, read


def live_handles() -> dict[str, int]:
    """How many native objects of each kind are alive, and under "callbacks" the objects of Python that C holds:
    functions, and owners of memory.

    Equal figures before and after some work mean that it leaked nothing. Over somebody else's mlx-c, which counts
    nothing, only "callbacks" is there.
    """
    callbacks = _live.count()
    kinds = range(0 if plain_mlxc else lib.mlxffi_live_kinds())
    return {**{_kind(kind): lib.mlxffi_live_objects(kind) for kind in kinds}, "callbacks": callbacks}


def _kind(number: int) -> str:
    name: str = ffi.string(lib.mlxffi_live_kind(number)).decode()
    return name.removeprefix("mlx_")


def _bytes(function: Callable[..., int], *arguments: int) -> int:
    return int(read("size_t", function, *arguments))


def active_memory() -> int:
    """Bytes in use by arrays."""
    return _bytes(lib.mlx_get_active_memory)


def peak_memory() -> int:
    """The most bytes that were in use since the start or the last reset."""
    return _bytes(lib.mlx_get_peak_memory)


def reset_peak_memory() -> None:
    """Let `peak_memory` start again from what is in use now."""
    check(lib.mlx_reset_peak_memory())


def cache_memory() -> int:
    """Bytes that MLX keeps for reuse."""
    return _bytes(lib.mlx_get_cache_memory)


def clear_cache() -> None:
    """Give the memory kept for reuse back to the system."""
    check(lib.mlx_clear_cache())


def memory_limit() -> int:
    """The guideline, in bytes, for how much memory evaluation uses."""
    return _bytes(lib.mlx_get_memory_limit)


def set_memory_limit(limit: int) -> int:
    """Set how many bytes of memory evaluation should stay below; a guideline.

    Args:
      limit: bytes.

    Returns:
      The former limit, in bytes.
    """
    return _bytes(lib.mlx_set_memory_limit, limit)


def set_cache_limit(limit: int) -> int:
    """Set how many bytes MLX keeps for reuse.

    Args:
      limit: bytes; 0 keeps none.

    Returns:
      The former limit, in bytes.
    """
    return _bytes(lib.mlx_set_cache_limit, limit)


def set_wired_limit(limit: int) -> int:
    """Set how many bytes stay resident for the GPU (Metal only).

    Args:
      limit: bytes.

    Returns:
      The former limit, in bytes.
    """
    return _bytes(lib.mlx_set_wired_limit, limit)
