"""Derivatives and vectorisation of functions over trees of arrays.

A function is called with its own arguments, in which traced arrays stand in the places of arrays, and its result is
rebuilt around what C gives back. Whatever it raises arrives at the caller as the same object.
"""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Sequence, Set

from .._errors import ArgumentError, RangeError
from . import _trees
from ._arguments import required
from ._array import array
from ._binding import native, signature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")

__all__ = ["grad", "jvp", "value_and_grad", "vjp", "vmap"]


class _Forwarded:
    """The docstring of the function, as an attribute of the class of what came out of it."""

    def __get__(self, instance: Transformed | None, owner: type) -> Any:
        return None if instance is None else instance._fun.__doc__


class Transformed:
    # A function that came out of a transform; attributes that it lacks are those of the function that went in. For that
    # each of its own takes as long as a small function: a call needs one.
    __doc__: Any = _Forwarded()

    __slots__ = ("__weakref__", "_call", "_fun", "_name")

    def __init__(self, fun: Callable[..., Any], name: str, call: Callable[[tuple[Any, ...], dict[str, Any]], Any]):
        # `call` takes the tuple of arguments, and the dict of those by name. No annotations of the class: those of the
        # function are asked for.
        self._fun: Callable[..., Any] = required(fun, name)
        self._name, self._call = name, call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(args, kwargs)

    def __getattr__(self, name: str) -> Any:
        # Copies and pickles ask for what is not set yet.
        if name in ("_fun", "_call", "_name", "__wrapped__"):
            raise AttributeError(name)
        if name == "__signature__":
            import inspect  # Who asks has it.

            return inspect.signature(self._fun)
        return getattr(self._fun, name)

    def __repr__(self) -> str:
        return f"<{self._name} of {self._fun!r}>"


# --- vjp and jvp ---


@signature("vjp")
def vjp(fun: Callable[..., Any], primals: list[array], cotangents: list[array]) -> tuple[list[array], list[array]]:
    """Outputs of a function, and its vector-Jacobian product (reverse mode).

    Args:
      fun: takes one array for each primal and returns an array, or a list or tuple of arrays.
      primals: the point.
      cotangents: one array for each output, of its shape.

    Returns:
      (outputs, vjps): lists; the second has one gradient for each primal.
    """


@signature("jvp")
def jvp(fun: Callable[..., Any], primals: list[array], tangents: list[array]) -> tuple[list[array], list[array]]:
    """Outputs of a function, and its Jacobian-vector product (forward mode).

    Args:
      fun: takes one array for each primal and returns an array, or a list or tuple of arrays.
      primals: the point.
      tangents: a direction; one array for each primal, of its shape.

    Returns:
      (outputs, jvps): lists; the second has one directional derivative for each output.
    """


# --- gradients ---


