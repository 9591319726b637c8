"""The exceptions of mlxffi, and which of them an error of C is.

Each class is both `mlxffi.Error` and the builtin that mlx.core raises for the same mistake.
"""

from __future__ import annotations


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


class SizeError(Error, OverflowError):
    """A size is past the 31 bits in which MLX counts an axis."""


class UnknownKindError(ArgumentError, RangeError, OperationError, SizeError):
    """An error of somebody else's mlx-c, which tells a text and no kind: every handler for a kind catches it."""


# The numbers of mlxffi/error.h, and one for an error whose kind nobody tells.
UNTOLD = 5
KINDS: dict[int, type[Error]] = {
    1: ArgumentError, 2: RangeError, 3: OutOfMemoryError, 4: OperationError, UNTOLD: UnknownKindError, 6: SizeError
}  # fmt: skip

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


def error_of(kind: int, text: str) -> Error:
    """The exception for an error of C.

    Args:
      kind: its number in mlxffi/error.h.
      text: its message.
    """
    hints = [hint for part, hint in HINTS.items() if part in text]
    return KINDS.get(kind, OperationError)(" ".join([text or "the call failed without a message", *hints]))
