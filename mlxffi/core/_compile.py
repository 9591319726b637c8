"""Compiled functions: traced once for each kind of arguments, then run as one graph.

What makes a kind is a key of the arguments: the shape of their tree and every constant in it. Each key has a trace of
its own, under which C compiles again for other shapes and dtypes of the arrays. States that are captured travel as more
inputs and outputs: tracers take their places while the function runs, and afterwards the new values.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from typing import Any, ParamSpec, TypeVar

from .._closures import Closure, Held
from .._containers import handle
from .._errors import OperationError
from .._errors import check as check_error
from .._ffi import ffi, lib, native, plain_mlxc
from .._handles import Owner
from . import _trees
from ._arguments import operation
from ._array import array
from ._transforms import FORWARDED_DOC, Transformed

P = ParamSpec("P")
R = TypeVar("R")

NOTHING: Any = object()

# How often compilation was switched on or off: C looks at the switch when it makes a function.
_epoch = 0


# --- traces ---


class _Body:
    """The function as C calls it: from flat arrays to flat arrays. It knows nothing of the trace that it belongs to."""

    __slots__ = ("_arguments", "_count", "_fun", "_inputs", "_outputs", "fresh")

    def __init__(self, fun: Callable[..., Any], args: Any, kwargs: Any, inputs: Any, outputs: Any):
        arrays: list[array] = []
        self._fun, self._arguments = fun, _trees.split((args, kwargs), arrays)
        self._count = len(arrays)
        self._inputs, self._outputs = inputs, outputs
        # By thread: the form of the result, and what it was traced for, where this call has run the function.
        self.fresh: dict[int, tuple[Any, Any]] = {}

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
        self.fresh[get_ident()] = (form, _signature(given))
        return found


def _put_back(state: Any, tracers: list[array], copies: list[Any], originals: list[array]) -> None:
    """Exchange the tracers that are still in a state for what was there before them."""
    places = {id(tracer): place for place, tracer in enumerate(tracers)}

    def original_of(item: array) -> array:
        place = places.get(id(item))
        # A tracer that was assigned to in place is a new value in the old object.
        return item if place is None or not _is_same(item, copies[place]) else originals[place]

    _trees.exchange(state, original_of)


def _is_same(a: array, b: array) -> bool:
    if plain_mlxc:  # which cannot tell
        return True
    found = ffi.new("bool *")
    check_error(lib.mlxffi_array_is_same(found, *(handle("mlx_array", item._h) for item in (a, b))))
    return bool(found[0])


def _signature(arrays: list[array]) -> Any:
    return tuple((item.dtype, tuple(item.shape)) for item in arrays)


@operation("compile_epoch")
def _current_epoch() -> int:
    return _epoch


class _Native(Owner):
    """A compiled function of C, or the function itself where compilation was off in that epoch."""

    __slots__ = ("epoch",)
    _free = lib.glue_closure_free

    def __init__(self, handle: int):
        self.epoch = _current_epoch()
        super().__init__(handle)


class _Trace:
    """The compiled function for one key."""

    __slots__ = ("_body", "_closure", "_held", "_native", "_results", "_shapeless", "_uniform")

    def __init__(self, body: _Body, shapeless: bool):
        self._closure: Closure | None = None
        self._native: _Native | None = None
        self._body, self._held, self._shapeless = body, Held(body), shapeless
        # The form of results, which is their structure and how many arrays they have: one for all inputs, or by their
        # signature where that differs.
        self._uniform: Any = NOTHING
        self._results: dict[Any, Any] = {}
        self._closure = Closure(self._held, arrays=array)

    def __del__(self) -> None:
        closure, self._closure = self._closure, None
        if closure is not None:
            closure.__exit__()

    def __call__(self, arrays: list[array]) -> tuple[list[array], Any]:
        """The outputs, and the form of the result, which the first of them belong to."""
        made = self._native
        if made is None or made.epoch != _current_epoch():
            made = self._native = self._compiled()
        outputs = native.apply(array, made._h, arrays)
        known = self._uniform is not NOTHING and not self._body.fresh
        return outputs, self._uniform if known else self._form(arrays)

    def _compiled(self) -> _Native:
        if self._closure is None:
            raise OperationError("[compile] the compiled function has been freed while it ran")
        return _Native(lib.glue_compile(self._closure.handle, self._shapeless))

    def _form(self, arrays: list[array]) -> Any:
        fresh = self._body.fresh.pop(get_ident(), None)
        if fresh is not None:
            return self._learn(*fresh)
        if self._uniform is not NOTHING:
            return self._uniform
        return self._results[self._sized(_signature(arrays))]

    def _learn(self, form: Any, signature: Any) -> Any:
        if not self._results or (self._uniform is not NOTHING and _same(self._uniform, form)):
            self._uniform = form
        else:
            self._uniform = NOTHING
        self._results[self._sized(signature)] = form
        return form

    def _sized(self, signature: Any) -> Any:
        if not self._shapeless:
            return signature
        return tuple((dtype, len(shape)) for dtype, shape in signature)


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
        return _Trace(_Body(self._fun, args, kwargs, self._inputs, self._outputs), self._shapeless)


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


@operation("disable_compile")
def disable_compile() -> None:
    """Let compiled functions run as they were written, in the whole process."""
    global _epoch
    _epoch += 1
    check_error(lib.glue_disable_compile())


@operation("enable_compile")
def enable_compile() -> None:
    """Let compiled functions be compiled again, also where MLX_DISABLE_COMPILE is set."""
    global _epoch
    _epoch += 1
    check_error(lib.glue_enable_compile())