class _Gradients:
    """The values and gradients of a function."""

    __slots__ = ("_fun", "_names", "_natives", "_numbers", "_tag")

    def __init__(self, fun: Callable[..., Any], tag: str, argnums: Any, argnames: Any):
        self._fun, self._tag = fun, tag
        self._numbers, self._names = _arguments_of(tag, argnums, argnames)
        # By the number of differentiated arrays, which varies with the trees that it is called with.
        self._natives: dict[int, native.Handle] = {}

    def of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        """The value and the gradients for some arguments."""
        if self._names or self._numbers[-1] >= len(args):
            self._require(args, kwargs)
        # Where all arguments are arrays to differentiate, there is no tree to go through.
        if len(args) == len(self._numbers) and not kwargs:
            for argument in args:
                if type(argument) is not array:
                    break
            else:
                value, grads = self._by_arrays(self._fun, args)
                return value, grads[0] if len(grads) == 1 else tuple(grads)
        branches = [args[number] for number in self._numbers]
        branches += [kwargs[name] for name in self._names]
        arrays: list[array] = []
        structure = _trees.split(branches, arrays, True)

        def call(*tracers: array) -> Any:
            return self._called(args, kwargs, branches, list(tracers))

        value, grads = self._by_arrays(call, arrays)
        return value, self._arranged(_trees.joined(structure, grads))

    def alone(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The gradients for some arguments."""
        return self.of(args, kwargs)[1]

    def _by_arrays(self, call: Callable[..., Any], arrays: Sequence[array]) -> tuple[Any, list[array]]:
        """The value of a function of some arrays, and the gradients by these."""
        structure: Any = _trees.ARRAY

        def unpacked(value: Any) -> list[array]:
            nonlocal structure
            self._require_scalar(value)
            outputs: list[array] = []
            structure = _trees.split(value, outputs)
            return outputs

        values, grads = native.value_and_grad(call, self._native(len(arrays)), arrays, unpacked)
        return values[0] if structure is _trees.ARRAY else _trees.joined(structure, values), grads

    def _called(self, args: tuple[Any, ...], kwargs: dict[str, Any], branches: list[Any], tracers: list[array]) -> Any:
        """What the function returns for its own arguments, with tracers in the places of the differentiated arrays.

        Arrays that are not differentiated are objects of its own, for it may update them in place.
        """
        loan: list[Any] = []
        try:
            numbers, names = self._numbers, self._names
            positional: list[Any] = list(args)
            if len(args) > len(numbers):
                positional = [item if place in numbers else _owned(item, loan) for place, item in enumerate(args)]
            named = kwargs and {key: item if key in names else _owned(item, loan) for key, item in kwargs.items()}
            lent = _trees.lend(branches, loan, tracers)
            for number, branch in zip(numbers, lent, strict=False):
                positional[number] = branch
            if names:
                named.update(zip(names, lent[len(numbers) :], strict=True))
            return self._fun(*positional, **named)
        finally:
            if loan:
                _trees.take_back(loan)

    def _native(self, count: int) -> native.Handle:
        made = self._natives.get(count)
        if made is None:
            made = self._natives[count] = native.gradient_closure(range(count))
        return made

    def _require_scalar(self, value: Any) -> None:
        alone = self._tag == "grad"
        first = value[0] if isinstance(value, tuple) and value and not alone else value
        if not isinstance(first, array):
            wanted = "a scalar array" if alone else "a scalar array, or a tuple whose first value is one"
            got = type(value).__name__ if first is value else f"a tuple whose first value is a {type(first).__name__}"
            raise ArgumentError(f"[{self._tag}] fun: expected a function that returns {wanted}; it returned {got}")

    def _arranged(self, trees: list[Any]) -> Any:
        """Gradients as the caller gets them: one tree, or a tuple of them, and a dict for keyword arguments."""
        count = len(self._numbers)
        positional: Any = trees[0] if count == 1 else tuple(trees[:count]) if count else None
        if not self._names:
            return positional
        return positional, dict(zip(self._names, trees[count:], strict=True))

    def _require(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        start = f"[{self._tag}] Can't compute the gradient of"
        if self._numbers and self._numbers[-1] >= len(args):
            raise ArgumentError(
                f"{start} argument index {self._numbers[-1]} because the function is called with only {len(args)} "
                "positional arguments."
            )
        for name in self._names:
            if name not in kwargs:
                raise ArgumentError(
                    f"{start} keyword argument '{name}' because the function is called with the following keyword "
                    f"arguments {{{', '.join(kwargs)}}}"
                )


def _owned(argument: Any, loan: list[Any]) -> Any:
    """An argument that is not differentiated, with arrays that the function may update."""
    if type(argument) is array:
        return argument.__copy__()
    return _trees.lend(argument, loan) if isinstance(argument, (list, tuple, dict, array)) else argument


def _arguments_of(tag: str, argnums: Any, argnames: Any) -> tuple[list[int], list[str]]:
    """The positions in ascending order and the names in alphabetic order, checked."""
    if isinstance(argnames, Set):
        argnames = list(argnames)
    names = [argnames] if isinstance(argnames, str) else _listed(tag, "argnames", argnames, str)
    if argnums is None:
        return ([] if names else [0]), sorted(set(names))
    numbers = [argnums] if isinstance(argnums, int) else _listed(tag, "argnums", argnums, int)
    numbers = sorted(operator.index(number) for number in numbers)
    if not numbers and not names:
        raise ArgumentError(f"[{tag}] Gradient wrt no argument requested")
    if any(abs(number) >= 2**31 for number in numbers):
        raise TypeError(f"{tag}(): argnums: expected positions, got {numbers}")
    if numbers and numbers[0] < 0:
        raise ArgumentError(f"[{tag}] Can't compute the gradient of negative argument index {numbers[0]}")
    for number, following in itertools.pairwise(numbers):
        if number == following:
            raise ArgumentError(f"[{tag}] Duplicate argument index {number} is not allowed.")
    return numbers, sorted(set(names))


def _listed(tag: str, name: str, values: Any, kind: type) -> list[Any]:
    found = list(values) if isinstance(values, Sequence) and not isinstance(values, str) else [None]
    if not all(isinstance(value, kind) for value in found):
        raise TypeError(f"{tag}(): {name}: expected {kind.__name__}, or a sequence of them, got {values!r}")
    return found


def value_and_grad(
    fun: Callable[P, R],
    argnums: int | Sequence[int] | None = None,
    argnames: str | Sequence[str] = [],
) -> Callable[P, tuple[R, Any]]:
    """A function that computes the value of `fun` and its gradients.

    Args:
      fun: takes trees of arrays, and anything else, and returns a scalar array, or a tuple whose first value is one.
      argnums: the positions of the arguments to differentiate; the first where nothing is asked for by name either.
      argnames: the keyword arguments to differentiate.

    Returns:
      From the arguments of `fun` to (value, gradients). The gradients are a tree like the argument asked for; a tuple
      of trees, by ascending position, for several; and with `argnames` the pair of that (None for no position) and a
      dict of trees by name.
    """
    return Transformed(fun, "value_and_grad", _Gradients(fun, "value_and_grad", argnums, argnames).of)


def grad(
    fun: Callable[P, R],
    argnums: int | Sequence[int] | None = None,
    argnames: str | Sequence[str] = [],
) -> Callable[P, Any]:
    """A function that computes only the gradients of a function; see `value_and_grad`.

    Args:
      fun: returns a scalar array.
      argnums: positions of the arguments to differentiate; None: the first, if there are no `argnames`.
      argnames: names of keyword arguments to differentiate.

    Returns:
      A function that returns gradients, as trees like the arguments.
    """
    return Transformed(fun, "grad", _Gradients(fun, "grad", argnums, argnames).alone)


# --- vectorisation ---


class _Map:
    """A function over one more axis."""

    __slots__ = ("_fun", "_in_axes", "_out_axes")

    def __init__(self, fun: Callable[..., Any], in_axes: Any, out_axes: Any):
        if in_axes is None or out_axes is None:
            raise TypeError("vmap(): in_axes, out_axes: expected an int or a tree of ints and None, got None")
        self._fun, self._in_axes, self._out_axes = fun, in_axes, out_axes

    def of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Its result for some arguments."""
        if kwargs:
            raise TypeError("[vmap] Keyword arguments are not supported.")
        inputs: list[array] = []
        arguments = _trees.split(args, inputs, True)
        in_axes = native.same_axis(inputs, self._in_axes, 0)
        if in_axes is None:
            in_axes = _places("vectorization", self._in_axes, args[0] if len(args) == 1 else args, inputs)
        flat = arguments.count(_trees.ARRAY) == len(args)
        out_axes: list[int] = []
        result: Any = _trees.ARRAY

        def traced(*tracers: array) -> list[array]:
            nonlocal result
            value = self._fun(*(tracers if flat else _trees.joined(arguments, list(tracers))))
            outputs: list[array] = [value]
            if type(value) is not array:
                outputs = []
                result = _trees.split(value, outputs, True)
            same = native.same_axis(outputs, self._out_axes, 1)
            out_axes.extend(same or _places("output vectorization", self._out_axes, value, outputs, 1))
            if in_axes.count(-1) == len(in_axes):
                raise ArgumentError("At least one of in_axes must be non-None.")
            return outputs

        found = native.vmap(traced, inputs, in_axes, out_axes)
        return found[0] if result is _trees.ARRAY else _trees.joined(result, found)


def _places(name: str, axes: Any, tree: Any, arrays: list[array], extra: int = 0) -> list[int]:
    """The axes of a tree's arrays, counted from the front, -1 for None.

    Args:
      axes: an int or a tree of ints and None; beside one array a tuple of one axis will do.
      extra: how many axes each array is to get.

    Raises:
      IndexError: an array does not have its axis.
    """
    if type(axes) is tuple and len(axes) == 1 and isinstance(tree, array):
        axes = axes[0]
    counted = []
    for axis, item in zip(_trees.axes_beside(tree, axes), arrays, strict=True):
        ndim = item.ndim + extra
        if axis is not None and not -ndim <= axis < ndim:
            raise RangeError(f"[vmap] Invalid {name} axis {axis} for array with shape {tuple(item.shape)}")
        counted.append(-1 if axis is None else axis + ndim if axis < 0 else axis)
    return counted


def vmap(fun: Callable[P, R], in_axes: object = 0, out_axes: object = 0) -> Callable[P, R]:
    """A function like `fun` over one more axis of its arrays; each operation handles the whole axis at once.

    Args:
      fun: takes and returns trees of arrays.
      in_axes: the axis to map over: an int for all arrays, or a tree of ints and None (not mapped) whose leaves stand
        for branches of the tuple of arguments.
      out_axes: where the axis is in the results, in the same form.

    Returns:
      A function like `fun`.
    """
    return Transformed(fun, "vmap", _Map(fun, in_axes, out_axes).of)
