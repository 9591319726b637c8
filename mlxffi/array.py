"""The array: an owned handle with operators, indexing and conversions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _convert, _handles, _ops
from . import dtype as dtypes
from ._arguments import ArrayLike
from ._errors import ArgumentError, check
from ._ffi import ffi, graph, lib
from ._process import require_no_fork
from .dtype import Dtype, DtypeLike

if TYPE_CHECKING:
    from .device import Stream


class Array(_handles.ArrayHandle):
    """An n-dimensional array of one dtype, computed when it is needed.

    Args:
      value: a number, a nested list of numbers, another Array, or anything with the buffer protocol.
      dtype: a Dtype or its name; None takes that of the value (Python numbers: bool, int32, float32, complex64).
    """

    __slots__ = ()
    # numpy leaves operators with an Array on the right to the Array.
    __array_priority__ = 1000

    def __init__(self, value: ArrayLike, dtype: DtypeLike | None = None):
        self._h = 0
        wanted = None if dtype is None else dtypes.of(dtype)
        self._h = _convert.from_value(value, wanted)

    # --- what it is ---

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes along its axes."""
        ndim = graph.glue_array_ndim(self._h)
        return tuple(graph.glue_array_shape(self._h)[0:ndim]) if ndim else self._require_open(())

    @property
    def dtype(self) -> Dtype:
        """The type of its elements."""
        return self._require_open(dtypes.DTYPES[graph.glue_array_dtype(self._h)])

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return self._require_open(graph.glue_array_ndim(self._h))

    @property
    def size(self) -> int:
        """How many elements it has."""
        return self._require_open(graph.glue_array_size(self._h))

    @property
    def nbytes(self) -> int:
        """The bytes of its elements."""
        return self._require_open(graph.glue_array_nbytes(self._h))

    def _require_open(self, value: Any) -> Any:
        if not self._h:
            raise ArgumentError("this Array has been closed")
        return value

    # --- values ---

    def eval(self) -> Array:
        """Compute it now and wait; returns itself."""
        require_no_fork("eval")
        check(lib.glue_array_eval(self._h))
        return self

    def item(self) -> Any:
        """Its one element as a Python number.

        Raises:
          ValueError: it has not exactly one element.
        """
        if self.size != 1:
            raise ArgumentError(f"[item] expected an Array of one element, got shape {list(self.shape)}")
        value = self.tolist()
        while isinstance(value, list):
            value = value[0]
        return value

    def tolist(self) -> Any:
        """Its elements as nested lists of Python numbers; one number where it has no axes."""
        return _convert.to_list(self)

    def detach(self) -> Array:
        """Compute it and let go of the graph that computed it; returns itself."""
        self.eval()
        check(lib.mlxffi_array_detach(ffi.new("mlx_array *", [ffi.cast("void *", self._h)])[0]))
        return self

    def astype(self, dtype: DtypeLike, *, stream: Stream | None = None) -> Array:
        """Its values in another dtype."""
        return _ops.astype(self, dtype, stream=stream)


_handles.array_class = Array


OPERATORS = {
    "add": _ops.add, "sub": _ops.subtract, "mul": _ops.multiply, "truediv": _ops.divide, "matmul": _ops.matmul,
    "floordiv": _ops.floor_divide, "mod": _ops.remainder, "pow": _ops.power,
}  # fmt: skip


def _attach(name: str, operation: Any) -> None:
    """Give Array an operator and its reflection."""

    def forward(self: Array, other: ArrayLike) -> Array:
        return operation(self, other)

    def reflected(self: Array, other: ArrayLike) -> Array:
        return operation(other, self)

    setattr(Array, f"__{name}__", forward)
    setattr(Array, f"__r{name}__", reflected)


for _name, _operation in OPERATORS.items():
    _attach(_name, _operation)
