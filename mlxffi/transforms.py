"""Function transforms over flat lists of arrays: derivatives, checkpoints, custom rules, vectorisation, compilation.

A function under a transform takes one list of Arrays and returns a non-empty list (or tuple) of Arrays. Transforms
nest to any depth, and an exception that the function raises reaches the caller as the same object (see _closures.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn

from ._arguments import ArrayLike, as_arrays, as_inputs, integers
from ._closures import Closure, arrays_of, run, trace
from ._errors import ArgumentError, RangeError
from ._ffi import graph, last_error, lib, require_no_fork
from ._garbage import WAITS, look_at_memory
from ._handles import Owner, handles, pack_arrays
from ._registry import Held, drain, enter, keep
from ._values import start
from .array import Array

__all__ = [
    "CompiledFunction",
    "GradFn",
    "async_eval",
    "checkpoint",
    "compile",
    "custom_function",
    "custom_vjp",
    "eval",
    "grad",
    "jvp",
    "value_and_grad",
    "vjp",
    "vmap",
]

ListFunction = Callable[[list["Array"]], Sequence["Array"]]


LARGEST = 2**31 - 1
_EVAL = lib.glue_eval


class _Reusable:
    """A native function that a Python object keeps, and whose handle goes with `free`."""

    __slots__ = ("__weakref__", "_native")
    _native: _NativeFunction | None

    @staticmethod
    def _freed(what: str) -> NoReturn:
        raise ArgumentError(f"{what} has been freed; make a new one")

    def free(self) -> None:
        """Free the native function with its graphs; calling it afterwards is an error, freeing it again is not."""
        self._native = None


class _NativeFunction(Owner):
    """A C closure, and the Python function below it where that is kept for reuse.

    Whoever calls it holds it, so that it outlives a call that frees the transform it belongs to.
    """

    __slots__ = ("closure", "held")
    _slot = "closure"
    closure: int
    _free = lib.glue_closure_free

    def __init__(self, handle: int, held: Held | None = None):
        self.held = held
        super().__init__(handle)


# --- evaluation ---


def eval(*arrays: Array) -> None:
    """Compute arrays now and wait for them.

    Args:
      arrays: any number of Arrays.
    """
    require_no_fork("eval")
    if _EVAL(pack_arrays(arrays)):
        raise last_error()
    if WAITS:
        look_at_memory()


def async_eval(*arrays: Array) -> None:
    """Start computing arrays without waiting for them.

    Args:
      arrays: any number of Arrays.
    """
    start(arrays)


# --- derivatives ---


def vjp(
    fn: ListFunction, primals: Sequence[ArrayLike], cotangents: Sequence[ArrayLike]
) -> tuple[list[Array], list[Array]]:
    """Outputs of a function and the vector-Jacobian product (reverse mode).

    Args:
      fn: from a list of Arrays to a list of Arrays.
      primals: the point; one array for each input of `fn`.
      cotangents: one array for each output, of its shape.

    Returns:
      (outputs, vjps): the values of `fn`, and one gradient for each primal, of its shape.

    Raises:
      ValueError: counts or shapes do not fit. Whatever `fn` raises arrives as it is.

    Source: C mlx_vjp; the Go port's VJP.
    """
    inputs, seeds = as_inputs("primals", primals), as_inputs("cotangents", cotangents)
    points = handles(inputs), len(inputs)
    both = trace(graph.glue_run_vjp, fn, *points, handles(seeds), len(seeds))
    count = len(both) - len(inputs)
    outputs, vjps = both[:count], both[count:]
    # MLX complains about too few of them only.
    if len(seeds) > len(outputs):
        raise ArgumentError(f"[vjp] cotangents: expected one for each of {len(outputs)} outputs, got {len(seeds)}")
    return outputs, vjps


def jvp(
    fn: ListFunction, primals: Sequence[ArrayLike], tangents: Sequence[ArrayLike]
) -> tuple[list[Array], list[Array]]:
    """Outputs of a function and the Jacobian-vector product (forward mode).

    Args:
      fn: from a list of Arrays to a list of Arrays.
      primals: the point; one array for each input of `fn`.
      tangents: a direction; one array for each primal, of its shape.

    Returns:
      (outputs, jvps): the values of `fn`, and the directional derivative of each output, of its shape.

    Raises:
      ValueError: counts or shapes do not fit. Whatever `fn` raises arrives as it is.

    Source: C mlx_jvp; the Go port's JVP.
    """
    inputs, directions = as_inputs("primals", primals), as_inputs("tangents", tangents)
    points = handles(inputs), len(inputs)
    both = trace(graph.glue_run_jvp, fn, *points, handles(directions), len(directions))
    return both[: len(both) // 2], both[len(both) // 2 :]


class _NativeGradFn(_NativeFunction):
    """A C closure that computes values and gradients."""

    __slots__ = ()
    _free = lib.glue_closure_value_and_grad_free


class GradFn(_Reusable):
    """A function that computes values and gradients; made by `value_and_grad`, called any number of times."""

    __slots__ = ("_count", "_ranks")

    def __init__(self, fn: ListFunction, argnums: Sequence[int]):
        # C gives gradients in ascending order of the arguments; these are the places of those asked for.
        ranks = [sorted(argnums).index(argnum) for argnum in argnums]
        self._count = len(ranks)
        self._ranks = None if ranks == sorted(ranks) else ranks
        held = Held(fn)
        with Closure(held) as closure:
            self._native = _NativeGradFn(lib.glue_value_and_grad(closure, list(argnums), len(argnums)), held)

    def apply(self, *inputs: ArrayLike) -> tuple[list[Array], list[Array]]:
        """Values and gradients at a point.

        Args:
          inputs: one array for each input of the function.

        Returns:
          (values, grads): the outputs of the function, the first of which is a scalar, and the gradient of that one
          with respect to each argument asked for, in the order in which they were asked for.

        Raises:
          ValueError: the function has too few arguments for the argnums, its first output is not a scalar, or this
            GradFn has been freed. Whatever the function raises arrives as it is.

        Source: C mlx_closure_value_and_grad_apply; the Go port's GradFn.Apply.
        """
        made = self._native or self._freed("[GradFn.apply] this GradFn")  # held: the function may free its own
        arrays = as_arrays(inputs)
        both = run(graph.glue_run_value_and_grad, made.closure, handles(arrays), len(arrays))
        values, grads = both[: -self._count], both[-self._count :]
        return values, grads if self._ranks is None else [grads[rank] for rank in self._ranks]

    __call__ = apply

    def __enter__(self) -> GradFn:
        return self

    def __exit__(self, *_: object) -> None:
        self.free()


def value_and_grad(fn: ListFunction, *argnums: int) -> GradFn:
    """A function that computes the values of `fn` and the gradients of its first output.

    Args:
      fn: from a list of Arrays to a list of Arrays, the first a scalar; the others are auxiliary values.
      argnums: the positions of the arguments to differentiate, 0 or more, each once; none means the first.

    Returns:
      A GradFn, to be called with the inputs of `fn`.

    Raises:
      ValueError: an argnum is negative or appears twice.
      TypeError: an argnum is not an int.

    Source: C mlx_value_and_grad; the Go port's ValueAndGrad.
    """
    return GradFn(fn, _checked_argnums(argnums or (0,)))


def grad(fn: ListFunction, *argnums: int) -> Callable[..., list[Array]]:
    """Make a function that computes only the gradients of the first output of `fn`; see `value_and_grad`.

    Args:
      fn: from a list of Arrays to a list of Arrays, the first of them a scalar.
      argnums: positions of the arguments to differentiate; none: the first.

    Returns:
      A function of Arrays that returns a list of gradients, in the order of `argnums`.
    """
    differentiated = value_and_grad(fn, *argnums)

    def gradients(*inputs: ArrayLike) -> list[Array]:
        return differentiated.apply(*inputs)[1]

    return gradients


def _checked_argnums(argnums: Sequence[int]) -> list[int]:
    for argnum in argnums:
        if isinstance(argnum, bool) or not hasattr(argnum, "__index__"):
            raise TypeError(f"[value_and_grad] argnums: expected ints, got {argnum!r}")
    numbers = integers(list(argnums))
    if min(numbers) < 0 or max(numbers) > LARGEST:
        raise ArgumentError(f"[value_and_grad] argnums: expected positions from 0 to {LARGEST}, got {numbers}")
    if len(set(numbers)) < len(numbers):
        raise ArgumentError(f"[value_and_grad] argnums: expected each position once, got {numbers}")
    return numbers


# --- transforms that last in the graph: their closures are made for each call and kept by C ---


def _made_for_each_call(make: Callable[[], int]) -> Callable[[Sequence[ArrayLike]], list[Array]]:
    def transformed(inputs: Sequence[ArrayLike]) -> list[Array]:
        arrays = as_inputs("inputs", inputs)
        closure = make()
        if not closure:
            raise last_error()
        try:
            return run(graph.glue_run_closure, closure, handles(arrays), len(arrays))
        finally:
            lib.glue_closure_free(closure)

    return transformed


def checkpoint(fn: ListFunction) -> Callable[[Sequence[ArrayLike]], list[Array]]:
    """The same function, whose intermediate values are computed again for the gradient instead of being kept.

    Only arguments get a gradient: an array that is being differentiated and that `fn` captures instead of taking it
    as an argument is an error.

    Args:
      fn: from a non-empty list of Arrays to a list of Arrays. It runs once forward and once more backward.

    Returns:
      A function with the same argument and result.

    Raises:
      ValueError: (by the returned function) a differentiated array was captured; not over somebody else's mlx-c.

    Source: C mlx_checkpoint; the Go port's Checkpoint. Chen et al. 2016, "Training Deep Nets with Sublinear Memory
    Cost".
    """
    return _made_for_each_call(lambda: lib.glue_new_checkpoint(keep(fn)))


def custom_vjp(
    fn: ListFunction, vjp_fn: Callable[[list[Array], list[Array], list[Array]], Sequence[Array]]
) -> Callable[[Sequence[ArrayLike]], list[Array]]:
    """The same function with a reverse-mode rule of your own.

    Args:
      fn: from a non-empty list of Arrays to a list of Arrays.
      vjp_fn: from (primals, cotangents, outputs) to one gradient for each primal, of its shape.

    Returns:
      A function with the same argument and result as `fn`.

    Source: C mlx_custom_vjp.
    """
    return custom_function(fn, vjp=vjp_fn)


def custom_function(
    fn: ListFunction,
    vjp: Callable[[list[Array], list[Array], list[Array]], Sequence[Array]] | None = None,
    jvp: Callable[[list[Array], list[Array], list[int]], Sequence[Array]] | None = None,
    vmap: Callable[[list[Array], list[int]], tuple[Sequence[Array], Sequence[int]]] | None = None,
) -> Callable[[Sequence[ArrayLike]], list[Array]]:
    """The same function with transformation rules of your own; a rule left out is derived from `fn`.

    Args:
      fn: from a non-empty list of Arrays to a list of Arrays.
      vjp: from (primals, cotangents, outputs) to one gradient for each primal, of its shape.
      jvp: from (primals, tangents, argnums) to one tangent for each output; `tangents` are those of the primals whose
        positions are `argnums`.
      vmap: from (inputs, axes) to (outputs, axes); an axis of -1 means that the array is not vectorised.

    Returns:
      A function with the same argument and result as `fn`.

    Source: C mlx_custom_function.
    """
    kept = fn, vjp, jvp, vmap

    def make() -> int:
        drain()
        return lib.glue_new_custom_function(*[0 if rule is None else enter(rule) for rule in kept])

    return _made_for_each_call(make)


def vmap(
    fn: ListFunction, in_axes: int | Sequence[int] = 0, out_axes: int | Sequence[int] = 0
) -> Callable[[Sequence[ArrayLike]], list[Array]]:
    """A function over one more axis than `fn`: the loop over it is part of each operation.

    Args:
      fn: from a list of Arrays to a list of Arrays.
      in_axes: the axis of each input to loop over, -1 for none; one int stands for all inputs.
      out_axes: where the axis goes in each output; one int stands for all outputs.

    Returns:
      The vectorised function.

    Source: C mlx_detail_vmap_trace and mlx_detail_vmap_replace.
    """
    one_in, one_out = (hasattr(axes, "__index__") for axes in (in_axes, out_axes))
    ins, outs = integers(in_axes), integers(out_axes)

    def checked(slices: list[Array]) -> Sequence[Array]:
        outputs = fn(slices)
        _axes("out_axes", outs, one_out, arrays_of(outputs), 1)
        return outputs

    # In front every output has room for one more axis.
    traced = fn if one_out and outs == [0] else checked

    def vectorised(inputs: Sequence[ArrayLike]) -> list[Array]:
        arrays = as_inputs("inputs", inputs)
        axes = _axes("in_axes", ins, one_in, arrays)
        return trace(graph.glue_run_vmap, traced, handles(arrays), len(arrays), axes, len(axes), outs, len(outs))

    return vectorised


def _axes(name: str, numbers: list[int], for_all: bool, arrays: Sequence[Array], more: int = 0) -> list[int]:
    """One axis for each array, which has it or is to have so many more; -1 stands for none."""
    count = len(arrays)
    if for_all and count > 1:
        numbers = numbers * count
    if len(numbers) != count:
        raise ArgumentError(f"[vmap] {name}: expected {count} axes, got {len(numbers)}")
    for index, array in enumerate(arrays):
        last = graph.glue_array_ndim(array._h) + more - 1  # here they are not counted from the end
        if not -1 <= numbers[index] <= last:
            raise RangeError(f"[vmap] {name}: expected -1 to {last} for array {index}, got {numbers[index]}")
    return numbers


class CompiledFunction(_Reusable):
    """A function that is traced once for each kind of input and then runs as one graph; made by `compile`."""

    __slots__ = ()

    def __init__(self, fn: ListFunction, shapeless: bool):
        held = Held(fn)
        with Closure(held) as closure:
            self._native = _NativeFunction(lib.glue_compile(closure, shapeless), held)

    def __call__(self, inputs: Sequence[ArrayLike]) -> list[Array]:
        made = self._native or self._freed("[compile] this compiled function")
        arrays = as_inputs("inputs", inputs)
        return run(graph.glue_run_closure, made.closure, handles(arrays), len(arrays))


def compile(fn: ListFunction, shapeless: bool = False) -> CompiledFunction:
    """The same function, traced once for each combination of input shapes and dtypes and run from its graph.

    Args:
      fn: from a list of Arrays to a list of Arrays, without side effects: it runs only while it is traced. Arrays
        that it captures become constants.
      shapeless: trace once for all shapes of the same rank.

    Returns:
      A function with the same argument and result.

    Source: C mlx_compile.
    """
    return CompiledFunction(fn, shapeless)
