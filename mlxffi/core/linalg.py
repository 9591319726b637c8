"""Linear algebra, as mlx.core.linalg has it."""

from __future__ import annotations

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
    # `isinstance` takes long to say no.
    if type(ord) is not int and isinstance(ord, str):
        return abi.linalg_norm_matrix(a, ord, axis, keepdims, stream)
    return abi.linalg_norm(a, ord, axis, keepdims, stream)
