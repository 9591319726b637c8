"""Errors of the native side as exceptions: the one place that reads a thread's last error.

Each class is both `mlxffi.Error` and the builtin that mlx.core raises for the same mistake.
"""

from __future__ import annotations

from ._ffi import ffi, lib, plain_mlxc


class Error(Exception):
    """The base of every error that mlxffi raises for MLX."""


class ArgumentError(Error, ValueError):
    """An argument is not what the operation requires."""


class RangeError(Error, IndexError):
    """An index or axis lies outside of what there is."""


class OutOfMemoryError(Error, MemoryError):
    """An allocation failed."""


class OperationError(Error, RuntimeError):
    """Anything else that went wrong in MLX."""


class UnknownKindError(ArgumentError, RangeError, OperationError):
    """An error of somebody else's mlx-c, which tells a text and no kind: every handler for a kind catches it."""


KINDS: dict[int, type[Error]] = {1: ArgumentError, 2: RangeError, 3: OutOfMemoryError, 4: OperationError}

# What a message leaves open: how to mend it.
HINTS = {
    "There is no Stream": (
        "An array that is not evaluated yet belongs to the thread that built it: "
        "call mlxffi.eval() there, or build and evaluate it on one thread."
    ),
    "does not match cotangent shape ()": (
        "The first output of a function under value_and_grad must be a scalar: reduce it, for instance with sum()."
    ),
}


def last_error() -> Error:
    """The error of this thread's last failed call, to be raised; it is forgotten."""
    text = ffi.string(lib.glue_error_text()).decode("utf-8", "replace") or "the call failed without a message"
    kind = UnknownKindError if plain_mlxc else KINDS.get(lib.glue_error_kind(), OperationError)
    lib.glue_clear_error()
    hints = [hint for part, hint in HINTS.items() if part in text]
    return kind(" ".join([text, *hints]))


def check(status: int) -> None:
    """Raise the last error where a status is not 0."""
    if status:
        raise last_error()
