"""Communication between processes."""

from __future__ import annotations

from collections.abc import Callable

from .._errors import ArgumentError, OperationError
from . import _binding
from ._binding import abi, native
from .generated import distributed_group
from .generated.distributed import *  # noqa: F403
from .generated.distributed import all_max as all_max
from .generated.distributed_group import is_available as is_available

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BACKENDS = ("any", "mpi", "nccl", "jaccl", "ring")


@_binding.methods
class Group(native.Handle):
    """Processes that communicate; made by `init` and `split`."""

    __module__ = "mlxffi.core.distributed"
    __slots__ = ()
    rank = distributed_group.rank
    size = distributed_group.size

    def __new__(cls, *_: Any) -> Group:
        raise TypeError("Group: no constructor defined; use mx.distributed.init")

    def split(self, color: int, key: int = -1) -> Group:
        """The group of those processes that call this with the same color.

        Args:
          color: what the processes of a new group have in common.
          key: orders the ranks in it; a negative one stands for the rank here.

        Returns:
          The group of this process.
        """
        return abi.distributed_group_split(self, color, key)


def init(
    strict: bool = False,
    backend: str = "any",
    *,
    all_gather_factory: Callable[[int, int], Callable[[bytes, int], bytes]] | None = None,
) -> Group:
    """The group of all processes that were launched together.

    Args:
      strict: raise where no backend can be started, instead of giving a group of one.
      backend: "any", "mpi", "nccl", "jaccl" or "ring".
      all_gather_factory: makes, of rank and size, the gathering of bytes that "jaccl" connects with.

    Returns:
      The group; one process alone if no backend can be started.

    Raises:
      RuntimeError: `strict`, and there is no backend or no configuration for it.
    """
    if all_gather_factory is not None:
        _require_factory(backend, all_gather_factory)
    if backend not in BACKENDS:
        raise ArgumentError(f"[distributed] backend: expected one of {', '.join(BACKENDS)}, got {backend!r}")
    return abi.distributed_init(strict, backend)


def _require_factory(backend: str, factory: Any) -> None:
    if not callable(factory):
        raise TypeError(f"init(): all_gather_factory: expected a callable, got {type(factory).__name__}")
    if backend != "jaccl":
        raise ArgumentError("all_gather_factory is only supported with backend='jaccl'.")
    if not is_available("jaccl"):
        raise OperationError("[distributed] the jaccl backend (RDMA between Macs) is not in this MLX")
    raise OperationError(
        "[distributed] the C ABI has no way to hand over an all_gather_factory; set MLX_JACCL_COORDINATOR instead"
    )
