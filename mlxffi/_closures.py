"""Callbacks: the path of a Python function through C and back.

 1. A transform puts the Python function into the registry under a new integer key and asks C for a closure whose
    payload is that key (`Closure`).
 2. C stores the key next to the address of one static trampoline for the closure's kind. Transforms copy the closure
    and may keep it in a lazy graph long after the Python call returned.
 3. When MLX needs the function, C calls the trampoline, which sets a status of failure and enters Python with the
    borrowed argument vectors as integers (`python_closure` and its siblings below).
 4. Python finds the function under the key, takes handles of its own to the arguments and calls it.
 5. What it returns is checked and packed into the result slot, and the status becomes success. Whatever it raises,
    KeyboardInterrupt and SystemExit too, is kept for this thread by `_keep`, and the status stays failure.
 6. C turns a failing status into a C++ exception, which unwinds MLX and becomes the status of the outermost C call.
    There `check` finds the kept exception and raises that very object; only where there is none it raises MLX's.
 7. When the last copy of the closure dies, C's destructor queues the key without touching Python; `drain` takes
    it out of the registry on the next call.

There are three ways out of a callback: a checked result, the user's exception, and no entry at all (an unknown key, an
interpreter that shuts down), which reads as a failure. Who keeps whom alive decides how the registry refers to a
function. A closure that only C keeps is held by the registry until C lets go. A closure that a Python object keeps for
reuse (GradFn, a compiled function) is registered weakly: a strong entry would be a root that the garbage collector
cannot see through, and a function that refers to its own transform would live for ever.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from . import _handles
from ._arguments import integers
from ._errors import ArgumentError, last_error
from ._ffi import ffi, lib
from ._handles import pack_arrays, share_arrays

if TYPE_CHECKING:
    from .array import Array

__all__ = ["Closure", "Function", "Held", "arrays_of", "call", "check", "drain", "keep", "registered"]

# What a transform takes: a function over a flat list of arrays.
Function = Callable[..., Any]

_functions: dict[int, Callable[[], Function | None]] = {}
_keys = itertools.count(1)


class _Raised(threading.local):
    """What a callback on this thread raised, until the C call that ran it has returned."""

    exception: BaseException | None = None


_raised = _Raised()


# --- the registry ---


class Held:
    """A function that a Python object keeps for reuse: the registry refers to it weakly."""

    __slots__ = ("__weakref__", "function")

    def __init__(self, function: Function):
        self.function = function


def _strong(function: Function) -> Callable[[], Function]:
    return lambda: function


def _weak(held: Held) -> Callable[[], Function | None]:
    reference = weakref.ref(held)

    def function() -> Function | None:
        found = reference()
        return None if found is None else found.function

    return function


def _function(key: int) -> Function:
    function = _functions[key]()
    if function is None:
        raise RuntimeError("the function of a transform is gone: the transform was freed while it ran")
    return function


def keep(owner: object) -> int:
    """Hold an object in the registry until C drops the key that this returns: the owner of memory that C uses."""
    key = next(_keys)
    _functions[key] = lambda: owner  # type: ignore[assignment, return-value]
    return key


def drain() -> None:
    """Take the functions out of the registry whose closures C has destroyed."""
    keys = ffi.new("intptr_t[64]")
    while count := lib.glue_dropped(keys, 64):
        for key in keys[0:count]:
            _functions.pop(key, None)


def registered() -> int:
    """How many functions the registry holds."""
    drain()
    return len(_functions)


# --- closures ---


class Closure:
    """A C closure of one kind over a Python function, for the length of a `with` block.

    Transforms copy it, so it may be freed as soon as the transform is built.
    """

    __slots__ = ("_kind", "handle")

    def __init__(self, function: Function | Held, kind: str = "closure"):
        if _functions:
            drain()
        key = next(_keys)
        _functions[key] = _weak(function) if isinstance(function, Held) else _strong(function)
        self._kind = kind
        self.handle: int = getattr(lib, f"glue_new_{kind}")(key)
        if not self.handle:
            _functions.pop(key, None)
            raise last_error()

    def __enter__(self) -> int:
        return self.handle

    def __exit__(self, *_: object) -> None:
        getattr(lib, f"glue_{self._kind}_free")(self.handle)


def call(function: Callable[..., int], *arguments: Any) -> int:
    """The result of a C function that may run callbacks, for `check`."""
    # A call that nobody checked, through `mlxffi.lib`, may have left an exception.
    _raised.exception = None
    return function(*arguments)


def check(failed: int) -> None:
    """Raise what made a `call` fail: the user's own exception, else MLX's error."""
    # Kept although the call went well: an exception that MLX swallowed.
    kept, _raised.exception = _raised.exception, None
    if not failed:
        return
    if kept is None:
        raise last_error()
    lib.glue_clear_error()
    try:
        raise kept
    finally:
        # The frames of this call refer to the exception: without this, a cycle would keep its arrays alive.
        del kept


def _keep(_: type[BaseException], exception: BaseException, traceback: TracebackType) -> None:
    _raised.exception = exception.with_traceback(traceback)


def _succeed(status: Any) -> None:
    # Whatever failed below this callback did not stop it.
    _raised.exception = None
    status[0] = 0


def arrays_of(result: Any, what: str = "the function") -> Sequence[Array]:
    """What a callback returned, which must be a non-empty list or tuple of arrays.

    Raises:
      TypeError: it is something else.
      ValueError: it is empty.
    """
    if not isinstance(result, (list, tuple)):
        raise TypeError(f"{what} must return a list or tuple of Arrays, got {type(result).__name__}")
    if not result:
        raise ValueError(f"{what} must return at least one Array, got an empty {type(result).__name__}")
    for index, item in enumerate(result):
        if not isinstance(item, _handles.array_class):
            raise TypeError(f"{what} must return Arrays, got {type(item).__name__} at index {index}")
    return result


def _gradients_of(result: Any, primals: Sequence[Array]) -> Sequence[Array]:
    """What a vjp rule returned: one gradient for each primal, of its shape. MLX would read past the end."""
    gradients = arrays_of(result, "the vjp rule")
    wanted, got = ([array.shape for array in arrays] for arrays in (primals, gradients))
    if wanted != got:
        raise ArgumentError(f"the vjp rule must return one gradient for each primal, of its shape: {wanted}, got {got}")
    return gradients


def _outputs_and_axes(result: Any) -> tuple[Any, list[int]]:
    if not isinstance(result, (list, tuple)) or len(result) != 2:
        raise TypeError(f"the vmap rule must return a pair (outputs, axes), got {type(result).__name__}")
    return result[0], integers(result[1])


# --- the trampolines: C enters Python here ---


@ffi.def_extern(onerror=_keep)  # type: ignore[untyped-decorator]
def python_closure(status: Any, res: Any, inputs: int, key: int) -> None:
    """Call an array function: list of arrays in, list of arrays out."""
    res[0] = pack_arrays(arrays_of(_function(key)(share_arrays(inputs))))
    _succeed(status)


@ffi.def_extern(onerror=_keep)  # type: ignore[untyped-decorator]
def python_closure_kwargs(status: Any, res: Any, inputs: int, kwargs: int, key: int) -> None:
    """Call a function over arrays and named arrays."""
    res[0] = pack_arrays(arrays_of(_function(key)(share_arrays(inputs), kwargs)))
    _succeed(status)


@ffi.def_extern(onerror=_keep)  # type: ignore[untyped-decorator]
def python_closure_value_and_grad(status: Any, values: Any, grads: Any, inputs: int, key: int) -> None:
    """Call a function that computes values and gradients itself."""
    found, gradients = _function(key)(share_arrays(inputs))
    values[0] = pack_arrays(arrays_of(found))
    grads[0] = pack_arrays(arrays_of(gradients))
    _succeed(status)


@ffi.def_extern(onerror=_keep)  # type: ignore[untyped-decorator]
def python_closure_custom(status: Any, res: Any, primals: int, cotangents: int, outputs: int, key: int) -> None:
    """Call a user's reverse-mode rule."""
    arguments = share_arrays(primals)
    gradients = _function(key)(list(arguments), share_arrays(cotangents), share_arrays(outputs))
    res[0] = pack_arrays(_gradients_of(gradients, arguments))
    _succeed(status)


@ffi.def_extern(onerror=_keep)  # type: ignore[untyped-decorator]
def python_closure_custom_jvp(
    status: Any, res: Any, primals: int, tangents: int, argnums: Any, argnums_num: int, key: int
) -> None:
    """Call a user's forward-mode rule."""
    results = _function(key)(share_arrays(primals), share_arrays(tangents), list(argnums[0:argnums_num]))
    res[0] = pack_arrays(arrays_of(results, "the jvp rule"))
    _succeed(status)


@ffi.def_extern(onerror=_keep)  # type: ignore[untyped-decorator]
def python_closure_custom_vmap(
    status: Any, res: Any, out_axes: Any, inputs: int, in_axes: Any, in_axes_num: int, key: int
) -> None:
    """Call a user's vectorisation rule: arrays and their axes in, arrays and their axes out."""
    outputs, axes = _outputs_and_axes(_function(key)(share_arrays(inputs), list(in_axes[0:in_axes_num])))
    packed = lib.mlx_vector_int_new_data(axes, len(axes))
    if not packed.ctx:
        raise last_error()
    out_axes[0] = int(ffi.cast("intptr_t", packed.ctx))
    res[0] = pack_arrays(arrays_of(outputs, "the vmap rule"))
    _succeed(status)
