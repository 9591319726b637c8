"""Communication between processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .._arguments import text
from .._errors import ArgumentError, OperationError
from .._ffi import graph, lib, native
from ._arguments import as_array
from ._binding import operation
from ._array import array
from ._device import StreamOrDevice, stream_handle
from ._dtype import Dtype

_own: Callable[[int], array] = array._own

BACKENDS = ("any", "mpi", "nccl", "jaccl", "ring")


class Group(native.GroupOwner):
    """Processes that communicate; made by `init` and `split`."""

    __module__ = "mlxffi.core.distributed"
    __slots__ = ()

    def split(self, color: int, key: int = -1) -> Group:
        """The group of those processes that call this with the same color.

        Args:
          color: what the processes of a new group have in common.
          key: orders the ranks in it; a negative one stands for the rank here.
        """
        return Group._own(lib.glue_distributed_group_split(self._h, color, key))


@operation("distributed is_available")
def is_available(backend: str = "any") -> bool:
    """Whether a backend ("any", "mpi", "nccl", "jaccl" or "ring") was built in; "any": one of them."""
    return bool(lib.glue_distributed_is_available(text(backend, "backend")))


@operation("distributed init")
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

    Raises:
      RuntimeError: `strict`, and there is no backend or no configuration for it.
    """
    _require_factory(backend, all_gather_factory)
    if backend not in BACKENDS:
        raise ArgumentError(f"[distributed] backend: expected one of {', '.join(BACKENDS)}, got {backend!r}")
    return Group._own(lib.glue_distributed_init(bool(strict), text(backend, "backend")))


def _require_factory(backend: str, factory: Any) -> None:
    if factory is None:
        return
    if not callable(factory):
        raise TypeError(f"init(): all_gather_factory: expected a callable, got {type(factory).__name__}")
    if backend != "jaccl":
        raise ArgumentError("all_gather_factory is only supported with backend='jaccl'.")
    if not is_available("jaccl"):
        raise OperationError("[distributed] the jaccl backend (RDMA between Macs) is not in this MLX")
    raise OperationError(
        "[distributed] the C ABI has no way to hand over an all_gather_factory; set MLX_JACCL_COORDINATOR instead"
    )


def _group(group: Group | None) -> int:
    if group is None:
        return 0
    if not isinstance(group, Group):
        raise TypeError(f"group: expected a Group or None, got {type(group).__name__}")
    return group._h


@operation("distributed_all_sum")
def all_sum(x: array, *, group: Group | None = None, stream: StreamOrDevice = None) -> array:
    """The sum of the arrays of all processes."""
    x = as_array(x)
    return _own(graph.glue_distributed_all_sum(x._h, _group(group), stream_handle(stream)))


@operation("distributed_all_max")
def all_max(x: array, *, group: Group | None = None, stream: StreamOrDevice = None) -> array:
    """The largest of the arrays of all processes, by element."""
    x = as_array(x)
    return _own(graph.glue_distributed_all_max(x._h, _group(group), stream_handle(stream)))


@operation("distributed_all_min")
def all_min(x: array, *, group: Group | None = None, stream: StreamOrDevice = None) -> array:
    """The smallest of the arrays of all processes, by element."""
    x = as_array(x)
    return _own(graph.glue_distributed_all_min(x._h, _group(group), stream_handle(stream)))


@operation("distributed_all_gather")
def all_gather(x: array, *, group: Group | None = None, stream: StreamOrDevice = None) -> array:
    """The arrays of all processes, one behind the other along the first axis."""
    x = as_array(x)
    return _own(graph.glue_distributed_all_gather(x._h, _group(group), stream_handle(stream)))


@operation("distributed_sum_scatter")
def sum_scatter(x: array, *, group: Group | None = None, stream: StreamOrDevice = None) -> array:
    """This process's part, along the first axis, of the sum of the arrays of all processes (NCCL)."""
    x = as_array(x)
    return _own(graph.glue_distributed_sum_scatter(x._h, _group(group), stream_handle(stream)))


def send(x: array, dst: int, *, group: Group | None = None, stream: StreamOrDevice = None) -> array:
    """The array itself, which is sent to the process of rank `dst` when it is evaluated."""
    x = as_array(x)
    return _own(graph.glue_distributed_send(x._h, dst, _group(group), stream_handle(stream)))


def recv(
    shape: Sequence[int], dtype: Dtype, src: int, *, group: Group | None = None, stream: StreamOrDevice = None
) -> array:
    """The array of a shape and dtype that the process of rank `src` sends."""
    sizes = list(shape)
    handle = graph.glue_distributed_recv(sizes, len(sizes), dtype.number, src, _group(group), stream_handle(stream))
    return _own(handle)


def recv_like(x: array, src: int, *, group: Group | None = None, stream: StreamOrDevice = None) -> array:
    """The array, of the shape and dtype of `x`, that the process of rank `src` sends."""
    x = as_array(x)
    return _own(graph.glue_distributed_recv_like(x._h, src, _group(group), stream_handle(stream)))
