"""Callbacks: the path of a Python function through C and back.

 1. A transform puts the Python function into the registry under a new integer key and asks C for a closure whose
    payload is that key (`Closure`).
 2. C stores the key next to the address of one static trampoline for the closure's kind. Transforms copy the closure
    and may keep it in a lazy graph long after the Python call returned.
 3. When MLX needs the function, C calls the trampoline, which enters Python with the borrowed argument vectors as
    integers (`python_closure` and its siblings below).
 4. Python finds the function under the key, takes handles of its own to the arguments and calls it.
 5. What it returns is checked and packed into a vector, whose handle goes back to C. Whatever it raises,
    KeyboardInterrupt and SystemExit too, is kept for this thread by `_keep`, and C gets 0.
 6. C turns 0 into a C++ exception, which unwinds MLX and becomes the status of the outermost C call. There `check`
    finds the kept exception and raises that very object; only where there is none it raises MLX's.
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
import weakref
from collections.abc import Callable, Sequence
from threading import get_ident
from types import TracebackType
from typing import TYPE_CHECKING, Any

from . import _handles
from ._arguments import integers
from ._errors import ArgumentError, last_error
from ._ffi import ArrayOwner, ffi, lib
from ._handles import pack_arrays

if TYPE_CHECKING:
    from .array import Array

__all__ = ["Closure", "Function", "Held", "arrays_of", "call", "check", "drain", "keep", "registered"]

# What a transform takes: a function over a flat list of arrays.
Function = Callable[..., Any]

# By key: functions that only C keeps, and those that a Python object keeps for reuse.
_owned: dict[int, Any] = {}
_held: dict[int, weakref.ref[Held]] = {}
# By key: the class of arrays that a function of mlxffi.core takes. Such a function checks itself what it returns.
_classes: dict[int, type[Array]] = {}
_keys = itertools.count(1)
KEYS = ffi.typeof("intptr_t[]")

# What callbacks mostly return goes the short way.
SEQUENCES = (list, tuple)
pack = ArrayOwner._pack_all

# What a callback on a thread (by its ident) raised, until the C call that ran it has returned. It is empty but for
# that moment, so that one look at it is all that a call without an exception costs.
_raised: dict[int, BaseException] = {}


# --- the registry ---


class Held:
    """A function that a Python object keeps for reuse: the registry refers to it weakly."""

    __slots__ = ("__weakref__", "function")

    def __init__(self, function: Function):
        self.function = function


def _function(key: int) -> Function:
    function: Function | None = _owned.get(key)
    if function is None:
        held = _held[key]()
        if held is None:
            raise RuntimeError("the function of a transform is gone: the transform was freed while it ran")
        function = held.function
    return function


def keep(owner: object) -> int:
    """Hold an object in the registry until C drops the key that this returns: the owner of memory that C uses."""
    key = next(_keys)
    _owned[key] = owner
    return key


def drain() -> None:
    """Take the functions out of the registry whose closures C has destroyed."""
    while count := lib.glue_dropped_count():
        keys = ffi.new(KEYS, count)
        for key in keys[0 : lib.glue_dropped(keys, count)]:
            _owned.pop(key, None)
            _held.pop(key, None)
            _classes.pop(key, None)


def registered() -> int:
    """How many functions the registry holds."""
    drain()
    return len(_owned) + len(_held)


# --- closures ---


class Closure:
    """A C closure of one kind over a Python function, for the length of a `with` block.

    Transforms copy it, so it may be freed as soon as the transform is built.

    Args:
      arrays: the class of the arrays that the function takes where it is not `Array`; then the function answers for
        what it returns: lists of arrays.
    """

    __slots__ = ("_kind", "handle")

    def __init__(self, function: Function | Held, kind: str = "closure", arrays: type[Array] | None = None):
        drain()
        key = next(_keys)
        if arrays is not None:
            _classes[key] = arrays
        if isinstance(function, Held):
            _held[key] = weakref.ref(function)
        else:
            _owned[key] = function
        self._kind = kind
        # After an error C has queued the key.
        self.handle: int = _NEW[kind](key)
        if not self.handle:
            raise last_error()

    def __enter__(self) -> int:
        return self.handle

    def __exit__(self, *_: object) -> None:
        _FREE[self._kind](self.handle)


KINDS = ["closure", "closure_kwargs", "closure_value_and_grad", "closure_custom", "closure_custom_jvp"]
KINDS.append("closure_custom_vmap")
_NEW = {kind: getattr(lib, f"glue_new_{kind}") for kind in KINDS}
_FREE = {kind: getattr(lib, f"glue_{kind}_free") for kind in KINDS}


def call(function: Callable[..., int], *arguments: Any) -> int:
    """The result of a C function that may run callbacks, for `check`."""
    # A call that nobody checked, through `mlxffi.lib`, may have left an exception.
    if _raised:
        _raised.pop(get_ident(), None)
    return function(*arguments)


def check(failed: int) -> None:
    """Raise what made a `call` fail: the user's own exception, else MLX's error."""
    # Taken although the call went well: an exception that MLX swallowed.
    kept = _raised.pop(get_ident(), None) if _raised else None
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
    _raised[get_ident()] = exception.with_traceback(traceback)


def _packed(result: Any, what: str = "the function") -> int:
    """The handle of what a callback returned. Whatever failed below that callback did not stop it."""
    if _raised:
        _raised.pop(get_ident(), None)
    if result.__class__ in SEQUENCES and result:
        vector: int | None = pack(result)
        if vector is not None:
            return vector
    return pack_arrays(arrays_of(result, what))


def _taken(result: Any) -> int:
    """`_packed` for a function that answers for its result."""
    if _raised:
        _raised.pop(get_ident(), None)
    return pack_arrays(result)


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


# --- the trampolines: C enters Python here, and gets the handle of a vector, or 0 after an exception ---


@ffi.def_extern(error=0, onerror=_keep)  # type: ignore[untyped-decorator]
def python_closure(inputs: int, key: int) -> int:
    """Call an array function: list of arrays in, list of arrays out."""
    cls = _classes.get(key)
    if cls is not None:
        return _taken(_function(key)(cls._share_all(inputs)))
    return _packed(_function(key)(_handles.share_arrays(inputs)))


@ffi.def_extern(error=0, onerror=_keep)  # type: ignore[untyped-decorator]
def python_closure_kwargs(inputs: int, kwargs: int, key: int) -> int:
    """Call a function over arrays and named arrays."""
    cls = _classes.get(key)
    if cls is not None:
        return _taken(_function(key)(cls._share_all(inputs), kwargs))
    return _packed(_function(key)(_handles.share_arrays(inputs), kwargs))


@ffi.def_extern(error=0, onerror=_keep)  # type: ignore[untyped-decorator]
def python_closure_value_and_grad(grads: Any, inputs: int, key: int) -> int:
    """Call a function that computes values and gradients itself."""
    values, gradients = _function(key)(_handles.share_arrays(inputs))
    grads[0] = _packed(gradients)
    return _packed(values)


@ffi.def_extern(error=0, onerror=_keep)  # type: ignore[untyped-decorator]
def python_closure_custom(primals: int, cotangents: int, outputs: int, key: int) -> int:
    """Call a user's reverse-mode rule."""
    cls = _classes.get(key)
    if cls is not None:
        return _taken(_function(key)(*(cls._share_all(vector) for vector in (primals, cotangents, outputs))))
    arguments = _handles.share_arrays(primals)
    rest = (_handles.share_arrays(vector) for vector in (cotangents, outputs))
    return _packed(_gradients_of(_function(key)(list(arguments), *rest), arguments))


@ffi.def_extern(error=0, onerror=_keep)  # type: ignore[untyped-decorator]
def python_closure_custom_jvp(primals: int, tangents: int, argnums: Any, argnums_num: int, key: int) -> int:
    """Call a user's forward-mode rule."""
    share = _classes[key]._share_all if key in _classes else _handles.share_arrays
    arguments, directions = share(primals), share(tangents)
    return _packed(_function(key)(arguments, directions, list(argnums[0:argnums_num])), "the jvp rule")


@ffi.def_extern(error=0, onerror=_keep)  # type: ignore[untyped-decorator]
def python_closure_custom_vmap(out_axes: Any, inputs: int, in_axes: Any, in_axes_num: int, key: int) -> int:
    """Call a user's vectorisation rule: arrays and their axes in, arrays and their axes out."""
    arguments = (_classes[key]._share_all if key in _classes else _handles.share_arrays)(inputs)
    outputs, axes = _outputs_and_axes(_function(key)(arguments, list(in_axes[0:in_axes_num])))
    packed = lib.mlx_vector_int_new_data(axes, len(axes))
    if not packed.ctx:
        raise last_error()
    out_axes[0] = int(ffi.cast("intptr_t", packed.ctx))
    return _packed(outputs, "the vmap rule")
