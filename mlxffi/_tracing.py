"""Which arrays are being differentiated right now, and whether a checkpointed function captured one of them.

A gradient flows to the arguments of a checkpointed function only. An array that is being differentiated and that the
function closes over would get a gradient of zero without a word; the graph tells, and this module says so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ._errors import ArgumentError, check
from ._ffi import ffi, lib, plain_mlxc
from ._handles import pack_arrays, take_arrays

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
        if candidates and not plain_mlxc and isinstance(outputs, (list, tuple)) and outputs:
            _refuse(_captured(outputs, inputs, candidates))
        return outputs

    return checked


def _at(arrays: list[Array], numbers: Sequence[int] | None) -> list[Array]:
    return arrays if numbers is None else [arrays[number] for number in numbers]


def _captured(outputs: Sequence[Array], inputs: Sequence[Array], candidates: Sequence[Array]) -> list[Array]:
    vectors = [ffi.new("mlx_vector_array *") for _ in range(4)]
    found = vectors[0]
    try:
        for vector, arrays in zip(vectors[1:], (outputs, inputs, candidates), strict=True):
            vector.ctx = ffi.cast("void *", pack_arrays(arrays))
        check(lib.mlxffi_array_gradient_around(found, *(vector[0] for vector in vectors[1:])))
    finally:
        for vector in vectors[1:]:
            lib.mlx_vector_array_free(vector[0])
    return take_arrays(int(ffi.cast("intptr_t", found.ctx)))


def _refuse(captured: list[Array]) -> None:
    if captured:
        shapes = ", ".join(f"{array.dtype.name}{list(array.shape)}" for array in captured)
        raise ArgumentError(
            f"[checkpoint] the function captures {len(captured)} array(s) that are being differentiated ({shapes}), "
            "and they would silently get no gradient; pass them to the checkpointed function as arguments"
        )
