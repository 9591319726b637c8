"""`Array`, the one type that everything here takes and returns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from . import _buffers, _convert, _dlpack, _handles, _indexing, _numpy, _ops, _printing
from . import dtype as dtypes
from ._arguments import ArrayLike
from ._errors import ArgumentError
from ._ffi import check, ffi, graph, lib
from ._operators import Operators
from ._process import require_no_fork
from .dtype import Dtype, DtypeLike

if TYPE_CHECKING:
    from .device import Stream


class Array(Operators):
    """An n-dimensional array of one dtype, computed when it is needed.

    The values of an array never change under anybody else: assigning to a part of it gives this object new values.

    Args:
      value: a number, a nested list of numbers and Arrays, another Array, a numpy array or scalar, or anything with
        the buffer protocol, `__dlpack__` or `__array__`. On Metal an array may share the memory of such an object,
        which must not change while the array is in use; on CPU and CUDA it is copied.
      dtype: a Dtype or its name; None takes that of the value (Python numbers: bool, int32 or the wider type that they
        need, float32, complex64; complex128 becomes complex64).

    Raises:
      TypeError: no array can be made of the value.
      ValueError: rows differ in length, or a number does not fit in the dtype.
    """

    __slots__ = ()
    # numpy leaves operators with an Array on the right to the Array.
    __array_priority__ = 1000

    def __init__(self, value: ArrayLike, dtype: DtypeLike | None = None):
        self._h = 0
        self._h = _convert.from_value(value, None if dtype is None else dtypes.of(dtype))

    # --- what it is ---

    @property
    def dtype(self) -> Dtype:
        """The type of its elements."""
        return dtypes.DTYPES[graph.glue_array_dtype(self._h or self._refuse_closed())]

    def _refuse_closed(self) -> int:
        raise _handles.closed_error()

    def __len__(self) -> int:
        """The size of its first axis."""
        return self._sized("len").shape[0]

    def __iter__(self) -> Iterator[Array]:
        """The arrays along its first axis."""
        return map(self.__getitem__, range(len(self._sized("iter"))))

    def _sized(self, function: str) -> Array:
        if not self.ndim:
            raise _convert.ForeignValueError(f"[{function}] expected an Array with axes, got one of shape []")
        return self

    # --- values ---

    def eval(self) -> Array:
        """Compute it now and wait; returns itself."""
        require_no_fork("eval")
        check(lib.glue_array_eval(self._h))
        return self

    def async_eval(self) -> Array:
        """Start to compute it without waiting; returns itself."""
        require_no_fork("async_eval")
        check(lib.glue_async_eval([self._h], 1))
        return self

    def detach(self) -> Array:
        """Compute it and let go of the graph that computed it; returns itself."""
        self.eval()
        check(lib.mlxffi_array_detach(ffi.new("mlx_array *", [ffi.cast("void *", self._h)])[0]))
        return self

    def item(self) -> Any:
        """Its one element as a Python number.

        Raises:
          ValueError: it has not exactly one element.
        """
        if self.size != 1:
            raise ArgumentError(f"[item] expected an Array of one element, got shape {list(self.shape)}")
        return _buffers.number_of(self)

    def tolist(self) -> Any:
        """Its elements as nested lists of Python numbers; one number where it has no axes."""
        return _buffers.nested(_buffers.numbers_of(self), self.shape)

    def __bool__(self) -> bool:
        return bool(self._one("bool"))

    def __int__(self) -> int:
        return int(self._one("int"))

    def __float__(self) -> float:
        return float(self._one("float"))

    def __complex__(self) -> complex:
        return complex(self._one("complex"))

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise _convert.ForeignValueError(f"[index] expected an Array of integers, got {self.dtype.name}")
        return int(self._one("index"))

    def _one(self, function: str) -> Any:
        if self.size != 1:
            hint = "; use all() or any()" if function == "bool" else ""
            raise ArgumentError(f"[{function}] expected an Array of one element, got shape {list(self.shape)}{hint}")
        return _buffers.number_of(self)

    # --- parts ---

    def __getitem__(self, key: Any) -> Array:
        """A part of it, by ints, slices, None, ..., arrays of positions and masks, as numpy has it.

        A mask needs its values. Positions in an Array are not checked.

        Raises:
          IndexError: a position is outside of its axis, or the key does not fit the shape.
        """
        return _indexing.get(self, key)

    def __setitem__(self, key: Any, value: ArrayLike) -> None:
        """Give it new values, in which `value` stands at `key`. Other Arrays keep theirs."""
        changed = _indexing.put(self, key, value)
        self._h, changed._h = changed._h, self._h

    def astype(self, dtype: DtypeLike, *, stream: Stream | None = None) -> Array:
        """Its values in another dtype."""
        return _ops.astype(self, dtype, stream=stream)

    # --- copies ---

    def __copy__(self) -> Array:
        return _handles.own_array(graph.glue_array_set(self._h or self._refuse_closed()))

    def __deepcopy__(self, memo: dict[int, Any]) -> Array:
        """Values do not change, so a copy of the handle is a copy of them."""
        return self.__copy__()

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_parts, (bytes(_buffers.bytes_of(self)), self.shape, self.dtype.name)

    # --- for other libraries ---

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """Its values for numpy; without a copy they share its memory and cannot be written to.

        bfloat16 becomes ml_dtypes.bfloat16, or float32 where ml_dtypes is not installed.
        """
        return _numpy.to_numpy(self, dtype, copy)

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A DLPack capsule over its memory, which the CPU can read on every backend. It is computed first."""
        if stream is not None:
            raise BufferError(f"stream: expected None for memory of the CPU, got {stream!r}")
        if dl_device is not None and tuple(dl_device) != _dlpack.CPU:
            raise BufferError(f"dl_device: expected {_dlpack.CPU}, the CPU, got {tuple(dl_device)}")
        return _dlpack.to_capsule(self, max_version, bool(copy))

    def __dlpack_device__(self) -> tuple[int, int]:
        return _dlpack.CPU

    # --- text ---

    def __str__(self) -> str:
        return _printing.describe(self, "")

    def __repr__(self) -> str:
        if not self._h:
            return "Array(closed)"
        return f"{_printing.describe(self, 'Array(')}, dtype={self.dtype.name})"

    def __format__(self, spec: str) -> str:
        return format(self._one("format"), spec) if spec else str(self)


def _from_parts(data: bytes, shape: tuple[int, ...], dtype: str) -> Array:
    """What a pickled Array was."""
    return _handles.own_array(graph.glue_array_copy_data(data, list(shape), len(shape), dtypes.of(dtype).number))


_handles.set_array_class(Array)
