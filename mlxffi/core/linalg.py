"""Linear algebra, as mlx.core.linalg has it."""

from __future__ import annotations

from typing import Any

from ._array import array
from ._binding import abi
from ._device import StreamOrDevice
from .generated.linalg import *  # noqa: F403
from .generated.linalg import cholesky_inv as cholesky_inv


def norm(
    a: array,
    /,
    ord: int | float | str | None = None,
    axis: int | list[int] | None = None,
    keepdims: bool = False,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """A norm of vectors along one axis, or of matrices along two.

    Args:
      ord: None is the root of the sum of squares; a number p, "fro" and "nuc" are as in numpy.
      axis: None takes all axes of a vector or matrix, and flattens what has more (`ord` None only).
    """
    if ord is None:
        return abi.linalg_norm_l2(a, axis, keepdims, stream)
    if isinstance(ord, str):
        return abi.linalg_norm_matrix(a, ord, axis, keepdims, stream)
    return abi.linalg_norm(a, ord, axis, keepdims, stream)


def svd(a: array, compute_uv: bool = True, *, stream: StreamOrDevice = None) -> Any:
    """The singular value decomposition of matrices.

    Returns:
      U, S and the transpose of V, or S alone where `compute_uv` is False.
    """
    parts = tuple(abi.linalg_svd(a, compute_uv, stream))
    return parts if compute_uv else parts[0]
