"""Callbacks: the path of a Python function through C and back.

 1. `Closure` puts the function into the registry under a new integer key, and asks C for a closure of its kind whose
    payload is that key. What a checkpoint or a custom function is made of gets its keys by `keep`, and its closures in
    the C call that makes it. A function that is traced before the C call returns has no key of its own: `trace`.
 2. C keeps the key beside the address of the kind's trampoline (callbacks.c). Transforms copy the closure and may keep
    it in a lazy graph long after the Python call returned.
 3. When MLX needs the function, C calls the trampoline, which enters Python (`python_closure` and its siblings below)
    with handles of arrays, which are Python's own from there on, and the key.
 4. Python makes Arrays of the handles, finds the function under the key and calls it.
 5. What the function returns is checked and packed into a vector, whose handle goes back to C. Whatever it raises,
    KeyboardInterrupt and SystemExit too, is kept for this thread, and C gets 0, which it had to begin with: a callback
    that did not come to its end is a failure.
 6. C turns 0 into a C++ exception, which unwinds MLX and becomes the status of the outermost C call. There `check`
    raises the kept exception, that very object; only where there is none it raises MLX's error.
 7. When the last copy of the closure dies, C's destructor queues the key without touching Python; the next call that
    looks at the queue takes the function out of the registry.

A closure that only C keeps (checkpoint, custom functions) holds its function until C lets go. A closure that a Python
object keeps for reuse (GradFn, a compiled function) refers to it weakly, through a `Held`. A callback may run no times,
once or many times, nested, and on any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import get_ident, local
from types import TracebackType
from typing import TYPE_CHECKING, Any

from . import _handles, _registry
from ._arguments import integers
from ._errors import ArgumentError
from ._ffi import ffi, graph, last_error, lib, plain_mlxc, pointer
from ._handles import FEW, HANDLES, own_arrays, pack_arrays, take_arrays
from ._registry import Held, find

if TYPE_CHECKING:
    from .array import Array

# What a transform takes: a function over a flat list of arrays.
Function = Callable[..., Any]

KINDS = ["closure", "closure_kwargs", "closure_custom", "closure_custom_jvp", "closure_custom_vmap"]
_NEW = {kind: getattr(lib, f"glue_new_{kind}") for kind in KINDS}
_FREE = {kind: getattr(lib, f"glue_{kind}_free") for kind in KINDS}

# Buffers for results that no `run` is using: to make one takes longer than many a call.
_buffers: list[Any] = []

# What a callback on a thread (by its ident) raised, until the C call that ran it has returned. It is empty but for that
# moment, so that one look at it is all that a call without an exception costs.
_raised: dict[int, BaseException] = {}


class Closure:
    """A C closure of one kind over a Python function, for the length of a `with` block.

    Transforms copy it, so it may be freed as soon as the transform is built.
    """

    __slots__ = ("_kind", "handle")

    def __init__(self, function: Function | Held, kind: str = "closure"):
        self._kind = kind
        self.handle: int = _NEW[kind](_registry.keep(function))  # steps 1 and 2; after an error the key is queued
        if not self.handle:
            raise last_error()

    def __enter__(self) -> int:
        return self.handle

    def __exit__(self, *_: object) -> None:
        _FREE[self._kind](self.handle)  # step 7, unless C has copies


# --- around a call of C ---


def call(function: Callable[..., int], *arguments: Any) -> int:
    """The result of a C function that may run callbacks, for `check`."""
    # A call that nobody checked, through `mlxffi.lib`, may have left an exception.
    if _raised:
        _raised.pop(get_ident(), None)
    return function(*arguments)


def run(function: Callable[..., int], *arguments: Any) -> list[Array]:
    """The arrays that a function of transforms.h makes of its arguments; `call` and `check` in one."""
    if _raised:
        _raised.pop(get_ident(), None)
    try:
        buffer = _buffers.pop()
    except IndexError:
        buffer = ffi.new(HANDLES, FEW)
    count = function(*arguments, buffer, FEW)
    if count < 0 or _raised:
        check(count < 0)
    made = own_arrays(buffer, count) if count <= FEW else take_arrays(buffer[0])
    _buffers.append(buffer)
    return made


class _Traced(local):
    """The functions that `trace` is running on each thread, outermost first."""

    def __init__(self) -> None:
        self.functions: list[Function] = []


_traced = _Traced()
# The closure of key 0, which is no entry of the registry: it calls the innermost of those functions.
_TRACER = lib.glue_new_closure(0)


def trace(function: Callable[..., int], traced: Function, *arguments: Any) -> list[Array]:
    """`run` for a transform that calls a function before it returns and keeps no closure of it."""
    stack = _traced.functions
    stack.append(traced)
    try:
        return run(function, _TRACER, *arguments)
    finally:
        stack.pop()


def check(failed: int) -> None:
    """Raise what made a `call` fail: the user's own exception, else MLX's error (step 6)."""
    # Taken although the call went well: an exception that MLX swallowed.
    kept = _raised.pop(get_ident(), None) if _raised else None
    if not failed:
        return
    if kept is None:
        raise last_error()
    lib.mlxffi_clear_error()
    try:
        raise kept
    finally:
        # The frames of this call refer to the exception: without this, a cycle would keep its arrays alive.
        del kept


# --- what callbacks return ---


def arrays_of(result: Any, what: str = "the function") -> Sequence[Array]:
    """What a callback returned, which must be a non-empty list or tuple of arrays.

    Raises:
      TypeError: it is something else.
      ValueError: it is empty.
    """
    array_class = _handles.array_class
    if not isinstance(result, (list, tuple)):
        raise TypeError(f"{what} must return a list or tuple of Arrays, got {type(result).__name__}")
    if not result:
        raise ValueError(f"{what} must return at least one Array, got an empty {type(result).__name__}")
    for index, item in enumerate(result):
        if not isinstance(item, array_class):
            raise TypeError(f"{what} must return Arrays, got {type(item).__name__} at index {index}")
        if isinstance(item, _handles.closed_class):
            raise ArgumentError(f"{what} must return Arrays that are not closed; the one at index {index} is")
    return result


def _packed(result: Any, what: str = "the function") -> int:
    """The handle of what a callback returned (step 5). Whatever failed below that callback did not stop it."""
    if _raised:
        _raised.pop(get_ident(), None)
    if type(result) is list and len(result) == 1:  # what most functions return
        (array,) = result
        if type(array) is _handles.array_class:
            return graph.glue_vector_array_of(array._h)
    return pack_arrays(arrays_of(result, what))


def _require_gradients(gradients: Sequence[Array], primals: Sequence[Array]) -> None:
    """See that there is one gradient for each primal, of its shape: libmlxc does so, MLX would read past the end."""
    wanted, got = ([array.shape for array in arrays] for arrays in (primals, gradients))
    if wanted != got:
        raise ArgumentError(f"the vjp rule must return one gradient for each primal, of its shape: {wanted}, got {got}")


def _axes_of(axes: Any) -> int:
    """The handle of the axes that a vmap rule returned."""
    numbers = integers(axes)
    packed = lib.mlx_vector_int_new_data(numbers, len(numbers))
    if not packed.ctx:
        raise last_error()
    return pointer(packed)


# --- the trampolines: C enters Python here (step 3) ---


def _keep(_: type[BaseException], exception: BaseException, traceback: TracebackType) -> None:
    """Keep what a trampoline raised; the trampoline gives 0 (step 5)."""
    _raised[get_ident()] = exception.with_traceback(traceback)


@ffi.def_extern(error=0, onerror=_keep)  # type: ignore[untyped-decorator]
def python_closure(inputs: Any, count: int, key: int) -> int:
    """Call an array function: a list of Arrays in, a list of Arrays out."""
    arrays = own_arrays(inputs, count)  # step 4, and first, so that they are freed whatever comes
    return _packed((find(key) if key else _traced.functions[-1])(arrays))  # steps 4 and 5


@ffi.def_extern(error=0, onerror=_keep)  # type: ignore[untyped-decorator]
def python_closure_kwargs(inputs: Any, count: int, named: int, key: int) -> int:
    """Call a function over a list of Arrays and a map of named ones, which stays C's."""
    arrays = own_arrays(inputs, count)
    return _packed(find(key)(arrays, named))


