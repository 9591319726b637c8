"""Memory of the process: what MLX holds, and its limits."""

from __future__ import annotations

from . import _trees
from ._binding import abi
from .generated.memory import clear_cache as clear_cache
from .generated.memory import get_active_memory as get_active_memory
from .generated.memory import get_cache_memory as get_cache_memory
from .generated.memory import get_memory_limit as get_memory_limit
from .generated.memory import get_peak_memory as get_peak_memory
from .generated.memory import reset_peak_memory as reset_peak_memory
from .generated.memory import set_cache_limit as set_cache_limit
from .generated.memory import set_memory_limit as set_memory_limit
from .generated.memory import set_wired_limit as set_wired_limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "clear_cache", "get_active_memory", "get_array_buffer_size", "get_cache_memory", "get_memory_limit",
    "get_peak_memory", "reset_peak_memory", "set_cache_limit", "set_memory_limit", "set_wired_limit",
]  # fmt: skip


def get_array_buffer_size(*args: Any) -> int:
    """The size of the buffers behind arrays; shared buffers count once.

    Args:
      args: trees of arrays.

    Returns:
      Bytes.

    Raises:
      ValueError: an array has not been evaluated.
    """
    return abi.get_array_buffer_size(_trees.leaves(args, []))
