"""Checkpoint: how often the function runs, and that a differentiated array which it captures is an error."""

import types

import numpy as np
import pytest
from helpers import check_grads, needs_own_mlxc

import mlxffi as m
from mlxffi import Array


def values(arrays):
    return [array.tolist() for array in arrays]


def squares(x):
    return [x[0] * x[0]]


def gradient(fn, *inputs):
    return values(m.grad(lambda x: [m.sum(fn(x)[0])], *range(len(inputs)))(*inputs))


def test_forward():
    assert values(m.checkpoint(squares)([Array(5.0)])) == [25.0]


def test_value_and_gradient_are_those_of_the_function():
    found, grads = m.value_and_grad(lambda x: [m.sum(m.checkpoint(squares)(x)[0])])(Array([1.0, 2.0, 3.0]))
    assert (values(found), values(grads)) == ([14.0], [[2.0, 4.0, 6.0]])


def test_it_runs_once_forward_and_once_backward():
    calls = []
    checkpointed = m.checkpoint(lambda x: calls.append(1) or squares(x))
    checkpointed([Array(2.0)])
    assert len(calls) == 1
    m.vjp(checkpointed, [Array(2.0)], [Array(1.0)])
    assert len(calls) == 3
    m.vjp(lambda x: checkpointed(checkpointed(x)), [Array(2.0)], [Array(1.0)])
    assert len(calls) == 7


def test_checkpoints_nest():
    inner = m.checkpoint(lambda x: [m.sin(x[0])])
    outer = m.checkpoint(lambda x: [inner(x)[0] * x[1]])
    assert gradient(outer, Array(0.0), Array(3.0)) == [3.0, 0.0]


def test_second_derivatives_go_through_it():
    cube = m.checkpoint(lambda x: [x[0] * x[0] * x[0]])

    def first(x):
        return m.vjp(cube, x, [Array(1.0)])[1]

    assert values(m.vjp(first, [Array(2.0)], [Array(1.0)])[1]) == [12.0]


def test_it_vectorises_and_compiles():
    checkpointed = m.checkpoint(squares)
    assert values(m.vmap(checkpointed)([Array([1.0, 3.0])])) == [[1.0, 9.0]]
    compiled = m.compile(lambda x: m.grad(checkpointed)(*x))
    assert [values(compiled([Array(x)])) for x in (3.0, 4.0)] == [[6.0], [8.0]]


# --- the second run ---

sines = m.checkpoint(lambda x: [m.sin(x[0]) * x[0]])
several = m.checkpoint(lambda x: [m.sin(x[0]), x[0], m.argmax(x[0]), m.exp(x[0])])


def read_by_several(x):
    (y,) = sines(x)
    return [m.square(y) * m.exp(y), m.tanh(y)]


def read_in_part_by_another(x):
    (y,) = sines(x)
    return [sines([y[1:]])[0] * y[:1] * y[1:]]


def nested_and_read(x):
    return m.checkpoint(lambda z: [m.square(sines(z)[0])])(sines(x))


def results_of_all_kinds(x):
    wave, same, place, _ = several(x)
    return [m.square(wave) * same * m.take(m.exp(same), place)]


def evaluated_before(x):
    (y,) = sines(x)
    return [m.square(y) * m.exp(y)] if y.size == 3 and y.tolist() else []


def in_a_map(x):
    (y,) = m.vmap(sines)([m.stack([x[0], 2 * x[0]])])
    return [m.square(y) * m.exp(y)]


def of_what_is_not_mapped(x):
    return [m.square(m.vmap(lambda z: sines([z[0] * x[0]]))([m.stack([x[0], 2 * x[0]])])[0])]


READERS = [
    read_by_several, read_in_part_by_another, nested_and_read, results_of_all_kinds, in_a_map, of_what_is_not_mapped,
]  # fmt: skip


@pytest.mark.parametrize("fn", READERS)
def test_what_reads_its_results_has_the_right_derivatives(fn):
    check_grads(fn, [np.array([0.3, -0.7, 1.1])])


def test_results_may_be_evaluated_before_the_backward_pass():
    x = np.array([0.3, -0.7, 1.1])
    y, slope = np.sin(x) * x, np.cos(x) * x + np.sin(x)
    found = gradient(evaluated_before, Array(x.tolist()))[0]
    np.testing.assert_allclose(found, np.exp(y) * (2 * y + y * y) * slope, rtol=1e-5)


@needs_own_mlxc
@pytest.mark.parametrize("fn", [m.square, lambda y: m.square(y) * m.sin(y), lambda y: m.sin(m.cos(y) * y)])
def test_one_run_serves_it_and_all_that_read_its_result(fn):
    calls = []
    counted = m.checkpoint(lambda x: calls.append(1) or squares(x))
    m.grad(lambda x: [fn(counted(x)[0])])(Array(2.0))
    assert len(calls) == 2


@needs_own_mlxc
def test_a_second_derivative_takes_no_third_run():
    calls = []
    first = m.grad(lambda x: [m.square(m.checkpoint(lambda y: calls.append(1) or squares(y))(x)[0])])
    assert gradient(lambda x: first(x[0]), Array(2.0)) == [12 * 2.0**2]
    assert len(calls) == 2