@ffi.def_extern(error=0, onerror=_keep)  # type: ignore[untyped-decorator]
def python_closure_custom(inputs: Any, primals_num: int, cotangents_num: int, outputs_num: int, key: int) -> int:
    """Call a user's reverse-mode rule: primals, cotangents and outputs in, gradients out."""
    second = primals_num + cotangents_num
    arrays = own_arrays(inputs, second + outputs_num)
    result = find(key)(arrays[:primals_num], arrays[primals_num:second], arrays[second:])
    if plain_mlxc:
        _require_gradients(arrays_of(result, "the vjp rule"), arrays[:primals_num])
    return _packed(result, "the vjp rule")


@ffi.def_extern(error=0, onerror=_keep)  # type: ignore[untyped-decorator]
def python_closure_custom_jvp(
    inputs: Any, primals_num: int, tangents_num: int, argnums: Any, argnums_num: int, key: int
) -> int:
    """Call a user's forward-mode rule: primals and tangents in, tangents out."""
    arrays = own_arrays(inputs, primals_num + tangents_num)
    result = find(key)(arrays[:primals_num], arrays[primals_num:], ffi.unpack(argnums, argnums_num))
    return _packed(result, "the jvp rule")


@ffi.def_extern(error=0, onerror=_keep)  # type: ignore[untyped-decorator]
def python_closure_custom_vmap(
    out_axes: Any, inputs: Any, inputs_num: int, in_axes: Any, in_axes_num: int, key: int
) -> int:
    """Call a user's vectorisation rule: arrays and their axes in, arrays and their axes out."""
    arrays = own_arrays(inputs, inputs_num)
    result = find(key)(arrays, ffi.unpack(in_axes, in_axes_num))
    if not isinstance(result, (list, tuple)) or len(result) != 2:
        raise TypeError(f"the vmap rule must return a pair (outputs, axes), got {type(result).__name__}")
    out_axes[0] = _axes_of(result[1])
    return _packed(result[0], "the vmap rule")
