"""Arguments that stand for the same thing in two libraries: made once, realised in mlx.core and in mlxffi.core."""

import dataclasses
import zlib
from typing import Any

import numpy as np

BOOL = ("bool",)
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
SIGNED = ("int8", "int16", "int32", "int64")
FLOATS = ("float16", "bfloat16", "float32")
COMPLEX = ("complex64",)
INTEGERS = UNSIGNED + SIGNED
DTYPES = BOOL + INTEGERS + FLOATS + COMPLEX
REAL = BOOL + INTEGERS + FLOATS
# Each shape once plain, so that 0-d, empty and repeated sizes all occur.
SHAPES = ((), (3,), (0,), (2, 3), (2, 0, 3), (2, 3, 4))


@dataclasses.dataclass(frozen=True)
class A:
    """An array of a dtype and a shape, with values between `low` and `high`; `how` may make it non-contiguous."""

    shape: tuple = (2, 3)
    dtype: str = "float32"
    low: float = -3
    high: float = 4
    how: str = ""
    salt: int = 0

    def numbers(self):
        seed = zlib.crc32(repr(self).encode())
        rng = np.random.default_rng(seed)
        low = max(self.low, 0) if self.dtype in UNSIGNED else self.low
        values = rng.uniform(low, self.high, self.shape)
        if self.dtype == "complex64":
            return (values + 1j * rng.uniform(low, self.high, self.shape)).astype(np.complex64)
        if self.dtype == "bool":
            return rng.integers(int(self.low > 0), 2, self.shape).astype(bool)
        if self.dtype in INTEGERS:
            return np.asarray(np.floor(values)).astype(self.dtype)
        return values.astype(np.float32)

    def real(self, mx):
        if 0 in self.shape:
            # mlx.core reduces an empty array that is not in row-major order by strides that lead nowhere.
            return mx.zeros(self.shape, N(self.dtype).real(mx))
        array = mx.array(self.numbers())
        array = array if str(array.dtype).endswith(self.dtype) else array.astype(N(self.dtype).real(mx))
        if self.how == "transposed":
            return mx.transpose(mx.contiguous(mx.transpose(array)))
        if self.how == "strided" and array.ndim:
            return mx.repeat(array, 2, axis=-1)[..., ::2]
        return array


@dataclasses.dataclass(frozen=True)
class V:
    """An array of given values."""

    values: Any
    dtype: str = ""

    def real(self, mx):
        array = mx.array(
            np.array(self.values) if not isinstance(self.values, (list, tuple, int, float)) else self.values
        )
        return array.astype(getattr(mx, self.dtype)) if self.dtype else array


@dataclasses.dataclass(frozen=True)
class N:
    """A name of the library: a dtype, a device."""

    name: str

    def real(self, mx):
        return getattr(mx, "bool_" if self.name == "bool" else self.name)


@dataclasses.dataclass(frozen=True)
class F:
    """The result of another function of the library, or one of its results."""

    name: str
    args: tuple
    kwargs: tuple = ()
    part: int | None = None

    def real(self, mx):
        function = mx
        for name in self.name.split("."):
            function = getattr(function, name)
        made = function(*(realise(value, mx) for value in self.args), **realise(dict(self.kwargs), mx))
        return made if self.part is None else made[self.part]


def realise(value, mx):
    """What stands for a value in a library."""
    if isinstance(value, (A, V, N, F)):
        return value.real(mx)
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return type(value)(realise(item, mx) for item in value)
    if isinstance(value, dict):
        return {key: realise(item, mx) for key, item in value.items()}
    return value


def outcome(mx, name, args, kwargs):
    """What a call gives: the class of its exception, or its results as (type, dtype, shape, bytes)."""
    try:
        return plain(mx, F(name, tuple(args), tuple(kwargs.items())).real(mx))
    except Exception as error:
        return error.with_traceback(None)


def plain(mx, value):
    """A result in terms that both libraries share."""
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [plain(mx, item) for item in value]
    if not isinstance(value, mx.array):
        return value if value is None or isinstance(value, (bool, int, float, str)) else type(value).__name__
    mx.eval(value)
    dtype = str(value.dtype).rpartition(".")[2]
    return dtype, tuple(value.shape), numbers_of(mx, value, dtype)


def numbers_of(mx, array, dtype):
    values = np.ascontiguousarray(np.array(array.astype(mx.float32) if dtype == "bfloat16" else array))
    return values.view(np.float32) if dtype == "complex64" and values.ndim else values


def alike(ours, theirs, exact=True):
    """Whether two outcomes are the same: exceptions by class, arrays bit by bit, NaNs of any kind alike.

    A std::bad_cast of mlx.core tells nothing about the argument that caused it: there anything is right.
    """
    if isinstance(theirs, RuntimeError) and "bad_cast" in str(theirs):
        return True
    if isinstance(theirs, Exception) or isinstance(ours, Exception):
        return isinstance(theirs, Exception) and isinstance(ours, _builtin(type(theirs)))
    if isinstance(theirs, tuple) and len(theirs) == 3 and isinstance(theirs[2], np.ndarray):
        if not (isinstance(ours, tuple) and len(ours) == 3 and ours[:2] == theirs[:2]):
            return False
        if not exact:
            # mlx.core rounds half types after each of several operations.
            rtol, atol = {"float16": (1e-3, 4e-3), "bfloat16": (8e-3, 3e-2)}.get(ours[0], (1e-4, 1e-5))
            return np.allclose(ours[2], theirs[2], rtol=rtol, atol=atol, equal_nan=True)
        return np.array_equal(ours[2], theirs[2], equal_nan=ours[2].dtype.kind in "fc")
    if isinstance(theirs, tuple) and isinstance(ours, tuple):
        if ours[0] != theirs[0] or len(ours[1]) != len(theirs[1]):
            return False
        return all(alike(a, b, exact) for a, b in zip(ours[1], theirs[1], strict=True))
    return ours == theirs


def _builtin(kind):
    return next(base for base in kind.__mro__ if base.__module__ == "builtins")
