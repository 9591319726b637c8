"""Linear algebra, as mlx.core.linalg has it."""

from __future__ import annotations

from typing import Any

from ._array import array
from ._binding import abi
from ._device import StreamOrDevice
from .generated.linalg import cholesky as cholesky
from .generated.linalg import cholesky_inv as cholesky_inv
from .generated.linalg import cross as cross
from .generated.linalg import det as det
from .generated.linalg import eig as eig
from .generated.linalg import eigh as eigh
from .generated.linalg import eigvals as eigvals
from .generated.linalg import eigvalsh as eigvalsh
from .generated.linalg import inv as inv
from .generated.linalg import lu as lu
from .generated.linalg import lu_factor as lu_factor
from .generated.linalg import pinv as pinv
from .generated.linalg import qr as qr
from .generated.linalg import slogdet as slogdet
from .generated.linalg import solve as solve
from .generated.linalg import solve_triangular as solve_triangular
from .generated.linalg import tri_inv as tri_inv


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
