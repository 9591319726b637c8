"""The same work in mlx.core and in mlxffi.core, and what comes of it in a form that can be compared."""

import builtins
import math

import mlx.core as theirs

import mlxffi.core as ours


def plain(value):
    """A result with arrays as (dtype, shape, values), and every other leaf as it is."""
    if isinstance(value, (ours.array, theirs.array)):
        return ("array", str(value.dtype).rpartition(".")[2], tuple(value.shape), _numbers(value.tolist()))
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, [plain(item) for item in value])
    if isinstance(value, float):
        return _numbers(value)
    return value if isinstance(value, (bool, int, str, bytes, type(None))) else type(value).__name__


def _numbers(values):
    if isinstance(values, list):
        return [_numbers(item) for item in values]
    return "nan" if isinstance(values, float) and math.isnan(values) else values


def outcome(work, mx):
    """What a function of the library returns or raises."""
    try:
        return plain(work(mx))
    except Exception as error:
        return _builtin(type(error))


def _builtin(kind):
    """The name of the nearest builtin exception that an exception is."""
    return next(base.__name__ for base in kind.__mro__ if base.__name__ in dir(builtins))


def same(work):
    """Require that both libraries return the same, or raise the same builtin exception."""
    expected = outcome(work, theirs)
    found = outcome(work, ours)
    assert found == expected
    return found
