"""Linear algebra, as mlx.core.linalg has it."""

from __future__ import annotations

from ._array import array
from ._binding import abi
from ._device import StreamOrDevice
from .generated.linalg import *  # noqa: F403
from .generated.linalg import cholesky_inv as cholesky_inv

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def norm(
    a: array,
    /,
    ord: int | float | str | None = None,
    axis: int | list[int] | None = None,
    keepdims: bool = False,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """The norm of vectors along one axis, or of matrices along two.

    Args:
      a: the array.
      ord: a number p, "fro" or "nuc", as in numpy; None: the root of the sum of squares.
      axis: one axis or two; None: all axes of a vector or matrix, or the flattened array if `ord` is None.
      keepdims: whether reduced axes stay, with size 1.

    Returns:
      The dtype of `a`, or float32 for integers.
    """
    if ord is None:
        return abi.linalg_norm_l2(a, axis, keepdims, stream)
    if isinstance(ord, str):
        return abi.linalg_norm_matrix(a, ord, axis, keepdims, stream)
    return abi.linalg_norm(a, ord, axis, keepdims, stream)


def svd(a: array, compute_uv: bool = True, *, stream: StreamOrDevice = None) -> Any:
    """The singular value decomposition of matrices.

    Args:
      a: floating point [..., M, N].
      compute_uv: whether to compute U and V, too.

    Returns:
      U, S and the transpose of V; only S if `compute_uv` is False.
    """
    parts = abi.linalg_svd(a, compute_uv, stream)
    return tuple(parts) if compute_uv else parts[0]
