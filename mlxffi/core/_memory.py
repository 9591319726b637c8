"""Memory of the process: what MLX holds, and its limits."""

from __future__ import annotations

from . import _trees
from ._binding import abi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["get_array_buffer_size"]


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
