"""Arguments and calls that stand for the same thing in mlx.core and in mlxffi.core: made once, realised in each."""

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
# Calls by the name of the function, which cases.py, more_cases.py and module_cases.py fill: {name: [F]}.
CASES: dict = {}
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


def call(name, /, *args, **kwargs):
    """A call of a function of the library."""
    return F(name, args, tuple(kwargs.items()))


def case(names, /, *args, **kwargs):
    """Add a call of each of several functions to CASES."""
    for name in names.split():
        CASES.setdefault(name, []).append(call(name, *args, **kwargs))
