"""Compiled functions: traced once for each kind of arguments, then run as one graph.

What makes a kind is a key of the arguments: the shape of their tree and every constant in it. Each key has a trace of
its own, under which C compiles again for other shapes and dtypes of the arrays. States that are captured travel as more
inputs and outputs: tracers take their places while the function runs, and afterwards the new values.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from threading import Lock, get_ident

from . import _trees
from ._array import array
from ._binding import abi, native
from ._transforms import FORWARDED_DOC, Transformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")

__all__ = ["compile", "disable_compile", "enable_compile"]

NOTHING: Any = object()

# How often compilation was switched on or off: C looks at the switch when it makes a function.
_epoch = 0


# --- traces ---


class _Forms:
    """The form of results, which is their structure and how many arrays they have: one for all inputs, or by their
    signature where that differs."""

    __slots__ = ("_learning", "_results", "_shapeless", "uniform")

    def __init__(self, shapeless: bool):
        self._shapeless, self._learning = shapeless, Lock()
        self.uniform: Any = NOTHING
        self._results: dict[Any, Any] = {}

    def learn(self, form: Any, signature: Any) -> None:
        with self._learning:
            if not self._results:
                self.uniform = form
            self._results[self._sized(signature)] = form
        uniform = self.uniform
        # Comparing may run the program's code, which may come back here.
        if uniform is not NOTHING and not _same(uniform, form):
            self.uniform = NOTHING

    def find(self, arrays: list[array]) -> Any:
        uniform = self.uniform  # read once: another thread may learn
        return self._results[self._sized(_signature(arrays))] if uniform is NOTHING else uniform

    def _sized(self, signature: Any) -> Any:
        if not self._shapeless:
            return signature
        return tuple((dtype, len(shape)) for dtype, shape in signature)


class _Body:
    """The function as C calls it: from flat arrays to flat arrays. It knows nothing of the trace that it belongs to."""

    __slots__ = ("__weakref__", "_arguments", "_count", "_fun", "_inputs", "_outputs", "forms", "fresh")

    def __init__(self, fun: Callable[..., Any], args: Any, kwargs: Any, inputs: Any, outputs: Any, shapeless: bool):
        arrays: list[array] = []
        self._fun, self._arguments = fun, _trees.split((args, kwargs), arrays)
        self._count = len(arrays)
        self._inputs, self._outputs = inputs, outputs
        self.forms = _Forms(shapeless)
        # By thread: the form of the result, where this call has run the function.
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
        self.fresh[get_ident()] = form
        # Before C gives the trace to others.
        self.forms.learn(form, _signature(given))
        return found


def _put_back(state: Any, tracers: list[array], copies: list[Any], originals: list[array]) -> None:
    """Exchange the tracers that are still in a state for what was there before them."""
    places = {id(tracer): place for place, tracer in enumerate(tracers)}

    def original_of(item: array) -> array:
        place = places.get(id(item))
        # A tracer that was assigned to in place is a new value in the old object.
        return item if place is None or not abi.array_is_same(item, copies[place]) else originals[place]

    _trees.exchange(state, original_of)


def _signature(arrays: list[array]) -> Any:
    return tuple((item.dtype, tuple(item.shape)) for item in arrays)


class _Trace:
    """The compiled function for one key."""

    __slots__ = ("_body", "_epoch", "_native", "_shapeless")

    def __init__(self, body: _Body, shapeless: bool):
        self._body, self._shapeless, self._epoch = body, shapeless, -1

    def __call__(self, arrays: list[array]) -> tuple[list[array], Any]:
        """The outputs, and the form of the result, which the first of them belong to."""
        if self._epoch != _epoch:
            # C refers to the body weakly: only this object keeps both.
            self._native = abi.compile(native.closure(weakref.ref(self._body)), self._shapeless)
            self._epoch = _epoch
        outputs = native.apply(self._native, arrays)
        fresh, forms = self._body.fresh, self._body.forms
        uniform, form = forms.uniform, fresh and fresh.pop(get_ident(), None)
        if form:
            return outputs, form
        return outputs, forms.find(arrays) if uniform is NOTHING else uniform


def _same(a: Any, b: Any) -> bool:
    """Whether two structures are equal beyond doubt."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    return isinstance(a, (bool, int, float, str)) and bool(a == b)


class _Compiled(Transformed):
    __doc__ = FORWARDED_DOC
    __slots__ = ("_inputs", "_outputs", "_shapeless", "_traces")

    def __init__(self, fun: Callable[..., Any], inputs: Any, outputs: Any, shapeless: bool):
        super().__init__(fun, "compile")
        self._inputs, self._outputs, self._shapeless = inputs, outputs, bool(shapeless)
        self._traces: dict[Any, _Trace] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        arrays: list[array] = []
        key = _trees.key_of((args, kwargs) if kwargs else args, arrays)
        trace = self._traces.get(key) or self._traces.setdefault(key, self._trace(args, kwargs))
        if self._inputs is not None:
            _trees.leaves(self._inputs, arrays)
        outputs, (structure, count) = trace(arrays)
        if self._outputs is not None:
            _trees.fill(self._outputs, outputs[count:])
        return outputs[0] if structure is _trees.ARRAY else _trees.joined(structure, outputs)

    def _trace(self, args: Any, kwargs: Any) -> _Trace:
        body = _Body(self._fun, args, kwargs, self._inputs, self._outputs, self._shapeless)
        return _Trace(body, self._shapeless)


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
    return _Compiled(fun, inputs, outputs, shapeless)


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
