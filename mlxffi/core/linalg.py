"""Linear algebra, as mlx.core.linalg has it."""

from __future__ import annotations

from typing import Any

from .._ffi import ffi, graph
from ._binding import operation
from ._array import array
from ._checks import integers, require_array, take_tuple
from ._device import StreamOrDevice, stream_handle
from .generated.linalg import cholesky as cholesky
from .generated.linalg import cholesky_inv as cholesky_inv
from .generated.linalg import cross as cross
from .generated.linalg import det as det
from .generated.linalg import eig as eig
from .generated.linalg import eigh as eigh
from .generated.linalg import eigvals as eigvals
from .generated.linalg import eigvalsh as eigvalsh
from .generated.linalg import inv as inv
from .generated.linalg import lu_factor as lu_factor
from .generated.linalg import pinv as pinv
from .generated.linalg import qr as qr
from .generated.linalg import slogdet as slogdet
from .generated.linalg import solve as solve
from .generated.linalg import solve_triangular as solve_triangular
from .generated.linalg import tri_inv as tri_inv

own = array._own


@operation("linalg_norm")
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
    if type(a) is not array:
        a = require_array(a, "a")
    where = 0 if stream is None else stream_handle(stream)
    # Without axes the C function gets no list, which is not an empty one.
    axes: Any = None if axis is None else integers(axis)
    rest = (ffi.NULL if axes is None else axes, 0 if axes is None else len(axes), keepdims, where)
    if ord is None:
        return own(graph.glue_linalg_norm_l2(a._h, *rest))
    if isinstance(ord, str):
        return own(graph.glue_linalg_norm_matrix(a._h, ord.encode(), *rest))
    return own(graph.glue_linalg_norm(a._h, ord, *rest))


@operation("linalg_svd")
def svd(a: array, compute_uv: bool = True, *, stream: StreamOrDevice = None) -> Any:
    """The singular value decomposition of matrices.

    Returns:
      U, S and the transpose of V, or S alone where `compute_uv` is False.
    """
    a = require_array(a, "a")
    parts = take_tuple(graph.glue_linalg_svd(a._h, compute_uv, 0 if stream is None else stream_handle(stream)))
    return parts if compute_uv else parts[0]


@operation("linalg_lu")
def lu(a: array, *, stream: StreamOrDevice = None) -> tuple[array, array, array]:
    """The LU decomposition of matrices: the rows' order, the lower and the upper triangle."""
    a = require_array(a, "a")
    order, lower, upper = take_tuple(graph.glue_linalg_lu(a._h, 0 if stream is None else stream_handle(stream)))
    return order, lower, upper
