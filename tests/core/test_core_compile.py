"""Compiled functions: constants, captured states, retracing."""

import threading

import mlx.core as theirs
import pytest
from both import plain, same

import mlxffi.core as ours

# The key of this thread is there from here on.
ours.random.seed(0)

CONSTANTS = [
    2,
    2.0,
    -2,
    0,
    -0.0,
    0.0,
    float("nan"),
    float("inf"),
    True,
    False,
    None,
    "a",
    "b",
    "",
    [1, 2],
    (1, 2),
    {"k": 1},
    [],
    {},
]
REFUSED = [object(), 1j, b"bytes", {1}, range(3), len, 2**70, ...]


def x(mx):
    return mx.array([1.0, 2.0])


def counting(work):
    """A function that counts its calls in the attribute `calls`."""

    def counted(*args, **kwargs):
        counted.calls += 1
        return work(*args, **kwargs)

    counted.calls = 0
    return counted


@pytest.mark.parametrize("constant", CONSTANTS, ids=repr)
def test_constants(constant):
    same(lambda mx: mx.compile(lambda a, c: (a * 2, c))(x(mx), constant))
    same(lambda mx: mx.compile(lambda a, c: (a * 2, c))(x(mx), c=[constant, (constant,)]))


@pytest.mark.parametrize("constant", REFUSED, ids=lambda value: type(value).__name__)
def test_what_is_no_constant(constant):
    same(lambda mx: mx.compile(lambda a, c: a)(x(mx), constant))


def test_each_constant_has_its_trace():
    function = counting(lambda a, c: (a, c))
    compiled = ours.compile(function)
    for constant in CONSTANTS * 2:
        found = compiled(x(ours), constant)[1]
        assert repr(found) == repr(constant)
        assert type(found) is type(constant)
    assert function.calls == len(CONSTANTS)


def test_counts_of_traces():
    def counts(mx):
        function = counting(lambda a, c=1: a * c)
        compiled = mx.compile(function)
        a = x(mx)
        seen = []
        for args in [
            (a,),
            (a, 1),
            (a, 2),
            (a, 2),
            (a * 3, 2),
            (mx.ones(3), 2),
            (mx.ones((1, 3)), 2),
            (a.astype(mx.int32), 2),
            (a, 2.0),
            (a, a),
        ]:
            compiled(*args)
            seen.append(function.calls)
        return seen

    same(counts)


def test_shapeless():
    def counts(mx):
        function = counting(lambda a: (a * 2, [a.sum()]))
        compiled = mx.compile(function, shapeless=True)
        return [(compiled(mx.ones(size)), function.calls) for size in (1, 2, 5)] + [compiled(mx.ones((2, 3)))]

    same(counts)


def test_order_of_keys():
    def both(mx):
        compiled = mx.compile(lambda d: d["b"] - d["a"])
        return compiled({"a": x(mx), "b": x(mx) * 3}), compiled({"b": x(mx) * 3, "a": x(mx)})

    same(both)


def test_results_whose_structure_depends_on_the_arguments():
    compiled = ours.compile(lambda a, many: [a] * a.shape[0] if many else a)
    for _ in range(2):
        assert len(compiled(ours.ones(2), True)) == 2
        assert len(compiled(ours.ones(3), True)) == 3
        assert compiled(ours.ones(3), False).shape == (3,)


def test_lists_and_tuples_are_not_the_same():
    # mlx.core takes the trace of the one for the other.
    compiled = ours.compile(lambda v: v[0] if isinstance(v, list) else v[0] * 2)
    assert compiled([ours.array(1.0)]).item() == 1
    assert compiled((ours.array(1.0),)).item() == 2


def test_captured_state():
    def steps(mx):
        state = {"a": mx.array(1.0), "n": 3, "deep": [{"b": x(mx)}]}

        def step(a):
            state["a"] = state["a"] + a
            state["deep"][0]["b"] = state["deep"][0]["b"] * state["a"]
            return state["a"] * 2

        compiled = mx.compile(step, inputs=state, outputs=state)
        return [(compiled(mx.array(2.0)), dict(state)) for _ in range(3)], state

    same(steps)


def test_state_that_grows():
    def steps(mx):
        state = {}

        def step(a):
            if "m" not in state:
                state["m"] = mx.zeros_like(a)
            state["m"] = state["m"] + a

        compiled = mx.compile(step, inputs=state, outputs=state)
        return [(compiled(x(mx)), plain(state)) for _ in range(4)]

    same(steps)


def test_inputs_alone():
    def steps(mx):
        state = [mx.array(1.0)]
        compiled = mx.compile(lambda a: a * state[0], inputs=state)
        first = compiled(x(mx))
        state[0] = mx.array(5.0)
        return first, compiled(x(mx)), state

    same(steps)


