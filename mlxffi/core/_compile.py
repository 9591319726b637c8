"""Compiled functions: traced once for each kind of arguments, then run as one graph.

What makes a kind is a key of the arguments: the shape of their tree, every constant in it, and the dtypes and shapes of
the arrays. States that are captured travel as more inputs and outputs: tracers take their places while the function
runs, and afterwards the new values.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from threading import get_ident

from . import _trees
from ._array import array
from ._binding import abi, native
from ._transforms import Transformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")

__all__ = ["compile", "disable_compile", "enable_compile"]

# How often compilation was switched on or off: C looks at the switch when it makes a function.
_epoch = 0


class _Trace:
    """A compiled function for one key, and the function as C calls it: from flat arrays to flat arrays."""

    __slots__ = (
        "__weakref__", "_arguments", "_count", "_fun", "_inputs", "_outputs", "epoch", "form", "fresh", "handle"
    )  # fmt: skip
    handle: native.Handle

    def __init__(self, fun: Callable[..., Any], inputs: Any, outputs: Any, args: Any, kwargs: Any):
        arrays: list[array] = []
        self._fun, self._arguments = fun, _trees.split((args, kwargs), arrays)
        self._count, self._inputs, self._outputs, self.epoch = len(arrays), inputs, outputs, -1
        # The structure of the result, and how many arrays it has: as it was traced, and by thread where the call there
        # has run the function.
        self.form: Any = None
        self.fresh: dict[int, Any] = {}

    def __call__(self, given: list[array]) -> list[array]:
        args, kwargs = _trees.joined(self._arguments, given)
        tracers = given[self._count :]
        originals = [] if self._inputs is None else _trees.leaves(self._inputs, [])
        copies = [item.__copy__() for item in tracers]
        if tracers:
            _trees.fill(self._inputs, tracers)
        try:
            value = self._fun(*args, **kwargs)
            found: list[array] = []
            form = _trees.split(value, found), len(found)
            if self._outputs is not None:
                _trees.leaves(self._outputs, found)
        finally:
            if tracers:
                _put_back(self._inputs, tracers, copies, originals)
        self.form = self.fresh[get_ident()] = form
        return found

    def compile(self, shapeless: bool) -> None:
        """Let C compile it, anew where that was switched on or off."""
        # C refers to this object weakly, for it keeps what C gives.
        self.handle = abi.compile(native.closure(weakref.ref(self)), shapeless)
        self.epoch = _epoch


def _put_back(state: Any, tracers: list[array], copies: list[Any], originals: list[array]) -> None:
    """Exchange the tracers that are still in a state for what was there before them."""
    places = {id(tracer): place for place, tracer in enumerate(tracers)}

    def original_of(item: array) -> array:
        place = places.get(id(item))
        # A tracer that was assigned to in place is a new value in the old object.
        return item if place is None or not abi.array_is_same(item, copies[place]) else originals[place]

    _trees.exchange(state, original_of)


class _Traces:
    """A function and its traces, by the keys of arguments."""

    __slots__ = ("_fun", "_inputs", "_outputs", "_shapeless", "_traces")

    def __init__(self, fun: Callable[..., Any], inputs: Any, outputs: Any, shapeless: bool):
        self._fun, self._inputs, self._outputs, self._shapeless = fun, inputs, outputs, shapeless
        self._traces: dict[Any, _Trace] = {}

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of the function for some arguments."""
        arrays: list[array] = []
        key = _trees.key_of((args, kwargs) if kwargs else args, arrays, self._inputs, self._shapeless)
        trace = self._traces.get(key)
        if trace is None:
            trace = self._traces.setdefault(key, _Trace(self._fun, self._inputs, self._outputs, args, kwargs))
        if trace.epoch != _epoch:
            trace.compile(self._shapeless)
        outputs = native.apply(trace.handle, arrays)
        structure, count = (trace.fresh and trace.fresh.pop(get_ident(), None)) or trace.form
        if self._outputs is not None:
            _trees.fill(self._outputs, outputs[count:])
        return outputs[0] if structure is _trees.ARRAY else _trees.joined(structure, outputs)


def compile(
    fun: Callable[P, R], inputs: object | None = None, outputs: object | None = None, shapeless: bool = False
) -> Callable[P, R]:
    """The same function, traced once for each kind of arguments and run as one graph from then on.

    Args:
      fun: takes trees of arrays and constants (ints, floats, strings, None), and has no side effects beyond `outputs`.
        Other constants, shapes and dtypes trace it again.
      inputs: trees whose arrays the function reads besides its arguments; else they become constants.
      outputs: trees whose arrays the function replaces, in lists and dicts; they are updated at each call.
      shapeless: let one trace serve all shapes of the same rank.

    Returns:
      A function with the same arguments and result.
    """
    if not isinstance(shapeless, bool):
        raise TypeError(f"compile(): shapeless: expected a bool, got {type(shapeless).__name__}")
    return Transformed(fun, "compile", _Traces(fun, inputs, outputs, shapeless).run)


def disable_compile() -> None:
    """Let compiled functions run as they were written, in the whole process."""
    global _epoch
    _epoch += 1
    abi.disable_compile()


def enable_compile() -> None:
    """Let compiled functions be compiled again, also where MLX_DISABLE_COMPILE is set."""
    global _epoch
    _epoch += 1
    abi.enable_compile()