@needs_own_mlxc
@pytest.mark.parametrize(
    ("second", "text"),
    [
        (lambda x: [m.stack([x, x])], r"float32 \(3\) at first and float32 \(2,3\)"),
        (lambda x: [m.astype(x, "float16")], r"float32 \(3\) at first and float16 \(3\)"),
        (lambda x: [x, x], r"float32 \(3\) at first and float32 \(3\), float32 \(3\)"),
    ],
)
@pytest.mark.parametrize("reader", [m.sum, m.square])
def test_a_function_that_makes_something_else_the_second_time_is_refused(second, text, reader):
    runs = iter([lambda x: [x * 2], second])
    fn = m.checkpoint(lambda x: next(runs)(x[0]))
    with pytest.raises(ValueError, match=r"\[checkpoint\] the function made " + text):
        m.grad(lambda x: [m.sum(reader(fn(x)[0]))])(Array([1.0, 2.0, 3.0]))


# --- captured arrays ---


def by_name(x):
    return m.checkpoint(lambda y: [y[0] * x[1]])([x[0]])


def through_an_attribute(x):
    layer = types.SimpleNamespace(weight=x[1])
    return m.checkpoint(lambda y: [y[0] * layer.weight])([x[0]])


def through_a_nested_function(x):
    def scale(array):
        return array * x[1]

    return m.checkpoint(lambda y: [scale(y[0])])([x[0]])


def through_a_value_computed_before(x):
    weight = m.exp(x[1])
    return m.checkpoint(lambda y: [y[0] * weight])([x[0]])


def in_a_default_argument(x):
    return m.checkpoint(lambda y, weight=x[1]: [y[0] * weight])([x[0]])


def in_the_second_output(x):
    return m.checkpoint(lambda y: [y[0], x[1] * 2])([x[0]])


def in_a_nested_checkpoint(x):
    return m.checkpoint(lambda y: m.checkpoint(lambda z: [z[0] * x[1]])(y))([x[0]])


def in_a_transform_inside(x):
    return m.checkpoint(lambda y: m.vjp(lambda z: [z[0] * x[1]], y, [Array(1.0)])[0])([x[0]])


CAPTURES = [
    by_name, through_an_attribute, through_a_nested_function, through_a_value_computed_before, in_a_default_argument,
    in_the_second_output, in_a_nested_checkpoint, in_a_transform_inside,
]  # fmt: skip
MESSAGE = r"\[checkpoint\] the function captures .*\(float32 \(\)\).* pass them to the checkpointed function"
X = [Array(2.0), Array(3.0)]


@needs_own_mlxc
@pytest.mark.parametrize("fn", CAPTURES)
def test_a_captured_array_that_is_differentiated_is_refused(fn):
    with pytest.raises(ValueError, match=MESSAGE):
        m.value_and_grad(fn, 0, 1)(*X)
    with pytest.raises(m.Error, match=MESSAGE):
        m.vjp(fn, X, [Array(1.0)])
    with pytest.raises(m.Error, match=MESSAGE):
        m.jvp(fn, X, [Array(1.0), Array(1.0)])


@needs_own_mlxc
@pytest.mark.parametrize("fn", CAPTURES)
def test_a_captured_array_is_refused_inside_compile(fn):
    compiled = m.compile(lambda x: m.value_and_grad(fn, 0, 1)(*x)[1])
    for _ in range(2):
        with pytest.raises(ValueError, match=MESSAGE):
            compiled(X)


@needs_own_mlxc
def test_an_array_of_an_outer_derivative_is_refused():
    def inner(x):
        return m.vjp(m.checkpoint(lambda y: [y[0] * x[0]]), [Array(5.0)], [Array(1.0)])[1]

    with pytest.raises(ValueError, match=MESSAGE):
        m.grad(inner)(Array(2.0))


@pytest.mark.parametrize("fn", CAPTURES)
def test_what_is_not_differentiated_may_be_captured(fn):
    assert values(fn(X))[0] == values(fn([Array(2.0), Array(3.0)]))[0]
    if fn is not in_the_second_output:
        assert values(m.value_and_grad(fn, 0)(*X)[1]) == values(m.value_and_grad(lambda x: fn([x[0], X[1]]), 0)(*X)[1])


ACCEPTED = {
    "an array": (lambda x: X[1], 3.0),
    "a number": (lambda x: 3.0, 3.0),
    "an array that was computed lazily": (lambda x: X[1] * 1, 3.0),
    "a value without gradient": (lambda x: m.stop_gradient(x[1]), 3.0),
    "a comparison": (lambda x: m.astype(m.greater(x[1], 0.0), "float32"), 1.0),
    "a shape": (lambda x: float(x[1].ndim), 0.0),
}


@pytest.mark.parametrize("captured", ACCEPTED)
def test_constants_may_be_captured(captured):
    make, weight = ACCEPTED[captured]

    def fn(x):
        constant = make(x)
        return m.checkpoint(lambda y: [y[0] * constant])([x[0]])

    assert gradient(fn, *X) == [weight, 0.0]


def test_an_argument_may_be_captured_where_it_is_passed_too():
    assert gradient(lambda x: m.checkpoint(lambda y: [y[0] * y[1]])(x), *X) == [3.0, 2.0]


def test_a_failed_derivative_leaves_no_array_behind_that_counts_as_differentiated():
    with pytest.raises(ZeroDivisionError):
        m.grad(lambda x: 1 / 0)(X[1])
    assert gradient(lambda x: m.checkpoint(lambda y: [y[0] * X[1]])(x), X[0]) == [3.0]
