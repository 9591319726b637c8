"""Callbacks: the path of a Python function through C and back.

 1. A transform asks C for a closure over the Python function; the closure's payload refers to the function
    (transforms/closures.c). A function that is traced before the call returns needs no closure of its own: one
    closure calls whatever is being traced on this thread.
 2. Transforms copy the closure and may keep it in a lazy graph long after the Python call returned.
 3. When MLX needs the function, it calls the trampoline of the closure's kind, which enters Python and makes arrays of
    the class that the closure was made with.
 4. What the function returns is checked (`arrays_of`) and packed. Whatever it raises, KeyboardInterrupt and SystemExit
    too, is kept for this thread, and C gets a failure.
 5. C turns that into a C++ exception, which unwinds MLX and becomes the status of the outermost C call. There the kept
    exception is raised, that very object; only where there is none MLX's error is.
 6. When the last copy of the closure dies, C's destructor puts the payload on a list without touching Python; the next
    call lets go of the function.

Who keeps whom alive decides how a payload refers to its function. A closure that only C keeps holds it until C lets go.
A closure that a Python object keeps for reuse (a compiled function) refers to it weakly, through a `Held`: a strong
reference would be a root that the garbage collector cannot see through, and a function that refers to its own
transform would live for ever.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from . import _handles
from ._errors import ArgumentError, OperationError
from ._ffi import lib, native

if TYPE_CHECKING:
    from .array import Array

__all__ = ["TRACED", "Closure", "Function", "Held", "arrays_of", "call", "check"]

# What a transform takes: a function over a flat list of arrays.
Function = Callable[..., Any]


class Held:
    """A function that a Python object keeps for reuse: its closure refers to it weakly."""

    __slots__ = ("__weakref__", "function")

    def __init__(self, function: Function):
        self.function = function

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)


class Closure:
    """A C closure of one kind over a Python function, for the length of a `with` block.

    Transforms copy it, so it may be freed as soon as the transform is built.

    Args:
      arrays: the class of the arrays that the function takes and returns where it is not `Array`.
    """

    __slots__ = ("_kind", "handle")

    def __init__(self, function: Function | Held, kind: str = "closure", arrays: type[Array] | None = None):
        weak = isinstance(function, Held)
        referred: Any = weakref.ref(function) if weak else function
        self._kind = kind
        self.handle = native.new_closure(KINDS.index(kind), referred, arrays or _handles.array_class, weak)

    def __enter__(self) -> int:
        return self.handle

    def __exit__(self, *_: object) -> None:
        _FREE[self._kind](self.handle)


# In the order of their numbers in C.
KINDS = ["closure", "closure_kwargs", "closure_custom", "closure_custom_jvp", "closure_custom_vmap"]
_FREE = {kind: getattr(lib, f"glue_{kind}_free") for kind in KINDS}


def call(function: Callable[..., int], *arguments: Any) -> int:
    """The result of a C function that may run callbacks, for `check`."""
    # A call that nobody checked, through `mlxffi.lib`, may have left an exception.
    native.forget_exception()
    return function(*arguments)


def check(failed: int) -> None:
    """Raise what made a `call` fail: the user's own exception, else MLX's error."""
    if failed:
        native.raise_failure()
    # Forgotten although the call went well: one that MLX swallowed.
    native.forget_exception()


def arrays_of(result: Any, what: str = "the function", arrays: type[Array] | None = None) -> Sequence[Array]:
    """What a callback returned, which must be a non-empty list or tuple of arrays.

    Args:
      arrays: the class that the callback takes; one of mlxffi.core may return an empty list.

    Raises:
      TypeError: it is something else; RuntimeError in mlxffi.core.
      ValueError: it is empty, or one of the arrays is closed.
    """
    if arrays is not None and arrays is not _handles.array_class:
        if not isinstance(result, (list, tuple)) or not all(isinstance(item, arrays) for item in result):
            raise OperationError(f"{what} must return an array, or a list or tuple of arrays")
        return result
    if not isinstance(result, (list, tuple)):
        raise TypeError(f"{what} must return a list or tuple of Arrays, got {type(result).__name__}")
    if not result:
        raise ValueError(f"{what} must return at least one Array, got an empty {type(result).__name__}")
    for index, item in enumerate(result):
        if not isinstance(item, _handles.array_class):
            raise TypeError(f"{what} must return Arrays, got {type(item).__name__} at index {index}")
        if not item._h:
            raise ArgumentError(f"{what} must return Arrays that are not closed; the one at index {index} is")
    return result


native.configure(check_result=arrays_of)

# The closure that calls whatever this thread is tracing. It is made here, before anybody counts native objects.
TRACED = native.traced_closure()
