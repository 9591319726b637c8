"""Rows of transforms, over single arrays and over trees, and of what evaluates them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import mlxffi
from mlxffi import Array

from ._rows import Call, Row, in_core

TIMES = 1_000


def transforms() -> Iterator[Row]:
    """Rows of every transform."""
    yield from _derivatives()
    yield from _graphs()
    yield from _custom()
    yield from _evaluation()


def _rows(works: dict[str, tuple[Call | None, Callable[[Any], Call]]]) -> Iterator[Row]:
    for name, (ours, work) in works.items():
        yield in_core(name, TIMES, ours, work)


def _square(values: list[Array]) -> list[Array]:
    return [mlxffi.square(values[0])]


def _on_array(work: Callable[[Any, Any], Call], values: Any = 1.0) -> Callable[[Any], Call]:
    """Work on a module and an array of it."""
    return lambda module: work(module, module.array(values))


def _applied(transform: Callable[[Any], Callable[[Any], object]], values: Any = 1.0) -> Callable[[Any], Call]:
    """Calls of a function that a transform made once."""

    def work(module: Any, x: Any) -> Call:
        return partial(transform(module), x)

    return _on_array(work, values)


# --- derivatives and vectorisation ---


def _derivatives() -> Iterator[Row]:
    a, batch = Array(1.0), Array([1.0, 2.0])
    value_and_grad, grad, vmap = mlxffi.value_and_grad(_square), mlxffi.grad(_square), mlxffi.vmap(_square)
    yield from _rows(
        {
            "value_and_grad of square": (lambda: value_and_grad(a), _applied(lambda m: m.value_and_grad(m.square))),
            "grad of square": (lambda: grad(a), _applied(lambda m: m.grad(m.square))),
            "grad by two arguments": (None, _on_array(_grad_by_two)),
            "value_and_grad over a tree": (None, _tree_gradient),
            "vjp of square": (
                lambda: mlxffi.vjp(_square, [a], [a]),
                _on_array(lambda m, x: lambda: m.vjp(m.square, [x], [x])),
            ),
            "vjp of 10 operations": (partial(_vjp_ours, a), _on_array(_vjp_of_ten)),
            "jvp of square": (
                lambda: mlxffi.jvp(_square, [a], [a]),
                _on_array(lambda m, x: lambda: m.jvp(m.square, [x], [x])),
            ),
            "vmap of square": (lambda: vmap([batch]), _applied(lambda m: m.vmap(m.square), [1.0, 2.0])),
            "vmap over a tree": (None, _tree_vmap),
        }
    )


def _grad_by_two(module: Any, x: Any) -> Call:
    return partial(module.grad(module.multiply, argnums=(0, 1)), x, x)


def _ten(module: Any, value: Any) -> Any:
    for _ in range(5):
        value = module.sin(value) * value
    return value


def _vjp_ours(a: Array) -> object:
    return mlxffi.vjp(lambda v: [_ten(mlxffi, v[0])], [a], [a])


def _vjp_of_ten(module: Any, x: Any) -> Call:
    return lambda: module.vjp(lambda v: _ten(module, v), [x], [x])


def _layers(module: Any) -> dict[str, Any]:
    return {"layers": [{"weight": module.array(1.0), "bias": module.array(2.0)} for _ in range(4)]}


def _through(tree: Any, x: Any) -> Any:
    for layer in tree["layers"]:
        x = x * layer["weight"] + layer["bias"]
    return x


def _tree_gradient(module: Any) -> Call:
    return partial(module.value_and_grad(_through), _layers(module), module.array(3.0))


def _tree_vmap(module: Any) -> Call:
    tree = {"a": module.array([1.0, 2.0]), "b": [module.array([3.0, 4.0])]}
    return partial(module.vmap(lambda t: {"sum": t["a"] + t["b"][0]}), tree)


# --- functions that are compiled, and those that last in the graph ---


def _graphs() -> Iterator[Row]:
    a = Array(1.0)
    compiled, checkpointed = mlxffi.compile(_square), mlxffi.checkpoint(_square)
    gradient = mlxffi.grad(lambda v: checkpointed(v))
    yield from _rows(
        {
            "call of a compiled function": (lambda: compiled([a]), _applied(lambda m: m.compile(m.square))),
            "compiled, over a tree": (None, _compiled_tree),
            "compiled, with a state": (None, _compiled_state),
            "checkpoint": (lambda: checkpointed([a]), _applied(lambda m: m.checkpoint(m.square))),
            "checkpoint over a tree": (None, lambda m: partial(m.checkpoint(_through), _layers(m), m.array(3.0))),
            "grad of a checkpoint": (lambda: gradient(a), _applied(lambda m: m.grad(m.checkpoint(m.square)))),
        }
    )


def _compiled_tree(module: Any) -> Call:
    return partial(module.compile(_through), _layers(module), module.array(3.0))


def _compiled_state(module: Any) -> Call:
    state = {"count": module.array(0.0), "moments": [module.array(1.0), module.array(2.0)]}

    def step(x: Any) -> Any:
        state["count"] = state["count"] + x
        return state["count"] * state["moments"][0]

    compiled, x = module.compile(step, inputs=state, outputs=state), module.array(1.0)

    def call() -> None:
        # What it leaves must not grow from call to call.
        module.eval(compiled(x), state)

    return call


# --- rules of one's own ---


def _custom() -> Iterator[Row]:
    a, batch = Array(1.0), Array([1.0, 2.0])
    custom = mlxffi.custom_function(
        _square, lambda p, c, o: [c[0]], lambda p, t, argnums: [t[0]], lambda inputs, axes: (_square(inputs), axes)
    )
    gradient, vmap = mlxffi.grad(lambda v: custom(v)), mlxffi.vmap(lambda v: custom(v))
    yield from _rows(
        {
            "custom_function": (lambda: custom([a]), _applied(_ruled)),
            "custom_function over a tree": (None, _custom_tree),
            "grad by a custom rule": (lambda: gradient(a), _applied(lambda m: m.grad(_ruled(m)))),
            "jvp by a custom rule": (lambda: mlxffi.jvp(custom, [a], [a]), _on_array(_custom_jvp)),
            "vmap by a custom rule": (lambda: vmap([batch]), _applied(lambda m: m.vmap(_ruled(m)), [1.0, 2.0])),
        }
    )


def _ruled(module: Any) -> Any:
    made = module.custom_function(lambda x: module.square(x))
    made.vjp(lambda primals, cotangents, outputs: cotangents)
    made.jvp(lambda primals, tangents: tangents)
    made.vmap(lambda inputs, axes: (module.square(inputs), axes))
    return made


def _custom_jvp(module: Any, x: Any) -> Call:
    made = _ruled(module)
    return lambda: module.jvp(made, [x], [x])


def _custom_tree(module: Any) -> Call:
    made = module.custom_function(_through)
    made.vjp(lambda primals, cotangents, outputs: primals)
    return partial(made, _layers(module), module.array(3.0))


# --- evaluation ---


def _evaluation() -> Iterator[Row]:
    a = Array(1.0)
    arrays = [Array(1.0) for _ in range(8)]
    mlxffi.eval(a, *arrays)
    yield from _rows(
        {
            "stop_gradient": (lambda: mlxffi.stop_gradient(a), _on_array(lambda m, x: lambda: m.stop_gradient(x))),
            "eval of a computed array": (lambda: mlxffi.eval(a), _on_computed(lambda m, x: lambda: m.eval(x))),
            "eval of a list": (lambda: mlxffi.eval(*arrays), partial(_evaluated, "eval", _list)),
            "eval of a tree": (None, partial(_evaluated, "eval", _layers)),
            "async_eval of a tree": (None, partial(_evaluated, "async_eval", _layers)),
            "depends": (None, _on_array(lambda m, x: lambda: m.depends([x, x], [x]))),
        }
    )


def _on_computed(work: Callable[[Any, Any], Call]) -> Callable[[Any], Call]:
    def computed(module: Any) -> Call:
        x = module.array(1.0)
        module.eval(x)
        return work(module, x)

    return computed


def _list(module: Any) -> list[Any]:
    return [module.array(1.0) for _ in range(8)]


def _evaluated(name: str, make: Callable[[Any], Any], module: Any) -> Call:
    tree = make(module)
    module.eval(tree)
    return partial(getattr(module, name), tree)
