"""One expression in both libraries: what it gives, or which exception."""

import copy
import operator
import pickle

import mlx.core
import numpy as np

import mlxffi.core


def outcome(text, mx):
    """What statements, parted by `;; `, come to: the last one is an expression."""
    names = {"mx": mx, "np": np, "copy": copy, "pickle": pickle, "operator": operator}
    *statements, expression = text.split(";; ")
    try:
        for statement in statements:
            exec(statement, names)
        return plain(eval(expression, names))
    except Exception as error:
        return type(error)
    finally:
        names.clear()


def plain(value):
    """A value without its library: text for what has one, numpy's arrays for arrays."""
    if isinstance(value, (mlx.core.array, mlxffi.core.array)):
        return ("array", value.shape, str(value.dtype), repr(value), exact(value))
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, *map(plain, value))
    if isinstance(value, np.ndarray):
        return ("ndarray", value.shape, str(value.dtype), value.tobytes())
    if isinstance(value, float):
        return ("float", repr(value))
    return (type(value).__name__, value if isinstance(value, (int, complex, str, bytes)) else repr(value))


def exact(value):
    """The bytes of an array's elements."""
    return bytes(value)


def same(text):
    """Require the same outcome; an exception of ours may be of a derived class."""
    ours, theirs = outcome(text, mlxffi.core), outcome(text, mlx.core)
    if isinstance(theirs, type):
        raised = isinstance(ours, type) and issubclass(ours, theirs)
        assert raised, f"{text}: {ours}, mlx.core: {theirs.__name__}"
    else:
        assert ours == theirs, f"{text}: {ours}, mlx.core: {theirs}"
