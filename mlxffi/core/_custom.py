"""Functions with rules of their own, and checkpoints: transforms that last in the graph, over trees."""

from __future__ import annotations

from collections.abc import Callable

from .._errors import ArgumentError
from . import _trees
from ._arguments import required
from ._array import array
from ._binding import abi, native
from ._transforms import Transformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")


class _Call:
    """One call of a function over trees: what its flat inputs and outputs stand for."""

    __slots__ = ("_fun", "_inputs", "_named", "_strict", "outputs")

    def __init__(self, fun: Callable[..., Any], args: Any, kwargs: Any, arrays: list[array], strict: bool):
        self._fun, self._strict, self._named = fun, strict, bool(kwargs)
        self._inputs = _trees.split((args, kwargs) if kwargs else args, arrays)
        self.outputs: Any = None

    def __call__(self, given: list[array]) -> list[array]:
        found: list[array] = []
        inputs = _trees.joined(self._inputs, given)
        if self._named:
            args, kwargs = inputs
            value = self._fun(*args, **kwargs)
        else:
            value = self._fun(*inputs)
        self.outputs = _trees.split(value, found, self._strict)
        return found

    def arguments(self, values: list[Any]) -> tuple[Any, dict[str, Any]]:
        """Values in the places of the inputs: positional ones, of which a single one stands alone, and named ones."""
        inputs = _trees.joined(self._inputs, values)
        args, kwargs = inputs if self._named else (inputs, {})
        return args[0] if len(args) == 1 else args, kwargs

    def result(self, values: list[Any]) -> Any:
        """Values in the places of the outputs."""
        return _trees.joined(self.outputs, values)


class _RuledCall(_Call):
    """One call of a function with rules of its own."""

    __slots__ = ("rules",)
    rules: dict[str, Callable[..., Any]]

    def gradients(self, primals: list[array], cotangents: list[array], outputs: list[array]) -> list[array]:
        args, kwargs = self.arguments(primals)
        found = self.rules["vjp"](args, self.result(cotangents), self.result(outputs), **kwargs)
        return _complete(_trees.leaves(found, []), primals)

    def tangents(self, primals: list[array], tangents: list[array], argnums: tuple[int, ...]) -> list[array]:
        args, kwargs = self.arguments(primals)
        every: list[array | None] = [None] * len(primals)
        for place, tangent in zip(argnums, tangents, strict=True):
            every[place] = tangent
        return _trees.leaves(self.rules["jvp"](args, self.arguments(every)[0], **kwargs), [])

    def vectorised(self, inputs: list[array], axes: tuple[int, ...]) -> tuple[list[array], list[int]]:
        args, kwargs = self.arguments(inputs)
        places, _ = self.arguments([None if axis < 0 else axis for axis in axes])
        found = self.rules["vmap"](args, places, **kwargs)
        if not isinstance(found, tuple) or len(found) != 2:
            raise ArgumentError("[custom vmap] Vmap function should return a tuple with 2 items.")
        out_axes = _trees.axes_beside(found[0], found[1], "custom vmap")
        return _trees.leaves(found[0], []), [-1 if axis is None else axis for axis in out_axes]


# --- checkpoints ---


def checkpoint(fun: Callable[P, R]) -> Callable[P, R]:
    """The same function, whose intermediate values are recomputed for the gradient instead of being kept.

    Gradients flow only to arrays among the arguments. To capture one that is being differentiated is an error.

    Args:
      fun: takes and returns trees of arrays.

    Returns:
      A function like `fun`.
    """

    def call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        arrays: list[array] = []
        function = _Call(fun, args, kwargs, arrays, False)
        return function.result(native.checkpoint(function, arrays)) if arrays else fun(*args, **kwargs)

    return Transformed(fun, "checkpoint", call)


# --- custom rules ---


class custom_function:
    """A function whose derivatives and vectorisation may be given as functions, set with the methods as decorators.

    A rule that is left out is derived from the function. Arrays that the function captures get no gradient.

    Args:
      f: the function, of arrays and trees of them.
    """

    __module__ = "mlxffi.core"
    __slots__ = ("__weakref__", "_fun", "_rules")

    def __init__(self, f: Callable[..., Any]):
        self._fun = required(f, "__init__", "f")
        self._rules: dict[str, Callable[..., Any]] = {}

    def vjp(self, f: Callable[..., Any]) -> custom_function:
        """Set the reverse-mode rule: from (primals, cotangents, outputs) to gradients in the form of the primals.

        The primals are the tuple of positional arguments, or the argument itself where there is one; keyword arguments
        are passed on by name. Gradients that are left out at the end count as zeros.

        Args:
          f: the rule.

        Returns:
          This function, so that it serves as a decorator.
        """
        self._rules["vjp"] = required(f, "vjp", "f")
        return self

    def jvp(self, f: Callable[..., Any]) -> custom_function:
        """Set the forward-mode rule: from (primals, tangents) to tangents in the form of the outputs.

        A tangent is None where an argument is not differentiated.

        Args:
          f: the rule.

        Returns:
          This function, so that it serves as a decorator.
        """
        self._rules["jvp"] = required(f, "jvp", "f")
        return self

    def vmap(self, f: Callable[..., Any]) -> custom_function:
        """Set the vectorisation rule: from (inputs, axes) to (outputs, axes), None for an axis that is not there.

        Args:
          f: the rule.

        Returns:
          This function, so that it serves as a decorator.
        """
        self._rules["vmap"] = required(f, "vmap", "f")
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        arrays: list[array] = []
        if not self._rules:
            return self._fun(*args, **kwargs)
        function = _RuledCall(self._fun, args, kwargs, arrays, True)
        if not arrays:
            return self._fun(*args, **kwargs)
        rules = function.rules = self._rules
        vjp = function.gradients if "vjp" in rules else None
        jvp = function.tangents if "jvp" in rules else None
        vmap = function.vectorised if "vmap" in rules else None
        return function.result(native.custom_function(function, vjp, jvp, vmap, arrays))


custom_function.__qualname__ = "custom_function"


def _complete(gradients: list[array], primals: list[array]) -> list[array]:
    """One gradient for each primal, of its shape: zeros for those that a rule leaves out."""
    if [found.shape for found in gradients] == [primal.shape for primal in primals]:
        return gradients
    missing = primals[len(gradients) :]
    for place, (gradient, primal) in enumerate(zip(gradients, primals, strict=False)):
        if gradient.shape != primal.shape:
            gradients[place] = abi.broadcast_to(gradient, primal.shape)
    gradients += [abi.zeros_like(primal) for primal in missing]
    return gradients[: len(primals)]
