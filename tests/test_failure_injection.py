"""Failure injection: whichever native call of a training step fails, there is an exception, no leak and no damage."""

import contextlib

import pytest
from helpers import counts_references, needs_own_mlxc

import mlxffi as m
from mlxffi import Array, lib, memory

pytestmark = [needs_own_mlxc, pytest.mark.usefixtures("without_compiler")]

X, Y = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [1.0, 2.0, 3.0]


@contextlib.contextmanager
def failing_after(calls):
    """Let the native call of that number fail."""
    lib.mlxffi_fail_after(calls)
    try:
        yield
    finally:
        lib.mlxffi_fail_after(0)


def loss(inputs):
    weight, bias, x, y = inputs
    hidden = m.checkpoint(lambda h: [m.tanh(h[0] @ h[1])])([x, weight])[0]
    return [m.mean(m.square(m.subtract(hidden, y) + bias))]


def training_step():
    """One step from scratch: gradients, update, evaluation; the parameters after it."""
    params = [Array([0.5, -0.25]), Array(0.1)]
    with m.value_and_grad(loss, 0, 1) as grad_fn:
        _, grads = grad_fn.apply(*params, Array(X), Array(Y))
    updated = [param - 0.1 * grad for param, grad in zip(params, grads, strict=True)]
    m.eval(*updated)
    return [param.tolist() for param in updated]


def square(inputs):
    return [inputs[0] * inputs[0]]


RULES = {
    "vjp": lambda primals, cotangents, outputs: [cotangents[0] * 2],
    "jvp": lambda primals, tangents, argnums: [tangents[0] * 2],
    "vmap": lambda inputs, axes: (square(inputs), axes),
}


def transforms():
    """Every other transform."""
    x = Array([1.0, 2.0])
    custom = m.custom_function(square, **RULES)
    compiled = m.compile(m.custom_vjp(square, RULES["vjp"]))
    results = [m.vjp(custom, [x], [x])[1], m.jvp(custom, [x], [x])[1], m.vmap(custom)([x]), compiled([x])]
    return [array.tolist() for arrays in results for array in arrays]


def outcome(program, calls):
    """The result of a program, or the text of its error, where a native call fails."""
    try:
        with failing_after(calls):
            return program()
    except m.Error as error:
        return str(error)


# Elsewhere the collector frees arrays in the middle of the call that is to fail.
@counts_references
@pytest.mark.parametrize("program", [training_step, transforms], ids=lambda program: program.__name__)
def test_any_native_call_may_fail(program):
    right = program()
    before = memory.live_handles()
    calls = 0
    failing = True
    while failing:
        calls += 1
        found = outcome(program, calls)
        failing = found == "this call was asked to fail (mlxffi_fail_after)"
        assert failing or found == right, calls
        assert memory.live_handles() == before, calls
        assert program() == right, calls
    assert calls > 40


def test_a_failing_call_is_counted_from_the_next_one():
    x = Array(1.0)
    with failing_after(2):
        m.negative(x)
        with pytest.raises(RuntimeError, match="this call was asked to fail"):
            m.negative(x)
        assert m.negative(x).item() == -1.0


def test_an_exception_of_the_user_wins_over_a_failure_on_its_way():
    """Where a callback fails and the library too, the callback's exception arrives."""

    def fail(x):
        lib.mlxffi_fail_after(1)
        raise KeyError("mine")

    try:
        with pytest.raises(KeyError, match="mine"):
            m.vjp(fail, [Array(1.0)], [Array(1.0)])
    finally:
        lib.mlxffi_fail_after(0)