def test_tracers_do_not_stay_in_inputs():
    state = [ours.array(1.0), {"k": ours.array(2.0)}]
    before = [state[0], state[1]["k"]]
    ours.compile(lambda a: a * state[0] * state[1]["k"], inputs=state)(x(ours))
    assert state[0] is before[0]
    assert state[1]["k"] is before[1]
    with pytest.raises(ZeroDivisionError):
        ours.compile(lambda a: a / 1 if 1 / 0 else a, inputs=state)(x(ours))
    assert state[0] is before[0]


def test_state_that_is_assigned_to_in_place():
    def steps(mx):
        state = [mx.array([1.0, 2.0])]

        def step(a):
            state[0][0] = a
            state[0][1] = a * 2
            state[0] += 1

        compiled = mx.compile(step, inputs=state, outputs=state)
        return [(compiled(mx.array(value)), plain(state)) for value in (5.0, 6.0)]

    same(steps)


def test_random_state():
    def draws(mx):
        mx.random.seed(7)
        state = [{"w": x(mx)}, mx.random.state]
        draw = mx.compile(lambda a: a + mx.random.normal(a.shape), inputs=state, outputs=state)
        constant = mx.compile(lambda a: a + mx.random.normal(a.shape))
        return [draw(x(mx)) for _ in range(3)], constant(x(mx)), constant(x(mx)), mx.random.uniform()

    # Normal numbers are right to the last digit here.
    same(draws, exact=False)


def test_uncaptured_inputs():
    state = {}
    for mx in (ours, theirs):
        state[mx] = [mx.array(1.0)]
    same(lambda mx: mx.compile(lambda a: None, outputs=state[mx])(x(mx)))
    same(lambda mx: mx.compile(lambda a: a, inputs=3, outputs=None)(x(mx)))
    same(lambda mx: mx.compile(lambda a: a, shapeless=1)(x(mx)))


def test_compile_in_other_transforms():
    def square(a):
        return (a * a).sum()

    same(lambda mx: mx.grad(mx.compile(square))(x(mx)))
    same(lambda mx: mx.compile(mx.grad(square))(x(mx)))
    same(lambda mx: mx.vmap(mx.compile(lambda a: a * 2))(x(mx)))
    same(lambda mx: mx.compile(mx.vmap(mx.compile(lambda a: a * 2)))(x(mx)))
    same(lambda mx: mx.grad(lambda a: mx.checkpoint(mx.compile(square))(a))(x(mx)))


def test_disabled():
    def counts(mx):
        function = counting(lambda a: a * 2)
        mx.disable_compile()
        try:
            compiled = mx.compile(function)
            compiled(x(mx)), compiled(x(mx))
            seen = [function.calls]
        finally:
            mx.enable_compile()
        compiled(x(mx)), compiled(x(mx))
        return [*seen, function.calls]

    same(counts)


@pytest.mark.leaks
def test_recursion():
    def fall(a, n):
        return a if n == 0 else compiled(a * 2, n - 1)

    compiled = ours.compile(fall)
    assert plain(compiled(x(ours), 4)) == plain(theirs.array([16.0, 32.0]))


def test_threads_share_a_compiled_function():
    compiled = ours.compile(lambda a, c: {"out": a * c})
    found = []

    def work(constant):
        for _ in range(20):
            result = compiled(ours.array([1.0, 2.0]), constant)["out"]
            found.append((constant, result.tolist()))

    threads = [threading.Thread(target=work, args=(float(number % 2 + 1),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80
    assert all(values == [constant, 2 * constant] for constant, values in found)


def test_a_function_that_raises_an_index_error_runs_once():
    calls = []

    def fails(x):
        calls.append(x)
        raise IndexError("mine")

    with pytest.raises(IndexError, match="mine"):
        ours.compile(fails)(ours.ones([2]))
    assert len(calls) == 1


@pytest.mark.parametrize("shapeless", [False, True])
def test_results_whose_structure_depends_on_a_state(shapeless):
    state, calls = {"w": ours.zeros((2,))}, []

    def add(a):
        calls.append(None)
        state["w"] = state["w"] + a
        return {"sum": state["w"]} if state["w"].ndim == 1 else [state["w"]]

    compiled = ours.compile(add, inputs=state, outputs=state, shapeless=shapeless)
    for shape in ((2,), (2, 2), (2,), (2, 2)):
        state["w"] = ours.zeros(shape)
        found = compiled(ours.array(1.0))
        assert plain(found) == plain({"sum": state["w"]} if len(shape) == 1 else [state["w"]])
        assert plain(state["w"]) == plain(ours.ones(shape))
    assert len(calls) == 2
