"""`array`, the one type that everything here takes and returns."""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

import copyreg
import sys
from types import ModuleType

from .. import _bindings, _pickles
from .._errors import ArgumentError
from . import _convert, _dtype, _numpy, _printing
from ._at import ArrayAt
from ._binding import abi, methods, native, operation, signature
from ._dtype import Dtype
from ._methods import Methods
from ._operators import Operators

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["ArrayIterator", "ArrayLike", "array"]

# The lowest priority of numpy, as mlx.core has it: operators of numpy's arrays answer for both.
NUMPY_PRIORITY = -1000000.0


@methods
class array(Operators, Methods, metaclass=native.array_class):
    """An n-dimensional array of one dtype, computed when it is needed.

    Args:
      val: a number, a nested list of numbers and arrays, another array, or an object with the buffer protocol,
        `__dlpack__` or `__mlx_array__`.
      dtype: None takes that of the value; numbers of Python are bool, int32 (int64 where they need it), float32 and
        complex64, and other libraries' float64 becomes float32.
    """

    __slots__ = ()
    __module__ = "mlxffi.core"
    __array_priority__ = NUMPY_PRIORITY

    @operation("array")
    def __init__(self, val: Any, dtype: Dtype | None = None):
        self._become(_convert.from_value(val, dtype))

    # --- what it is ---

    @signature("length")
    def __len__(self) -> int: ...

    def __iter__(self) -> ArrayIterator:
        """The arrays along its first axis."""
        if not self.ndim:
            raise TypeError("iter() 0-dimensional array.")
        return ArrayIterator._over(self)

    # --- values ---

    @signature("item")
    def item(self) -> Any:
        """Its one element as a Python number."""

    @signature("tolist")
    def tolist(self) -> Any:
        """Its elements as nested lists of Python numbers; one number where it has no axes."""

    @signature("bool of")
    def __bool__(self) -> bool: ...

    @signature("int of")
    def __int__(self) -> int: ...

    @signature("float of")
    def __float__(self) -> float: ...

    @signature("complex of")
    def __complex__(self) -> complex: ...

    @signature("index of")
    def __index__(self) -> int: ...

    def __bytes__(self) -> bytes:
        """Its elements in row order."""
        return memoryview(abi.flatten(self, 0, -1)).tobytes()  # type: ignore[arg-type]

    # --- parts ---

    @signature("get item")
    def __getitem__(self, arg: Any, /) -> array:
        """A part of it, by ints, slices, None, ..., and arrays and lists of positions.

        Ints, slices and None take a strided part; arrays of positions then pick from it on their axes. The picked axes
        come where the arrays stand if these are neighbours, and else first.
        """

    @signature("set item")
    def __setitem__(self, arg0: Any, arg1: Any, /) -> None:
        """Give it new values, in which `arg1` stands at `arg0`."""

    @property
    @signature("at")
    def at(self) -> ArrayAt:
        """For updates of parts that count positions as often as they are given: `a.at[index].add(value)`."""

    # --- copies ---

    @signature("same operator")
    def __copy__(self) -> array: ...

    @signature("same at any depth")
    def __deepcopy__(self, memo: dict[Any, Any]) -> array: ...

    def __getstate__(self) -> tuple[Any, int]:
        return _numpy.to_state(self)

    def __setstate__(self, arg: tuple[Any, int], /) -> None:
        values, dtype = arg[0], _dtype.DTYPES[arg[1]]
        if dtype is _dtype.bfloat16:
            self._become(array(values).view(dtype))
        else:
            array.__init__(self, values, dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        if type(self).__module__ == "mlxffi.core":
            return _pickles.array, self.__getstate__()
        return copyreg.__newobj__, (type(self),), self.__getstate__()  # type: ignore[attr-defined]

    # --- for other libraries ---

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        """Its values for numpy, which share its memory unless they must be copied."""
        found = _numpy.to_numpy(self)
        if dtype is not None and not isinstance(dtype, Dtype) and found.dtype != dtype:
            return found.astype(dtype)
        return found.copy() if copy is True else found

    @operation("dlpack")
    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: Any = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A DLPack capsule over its memory. It is computed first."""
        if dl_device is not None:
            if not isinstance(dl_device, tuple):
                raise TypeError(f"dl_device: expected a tuple of two ints, got {dl_device!r}")
            if dl_device != (1, 0):
                raise BufferError(f"dl_device: expected (1, 0), the CPU, got {dl_device}")
        versioned = max_version is not None and bool(max_version[0] >= 1)
        lent = native.array_of_bytes(bytes(self), self.shape, self.dtype) if copy else self
        return native.to_capsule(lent, versioned, bool(copy))

    def __dlpack_device__(self) -> tuple[int, int]:
        """DLPack's numbers for the device that the memory is on: the CPU's, which GPUs share or copy from."""
        return 1, 0

    def __array_namespace__(self, api_version: str | None = None) -> ModuleType:
        """The module that has the functions of the array API standard."""
        if api_version is not None:
            raise ArgumentError("Explicitly specifying api_version is not yet implemented.")
        return sys.modules[__package__ or "mlxffi.core"]

    # --- text ---

    def __repr__(self) -> str:
        return _printing.describe(self)

    __str__ = __repr__

    @signature("format")
    def __format__(self, spec: str) -> str: ...


_bindings.array_classes += (array,)


class ArrayIterator:
    """The arrays along an array's first axis, one after the other."""

    __slots__ = ("_array", "_next")
    __module__ = "mlxffi.core"
    _array: array
    _next: int

    def __init__(self) -> None:
        raise TypeError("ArrayIterator: no constructor defined; use iter")

    @classmethod
    def _over(cls, array: array) -> ArrayIterator:
        made = cls.__new__(cls)
        made._array, made._next = array, 0
        return made

    def __next__(self) -> array:
        if self._next >= self._array.shape[0]:
            raise StopIteration
        self._next += 1
        return self._array[self._next - 1]

    def __iter__(self) -> ArrayIterator:
        return self


class ArrayLike:
    """A wrapper around any object.

    Args:
      arg: the object.
    """

    __slots__ = ("_value",)
    __module__ = "mlxffi.core"

    def __init__(self, arg: Any, /):
        self._value = arg
