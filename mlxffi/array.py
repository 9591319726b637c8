"""`Array`, the type that all functions take and return."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from . import _bindings, _convert, _dlpack, _handles, _indexing, _memory, _ops, _values
from . import dtype as dtypes
from ._arguments import NOT_HELD, ArrayLike, as_own
from ._ffi import address, check, ffi, graph, handle, last_error, lib
from ._garbage import WAITS, watch
from ._handles import own_array
from .dtype import Dtype, DtypeLike

if TYPE_CHECKING:
    from .device import Stream

Result = TypeVar("Result")
Operator: TypeAlias = "Callable[[Any, ArrayLike], Array]"
SIZES = ffi.typeof("int[]")
# As many axes are read by one call.
FEW = 8
# What C says of an array whose sizes it could not read.
UNREAD = int(ffi.cast("size_t", -1))


# --- operators: one line each below over the operation of the same meaning ---


def _asking(operation: Callable[..., Result], swapped: bool = False) -> Callable[[Any, ArrayLike], Result]:
    """`array ? other`, or `other ? array` where swapped.

    An operand that no array can be made of gives NotImplemented, so that Python asks that operand next.
    """

    def operator(self: Array, other: ArrayLike) -> Result:
        if other is None:
            return cast(Result, NotImplemented)
        try:
            return operation(other, self) if swapped else operation(self, other)
        except _convert.ForeignValueError:
            return cast(Result, NotImplemented)

    operator.__doc__ = operation.__doc__
    return operator


def _binary(operation: Callable[..., Array]) -> Operator:
    """`array ? other`, which for Arrays and plain numbers is the operation's C function at once."""
    general, name = _asking(operation), f"glue_{operation.__name__}"
    glue, place = getattr(graph, name), address(name)

    def operator(self: Array, other: Any) -> Array:
        kind: type = type(other)
        if kind is Array:
            return own_array(glue(self._h, other._h, 0))
        result = NOT_HELD
        if kind is float:
            result = graph.glue_with_float(place, self._h, other)
        elif kind is int and -(2**63) <= other < 2**63:
            result = graph.glue_with_int(place, self._h, other)
        return general(self, other) if result == NOT_HELD else own_array(result)

    operator.__doc__ = operation.__doc__
    return operator


def _both(operation: Callable[..., Array]) -> tuple[Operator, Operator]:
    """`array ? other` and `other ? array`."""
    return _binary(operation), _asking(operation, swapped=True)


def _divmod(a: ArrayLike, b: ArrayLike) -> tuple[Array, Array]:
    """Quotients, rounded down, and remainders."""
    quotient, remainder = _ops.divmod(a, b)
    return quotient, remainder


