"""The same work in both libraries: a value with its dtype and shape to the bit, or the class of an exception.

Work is an expression as text, a function of the library, or a call of specs.py.
"""

import copy
import operator
import pickle
import re
import reprlib
from decimal import Decimal
from fractions import Fraction

import foreign
import mlx.core as theirs
import numpy as np

import mlxffi.core as ours

# What expressions may name besides the library.
NAMES = {
    "np": np, "copy": copy, "pickle": pickle, "operator": operator, "reprlib": reprlib, "Decimal": Decimal,
    "Fraction": Fraction, "foreign": foreign,
}  # fmt: skip
INEXACT = ("float16", "bfloat16", "float32", "float64", "complex64")
# mlx.core rounds half types after each of several operations.
TOLERANCES = {"float16": (1e-3, 4e-3), "bfloat16": (8e-3, 3e-2)}


def same(work, exact=True):
    """Require the same outcome of work in both libraries, and give ours."""
    found, wanted = outcome(work, ours), outcome(work, theirs)
    assert alike(found, wanted, exact), f"{work}: {found!r}, mlx.core: {wanted!r}"
    return found


def outcome(work, mx):
    """What work comes to in a library: a plain result, or the class of the exception."""
    try:
        if isinstance(work, str):
            return evaluated(work, mx)
        return plain(work.real(mx) if hasattr(work, "real") else work(mx))
    except Exception as error:
        return Unclear if "bad_cast" in str(error) else type(error)


class Unclear(Exception):
    """A std::bad_cast of mlx.core, which tells nothing about the argument that caused it: there anything is right."""


def evaluated(text, mx):
    """The result of statements, parted by `;; `: the last one is an expression."""
    names = {"mx": mx, **NAMES}
    *statements, expression = text.split(";; ")
    try:
        for statement in statements:
            exec(statement, names)
        return plain(eval(expression, names))
    finally:
        names.clear()


def plain(value):
    """A result without its library, which can be compared."""
    if isinstance(value, Elements):
        return value
    if isinstance(value, (ours.array, theirs.array)):
        return Elements(value)
    if isinstance(value, dict):
        return type(value).__name__, {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return "ndarray", value.shape, str(value.dtype), value.tobytes()
    return type(value).__name__, re.sub(r" at 0x\w+", "", repr(value))


class Elements:
    """The dtype, shape, text and elements of an array."""

    def __init__(self, array):
        # Not by the buffer: mlx.core keeps the GIL there, for which a file that Python reads waits.
        (ours if isinstance(array, ours.array) else theirs).eval(array)
        self.content = bytes(array)
        self.dtype, self.shape, self.text = str(array.dtype).rpartition(".")[2], array.shape, repr(array)

    def __repr__(self):
        return f"{self.text} of shape {self.shape}"

    def __eq__(self, other):
        return self.alike(other) and self.text == other.text

    def alike(self, other, exact=True):
        """Whether two arrays are the same, to the bit but for NaNs, or within a tolerance where that is enough."""
        if (self.dtype, self.shape) != (other.dtype, other.shape) or self.content == other.content:
            return (self.dtype, self.shape) == (other.dtype, other.shape)
        found, wanted = self.numbers(), other.numbers()
        if exact:
            found, wanted = (np.where(np.isnan(array), np.nan, array).tobytes() for array in (found, wanted))
            return self.dtype in INEXACT and found == wanted
        rtol, atol = TOLERANCES.get(self.dtype, (1e-4, 1e-5))
        return np.allclose(found, wanted, rtol, atol, equal_nan=True)

    def numbers(self):
        if self.dtype == "bfloat16":
            return (np.frombuffer(self.content, np.uint16).astype(np.uint32) << 16).view(np.float32)
        # The parts of complex numbers one by one: a NaN in one of them says nothing of the other.
        return np.frombuffer(self.content, {"bool": "?", "complex64": "f"}.get(self.dtype, self.dtype))


def alike(found, wanted, exact=True):
    """Whether two outcomes are the same; an exception of ours may be of a derived class."""
    if isinstance(wanted, type):
        return wanted is Unclear or (isinstance(found, type) and issubclass(found, builtin(wanted)))
    if isinstance(wanted, Elements) and isinstance(found, Elements):
        return found == wanted if exact else found.alike(wanted, exact)
    if isinstance(wanted, (tuple, list)) and type(found) is type(wanted) and len(found) == len(wanted):
        return all(alike(a, b, exact) for a, b in zip(found, wanted, strict=True))
    if isinstance(wanted, dict) and isinstance(found, dict):
        return found.keys() == wanted.keys() and all(alike(found[key], wanted[key], exact) for key in wanted)
    return type(found) is type(wanted) and found == wanted


def builtin(kind):
    """The nearest builtin class of an exception."""
    return next(base for base in kind.__mro__ if base.__module__ == "builtins")
