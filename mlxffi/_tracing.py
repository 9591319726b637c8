"""Which arrays are being differentiated right now, and whether a checkpointed function captured one of them.

A gradient flows to the arguments of a checkpointed function only. An array that is being differentiated and that the
function closes over would get a gradient of zero without a word; the graph tells, and this module says so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from . import _handles
from ._closures import arrays_of
from ._errors import ArgumentError
from ._ffi import native, plain_mlxc

if TYPE_CHECKING:
    from .array import Array

ListFunction = Callable[[list["Array"]], Sequence["Array"]]


class _Active(threading.local):
    """The arguments of the derivatives that this thread is tracing, outermost first."""

    def __init__(self) -> None:
        self.arguments: list[tuple[list[Array], Sequence[int] | None]] = []


_active = _Active()


def differentiating(fn: ListFunction, argnums: Sequence[int] | None = None) -> ListFunction:
    """`fn`, whose arguments (those at `argnums`; None: all) count as being differentiated while it runs."""

    def traced(inputs: list[Array]) -> Sequence[Array]:
        stack = _active.arguments
        stack.append((inputs, argnums))
        try:
            return fn(inputs)
        finally:
            stack.pop()

    return traced


def without_captures(fn: ListFunction) -> ListFunction:
    """`fn`, which must not close over an array that is being differentiated."""

    def checked(inputs: list[Array]) -> Sequence[Array]:
        outputs = fn(inputs)
        candidates = [array for arrays, argnums in _active.arguments for array in _at(arrays, argnums)]
        if candidates and not plain_mlxc:
            _refuse(native.gradient_around(_handles.array_class, arrays_of(outputs), inputs, candidates))
        return outputs

    return checked


def _at(arrays: list[Array], numbers: Sequence[int] | None) -> list[Array]:
    return arrays if numbers is None else [arrays[number] for number in numbers]


def _refuse(captured: list[Array]) -> None:
    if captured:
        shapes = ", ".join(f"{array.dtype.name}{list(array.shape)}" for array in captured)
        raise ArgumentError(
            f"[checkpoint] the function captures {len(captured)} array(s) that are being differentiated ({shapes}), "
            "and they would silently get no gradient; pass them to the checkpointed function as arguments"
        )