class Array:
    """An n-dimensional array of one dtype, computed when it is needed.

    An array's values never change under anyone else: assigning to a part of it gives this object new values.

    Args:
      value: a number, a nested list of numbers and Arrays, an array of mlxffi or mlxffi.core, whose values it shares, a
        numpy array or scalar, or anything with the buffer protocol, `__dlpack__` or `__array__`. On Metal an array may
        share the memory of such an object, which must not change while the array is in use; on CPU and CUDA it is
        copied.
      dtype: a Dtype or its name; None: that of the value (Python numbers: bool, int32 or the wider type they need,
        float32, complex64; complex128 becomes complex64).

    Raises:
      ValueError: rows differ in length, or a number does not fit in the dtype.
      TypeError: the value cannot be converted.
    """

    # The handle stays the same as long as the object lives: what it holds changes (`__setitem__`, `close`), and whoever
    # gives up the GIL or runs Python while C works takes a handle of its own (`as_own`, `pack_arrays`).
    __slots__ = ("__weakref__", "_h")
    _h: int
    # numpy leaves operators with an Array on the right to the Array.
    __array_priority__ = 1000

    def __new__(cls, value: ArrayLike, dtype: DtypeLike | None = None) -> Array:
        made = _convert.from_value(value, None if dtype is None else dtypes.of(dtype))
        return made if cls is Array else cls._own(made._mlxffi_share())

    @classmethod
    def _own(cls, handle: int) -> Array:
        """An array of this class that owns a fresh handle; 0 stands for an error, which is raised."""
        if cls is Array or not handle:
            return own_array(handle)
        array = object.__new__(cls)
        array._h = handle
        if WAITS:
            watch(array)
        return array

    def _mlxffi_share(self) -> int:
        """A new handle to the same values, which the caller owns."""
        return graph.glue_array_set(self._h)

    if not WAITS:
        # The free function is bound at definition: at interpreter exit the module's names may be gone. What dies in one
        # cycle with this object may use it after its end: it has an empty handle then, which C refuses.
        def __del__(self, _free: Callable[[int], int] = graph.glue_array_free) -> None:
            try:
                handle, self._h = self._h, 0
            except AttributeError:  # made by `object.__new__` alone
                return
            _free(handle)

    def close(self) -> None:
        """Let go of the values now; any later use of this object is an error."""
        handle, self.__class__ = self._h, ClosedArray
        graph.glue_array_assign(handle, _NOTHING._h)

    # --- what it is ---

    @property
    def dtype(self) -> Dtype:
        """The type of its elements."""
        return dtypes.DTYPES[graph.glue_array_dtype(self._h)]

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of its axes."""
        room = FEW
        while True:
            sizes = ffi.new(SIZES, room)
            ndim = graph.glue_array_sizes(sizes, room, self._h)
            if ndim <= room:
                return tuple(ffi.unpack(sizes, ndim))
            if ndim == UNREAD:
                raise last_error()
            room = ndim

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return graph.glue_array_ndim(self._h)

    @property
    def size(self) -> int:
        """How many elements it has."""
        return graph.glue_array_size(self._h)

    @property
    def nbytes(self) -> int:
        """How many bytes its elements take."""
        return graph.glue_array_nbytes(self._h)

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
        _values.computed(self, "eval")
        return self

    def async_eval(self) -> Array:
        """Start to compute it without waiting; returns itself."""
        _values.start([self])
        return self

    def detach(self) -> Array:
        """Compute it and let go of the graph that computed it; returns itself."""
        array = _values.computed(self, "detach")
        check(lib.mlxffi_array_detach(handle("mlx_array", array._h)))
        return self

    def item(self) -> Any:
        """Its one element as a Python number.

        Raises:
          ValueError: it has not exactly one element.
        """
        return _values.one(self, "item")

    def tolist(self) -> Any:
        """Its elements as nested lists of Python numbers; one number where it has no axes."""
        array = as_own(self)
        return _values.nested(_values.numbers_of(array), array.shape)

    def __bool__(self) -> bool:
        return bool(_values.one(self, "bool", "; use all() or any()"))

    def __int__(self) -> int:
        return int(_values.one(self, "int"))

    def __float__(self) -> float:
        return float(_values.one(self, "float"))

    def __complex__(self) -> complex:
        return complex(_values.one(self, "complex"))

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise _convert.ForeignValueError(f"[index] expected an Array of integers, got {self.dtype.name}")
        return int(_values.one(self, "index"))

    # --- parts ---

    def __getitem__(self, key: Any) -> Array:
        """A part of it, by ints, slices, None, ..., arrays of positions and masks, as numpy has it.

        A mask needs its values. Positions in an Array are not checked.

        Raises:
          IndexError: a position is outside of its axis, or the key does not fit the shape.
        """
        return _indexing.get(as_own(self), key)

    def __setitem__(self, key: Any, value: ArrayLike) -> None:
        """Give it new values, in which `value` stands at `key`. Other Arrays keep theirs."""
        changed = _indexing.put(as_own(self), key, value)
        if graph.glue_array_assign(self._h, changed._h):
            raise last_error()

    def astype(self, dtype: DtypeLike, *, stream: Stream | None = None) -> Array:
        """Convert to another dtype.

        Args:
          dtype: the dtype of the result.

        Returns:
          The values, rounded or truncated where the dtype requires it.
        """
        return _ops.astype(self, dtype, stream=stream)

    # --- operators; `a += b` makes a new array and gives it the name `a` ---

    __add__, __radd__ = _both(_ops.add)
    __sub__, __rsub__ = _both(_ops.subtract)
    __mul__, __rmul__ = _both(_ops.multiply)
    __truediv__, __rtruediv__ = _both(_ops.divide)
    __floordiv__, __rfloordiv__ = _both(_ops.floor_divide)
    __mod__, __rmod__ = _both(_ops.remainder)
    __pow__, __rpow__ = _both(_ops.power)
    __matmul__, __rmatmul__ = _both(_ops.matmul)
    __lshift__, __rlshift__ = _both(_ops.left_shift)
    __rshift__, __rrshift__ = _both(_ops.right_shift)
    __and__, __rand__ = _both(_ops.bitwise_and)
    __or__, __ror__ = _both(_ops.bitwise_or)
    __xor__, __rxor__ = _both(_ops.bitwise_xor)
    __divmod__ = _asking(_divmod)
    __rdivmod__ = _asking(_divmod, swapped=True)

    __lt__ = _binary(_ops.less)
    __le__ = _binary(_ops.less_equal)
    __gt__ = _binary(_ops.greater)
    __ge__ = _binary(_ops.greater_equal)
    __eq__ = _binary(_ops.equal)  # type: ignore[assignment]
    __ne__ = _binary(_ops.not_equal)  # type: ignore[assignment]
    # Comparisons are by element, so what an array is among keys is the object itself.
    __hash__ = object.__hash__

    __neg__ = _ops.negative
    __invert__ = _ops.bitwise_invert
    __abs__ = _ops.abs

    def __round__(self, ndigits: int | None = None) -> Array:
        """Its values rounded to a number of decimals, halves to even."""
        return _ops.round(self, ndigits or 0)

    # --- copies: values do not change under anybody else, so a handle of its own is a copy of them ---

    def __pos__(self) -> Array:
        return as_own(self)

    def __copy__(self) -> Array:
        return as_own(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Array:
        return as_own(self)

    def __reduce__(self) -> tuple[Any, ...]:
        array = as_own(self)
        return _memory.from_row_order, (_values.bytes_of(array), array.shape, array.dtype.name)

    # --- for other libraries ---

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """Its values for numpy; without a copy they share its memory and cannot be written to.

        bfloat16 becomes ml_dtypes.bfloat16, or float32 where ml_dtypes is not installed.
        """
        return _values.to_numpy(as_own(self), dtype, copy)

    if sys.version_info >= (3, 12):  # before, a class of Python has no buffer; numpy lends memory

        def __buffer__(self, flags: int) -> memoryview:
            """Its elements in row order, read-only; its own memory where they lie so."""
            return _values.memory_of(as_own(self))

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

    def __repr__(self) -> str:
        """Its elements and its dtype as MLX writes them."""
        return _values.text_of(self)

    def __format__(self, spec: str) -> str:
        return format(_values.one(self, "format"), spec) if spec else str(self)


_SLOT = vars(Array)["_h"]


class ClosedArray(Array):
    """What `Array.close` turns an Array into: its handle stays, for others may be using it, but cannot be reached."""

    __slots__ = ()

    def __new__(cls, *_: object) -> ClosedArray:
        raise _handles.closed_error()

    @property
    def _h(self) -> int:  # type: ignore[override]
        raise _handles.closed_error()

    if not WAITS:

        def __del__(self, _free: Callable[[int], int] = graph.glue_array_free, _slot: Any = _SLOT) -> None:
            try:
                handle = _slot.__get__(self)
                _slot.__set__(self, 0)
            except AttributeError:
                return
            _free(handle)

    def close(self) -> None:
        """Nothing is left to do."""

    def __repr__(self) -> str:
        return "Array(closed)"


_handles.set_array_class(Array, ClosedArray)
_bindings.array_classes += (Array,)
# What stands under the handle of a closed array.
_NOTHING = _memory.from_row_order(b"", (0,), "float32")
