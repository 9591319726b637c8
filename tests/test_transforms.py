"""Transforms: values and gradients of small cases, and what they refuse."""

import itertools
import threading

import pytest
from helpers import needs_own_mlxc

import mlxffi as m
from mlxffi import Array


def values(arrays):
    return [array.tolist() for array in arrays]


class Counted:
    """A function that counts its calls."""

    def __init__(self, function):
        self.function = function
        self.calls = 0

    def __call__(self, *arguments):
        self.calls += 1
        return self.function(*arguments)


def square(x):
    return [x[0] * x[0]]


def cube(x):
    return [x[0] * x[0] * x[0]]


# --- derivatives ---


def test_vjp_of_a_square():
    outputs, vjps = m.vjp(square, [Array(3.0)], [Array(1.0)])
    assert (values(outputs), values(vjps)) == ([9.0], [6.0])


def test_vjp_of_a_sum_gives_the_cotangent_to_both():
    assert values(m.vjp(lambda x: [x[0] + x[1]], [Array(2.0), Array(5.0)], [Array(1.0)])[1]) == [1.0, 1.0]


def test_vjp_of_a_matrix_product():
    weight, x = Array([[1.0, 0.0], [0.0, 1.0]]), Array([1.0, 2.0])
    assert values(m.vjp(lambda p: [m.sum(p[0] @ x)], [weight], [Array(1.0)])[1]) == [[[1.0, 2.0], [1.0, 2.0]]]


def test_vjp_weights_several_outputs():
    outputs, vjps = m.vjp(lambda x: [x[0] * 2, x[0] * x[0]], [Array(3.0)], [Array(10.0), Array(1.0)])
    assert (values(outputs), values(vjps)) == ([6.0, 9.0], [26.0])


def test_jvp_of_a_square():
    outputs, jvps = m.jvp(square, [Array(3.0)], [Array(1.0)])
    assert (values(outputs), values(jvps)) == ([9.0], [6.0])


def test_an_input_that_does_not_matter_has_a_gradient_of_zeros():
    assert values(m.vjp(lambda x: [x[0] * 1], [Array(3.0), Array([1.0, 2.0])], [Array(1.0)])[1]) == [1.0, [0.0, 0.0]]
    assert values(m.jvp(lambda x: [Array(4.0)], [Array(3.0)], [Array(1.0)])[1]) == [0.0]


def test_a_function_may_return_its_inputs():
    assert values(m.vjp(lambda x: x, [Array(3.0)], [Array(7.0)])[1]) == [7.0]


def test_value_and_grad_of_a_square():
    found, grads = m.value_and_grad(lambda x: [m.square(x[0] + 1)]).apply(Array(3.0))
    assert (values(found), values(grads)) == ([16.0], [8.0])


def test_value_and_grad_with_two_arguments():
    found, grads = m.value_and_grad(lambda x: [x[0] * x[1]], 0, 1)(Array(3.0), Array(4.0))
    assert (values(found), values(grads)) == ([12.0], [4.0, 3.0])


def test_grad_gives_the_gradients_alone():
    assert values(m.grad(square)(Array(3.0))) == [6.0]


@pytest.mark.parametrize("argnums", [argnums for n in (1, 2, 3) for argnums in itertools.permutations(range(3), n)])
def test_gradients_come_in_the_order_asked_for(argnums):
    gradients = {0: 15.0, 1: 10.0, 2: 6.0}
    with m.value_and_grad(lambda x: [x[0] * x[1] * x[2]], *argnums) as grad_fn:
        assert values(grad_fn(Array(2.0), Array(3.0), Array(5.0))[1]) == [gradients[argnum] for argnum in argnums]


@pytest.mark.parametrize(("argnums", "error"), [
    ((0, 0), ValueError), ((1, 0, 1), ValueError), ((-1,), ValueError), ((0, -1), ValueError), ((0.0,), TypeError),
    (("0",), TypeError), ((True,), TypeError), ((None,), TypeError), (([0],), TypeError),
])  # fmt: skip
def test_argnums_are_checked_when_the_transform_is_made(argnums, error):
    with pytest.raises(error, match="argnum"):
        m.value_and_grad(square, *argnums)


def test_an_argnum_past_the_inputs_is_an_error_of_the_call():
    grad_fn = m.value_and_grad(square, 1)
    with pytest.raises(ValueError, match="argument"):
        grad_fn(Array(1.0))


def test_a_grad_fn_is_called_again_and_again():
    grad_fn = m.value_and_grad(square)
    for x in (2.0, 5.0, -3.0, 0.0):
        found, grads = grad_fn.apply(Array(x))
        assert (values(found), values(grads)) == ([x * x], [2 * x])


def test_a_freed_grad_fn_is_refused():
    grad_fn = m.value_and_grad(square)
    grad_fn.free()
    grad_fn.free()
    for error in (m.Error, ValueError):
        with pytest.raises(error, match="freed; make a new one"):
            grad_fn.apply(Array(1.0))


def test_a_grad_fn_frees_itself_after_its_block():
    with m.value_and_grad(square) as grad_fn:
        assert values(grad_fn(Array(3.0))[1]) == [6.0]
    with pytest.raises(m.Error, match="freed"):
        grad_fn(Array(3.0))


def test_a_function_may_free_its_own_transform():
    def last(x):
        transform.free()
        return square(x)

    transform = m.value_and_grad(last)
    assert values(transform(Array(3.0))[1]) == [6.0]
    transform = m.compile(last)
    assert values(transform([Array(3.0)])) == [9.0]


def test_further_outputs_are_values_without_a_gradient():
    found, grads = m.value_and_grad(lambda x: [x[0] * x[0], x[0] * 100, Array([1, 2])])(Array(3.0))
    assert (values(found), values(grads)) == ([9.0, 300.0, [1, 2]], [6.0])


def test_the_first_output_must_be_a_scalar():
    with pytest.raises(ValueError, match=r"first output .* must be a scalar"):
        m.value_and_grad(square)(Array([1.0, 2.0]))


@pytest.mark.parametrize("transform", [m.vjp, m.jvp])
@pytest.mark.parametrize("seeds", [[], [Array(1.0), Array(1.0)], [Array([1.0, 1.0])]], ids=["none", "two", "shape"])
def test_cotangents_and_tangents_must_fit(transform, seeds):
    with pytest.raises(ValueError, match="tangent"):
        transform(square, [Array(3.0)], seeds)


def test_python_numbers_are_inputs_too():
    assert values(m.value_and_grad(lambda x: [x[0] * x[1]], 0, 1)(Array(3.0), 4.0)[1]) == [4.0, 3.0]
    assert values(m.vjp(square, [3.0], [1.0])[1]) == [6.0]


def test_third_derivatives():
    """d3/dx3 x**4 = 24 x."""

    def derived(fn):
        return lambda x: m.value_and_grad(fn)(*x)[1]

    def fourth_power(x):
        return [m.square(m.square(x[0]))]

    assert values(derived(derived(derived(fourth_power)))([Array(2.0)])) == [48.0]


def test_forward_over_reverse_over_forward():
    def first(x):
        return m.jvp(cube, x, [Array(1.0)])[1]

    def second(x):
        return m.vjp(first, x, [Array(1.0)])[1]

    assert values(m.jvp(second, [Array(2.0)], [Array(1.0)])[1]) == [6.0]


def test_stop_gradient_stops_it():
    assert values(m.grad(lambda x: [m.stop_gradient(x[0]) * x[0]])(Array(3.0))) == [3.0]


# --- what a function returns ---

TRANSFORMS = {
    "vjp": lambda fn, x: m.vjp(fn, [x], [Array(1.0)]),
    "jvp": lambda fn, x: m.jvp(fn, [x], [Array(1.0)]),
    "value_and_grad": lambda fn, x: m.value_and_grad(fn)(x),
    "grad": lambda fn, x: m.grad(fn)(x),
    "checkpoint": lambda fn, x: m.checkpoint(fn)([x]),
    "custom_vjp": lambda fn, x: m.custom_vjp(fn, lambda primals, cotangents, outputs: cotangents)([x]),
    "custom_function": lambda fn, x: m.custom_function(fn)([x]),
    "vmap": lambda fn, x: m.vmap(fn)([m.reshape(x, [1])]),
    "compile": lambda fn, x: m.compile(fn)([x]),
}
RETURNED = {
    "an array": (lambda x: x[0], TypeError, "must return a list or tuple of Arrays, got Array"),
    "None": (lambda x: None, TypeError, "must return a list or tuple of Arrays, got NoneType"),
    "a generator": (lambda x: (part for part in x), TypeError, "got generator"),
    "a number in a list": (lambda x: [x[0], 1.0], TypeError, "must return Arrays, got float at index 1"),
    "None in a tuple": (lambda x: (None,), TypeError, "must return Arrays, got NoneType at index 0"),
    "an empty list": (lambda x: [], ValueError, "must return at least one Array, got an empty list"),
    "an empty tuple": (lambda x: (), ValueError, "must return at least one Array, got an empty tuple"),
}


@pytest.mark.parametrize("returned", RETURNED)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_callback_must_return_arrays(transform, returned):
    fn, error, message = RETURNED[returned]
    with pytest.raises(error, match=message):
        TRANSFORMS[transform](fn, Array(3.0))


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_callback_must_not_return_a_closed_array(transform):
    def fn(x):
        x[0].close()
        return x

    with pytest.raises(ValueError, match="not closed"):
        TRANSFORMS[transform](fn, Array(3.0))


TAKES_A_LIST = {
    "primals": lambda x: m.vjp(lambda inputs: inputs, x, [x]),
    "cotangents": lambda x: m.vjp(lambda inputs: inputs, [x], x),
    "tangents": lambda x: m.jvp(lambda inputs: inputs, [x], x),
    "inputs": lambda x: m.compile(lambda inputs: inputs)(x),
    "inputs of a checkpoint": lambda x: m.checkpoint(lambda inputs: inputs)(x),
    "inputs of a map": lambda x: m.vmap(lambda inputs: inputs)(x),
}


@pytest.mark.parametrize("argument", TAKES_A_LIST)
def test_one_array_is_no_list_of_its_rows(argument):
    with pytest.raises(TypeError, match=f"{argument.split()[0]}: expected a list of Arrays, got one Array"):
        TAKES_A_LIST[argument](Array([[3.0]]))


@pytest.mark.parametrize("transform", ["checkpoint", "custom_vjp", "custom_function", "value_and_grad"])
def test_a_function_without_inputs_is_refused(transform):
    made = {"value_and_grad": lambda fn: m.value_and_grad(fn), "custom_vjp": lambda fn: m.custom_vjp(fn, None)}
    fn = made.get(transform, getattr(m, transform))(lambda x: [Array(1.0)])
    with pytest.raises(ValueError, match=r"argument|at least 1"):
        fn() if transform == "value_and_grad" else fn([])


# --- custom rules ---


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_rules_get_as_many_arrays_as_there_are(count):
    seen = []

    def reverse(primals, cotangents, outputs):
        seen.append([[array.item() for array in arrays] for arrays in (primals, cotangents, outputs)])
        return [3 * cotangent for cotangent in cotangents]

    def forward(primals, tangents, argnums):
        seen.append([[array.item() for array in arrays] for arrays in (primals, tangents)] + [argnums])
        return [5 * tangent for tangent in tangents]

    fn = m.custom_function(lambda inputs: [array + 1 for array in inputs], reverse, forward)
    numbers = [float(place) for place in range(count)]
    arrays, seeds = ([Array(number + offset) for number in numbers] for offset in (0, 100))
    outputs, others = ([number + offset for number in numbers] for offset in (1, 100))
    assert [array.item() for array in m.vjp(fn, arrays, seeds)[1]] == [3 * seed for seed in others]
    assert [array.item() for array in m.jvp(fn, arrays, seeds)[1]] == [5 * seed for seed in others]
    assert seen == [[numbers, others, outputs], [numbers, others, list(range(count))]]


def test_custom_vjp_uses_the_rule():
    seen = []

    def rule(primals, cotangents, outputs):
        seen.extend(values([*primals, *cotangents, *outputs]))
        return [primals[0] * 10 * cotangents[0]]

    fn = m.custom_vjp(square, rule)
    assert values(fn([Array(3.0)])) == [9.0]
    assert values(m.vjp(fn, [Array(3.0)], [Array(2.0)])[1]) == [60.0]
    assert seen == [3.0, 2.0, 9.0]


RULES = {
    "vjp": lambda primals, cotangents, outputs: [cotangents[0] * 100],
    "jvp": lambda primals, tangents, argnums: [tangents[0] * 1000],
    "vmap": lambda inputs, axes: ([inputs[0] * 10000], axes),
}


@pytest.mark.parametrize("names", [names for n in range(4) for names in itertools.combinations(RULES, n)], ids="+".join)
def test_custom_function_derives_the_rules_that_are_left_out(names):
    fn = m.custom_function(square, **{name: RULES[name] for name in names})
    assert values(fn([Array(3.0)])) == [9.0]
    assert values(m.vjp(fn, [Array(3.0)], [Array(1.0)])[1]) == [100.0 if "vjp" in names else 6.0]
    assert values(m.jvp(fn, [Array(3.0)], [Array(1.0)])[1]) == [1000.0 if "jvp" in names else 6.0]
    assert values(m.vmap(fn)([Array([3.0])])) == [[30000.0 if "vmap" in names else 9.0]]


def test_a_jvp_rule_gets_the_positions_of_the_tangents():
    seen = []

    def rule(primals, tangents, argnums):
        seen.append((len(primals), len(tangents), argnums))
        return [tangents[0]]

    fn = m.custom_function(lambda x: [x[0] * x[1]], jvp=rule)
    m.jvp(lambda x: fn([Array(5.0), x[0]]), [Array(3.0)], [Array(1.0)])
    m.jvp(fn, [Array(5.0), Array(3.0)], [Array(1.0), Array(1.0)])
    assert seen == [(2, 1, [1]), (2, 2, [0, 1])]


@pytest.mark.parametrize("returned", [[1.0], [1.0, 1.0, 1.0], [1.0, [1.0, 1.0]], [[1.0], 1.0]], ids=str)
def test_a_vjp_rule_must_return_one_gradient_of_the_shape_of_each_primal(returned):
    fn = m.custom_vjp(lambda x: [x[0] * x[1]], lambda primals, cotangents, outputs: [Array(part) for part in returned])
    with pytest.raises(ValueError, match=r"for each primal.*, got|of its primal \(\), got"):
        m.vjp(fn, [Array(2.0), Array(3.0)], [Array(1.0)])


@pytest.mark.parametrize(("part", "rule", "error"), [
    ("vjp", lambda primals, cotangents, outputs: cotangents[0], TypeError),
    ("vjp", lambda primals, cotangents, outputs: [], ValueError),
    ("jvp", lambda primals, tangents, argnums: None, TypeError),
    ("jvp", lambda primals, tangents, argnums: [tangents[0], tangents[0]], ValueError),
    ("vmap", lambda inputs, axes: inputs, TypeError),
    ("vmap", lambda inputs, axes: (inputs, ["0"]), TypeError),
    ("vmap", lambda inputs, axes: (inputs[0], axes), TypeError),
    ("vmap", lambda inputs, axes: ([*inputs, *inputs], axes), ValueError),
    ("vmap", lambda inputs, axes: (inputs, [0, 0]), ValueError),
])  # fmt: skip
def test_what_a_rule_returns_is_checked(part, rule, error):
    fn = m.custom_function(square, **{part: rule})
    use = {
        "vjp": lambda: m.vjp(fn, [Array(3.0)], [Array(1.0)]),
        "jvp": lambda: m.jvp(fn, [Array(3.0)], [Array(1.0)]),
        "vmap": lambda: m.vmap(fn)([Array([3.0])]),
    }
    with pytest.raises(error):
        use[part]()


# --- vectorisation ---

MATRIX = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
TRANSPOSED = [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]


@pytest.mark.parametrize(("in_axes", "out_axes", "expected"), [
    (0, 0, MATRIX), (0, 1, TRANSPOSED), (1, 0, TRANSPOSED), (1, 1, MATRIX), ([0], [1], TRANSPOSED),
    ((1,), (0,), TRANSPOSED),
])  # fmt: skip
def test_vmap_maps_over_axes(in_axes, out_axes, expected):
    assert values(m.vmap(lambda x: [x[0] * 1], in_axes, out_axes)([Array(MATRIX)])) == [expected]


def test_vmap_passes_some_inputs_whole():
    add = m.vmap(lambda x: [x[0] + x[1]], in_axes=(0, -1))
    assert values(add([Array(MATRIX), Array([10.0, 20.0, 30.0])])) == [[[11.0, 22.0, 33.0], [14.0, 25.0, 36.0]]]


def test_vmap_of_a_gradient_and_gradient_of_a_vmap():
    x = Array([1.0, 2.0])
    assert values(m.vmap(lambda v: m.grad(cube)(*v))([x])) == [[3.0, 12.0]]
    assert values(m.grad(lambda v: [m.sum(m.vmap(cube)(v)[0])])(x)) == [[3.0, 12.0]]
    assert values(m.vmap(m.vmap(cube))([Array([[1.0, 2.0]])])) == [[[1.0, 8.0]]]


@pytest.mark.parametrize(("in_axes", "out_axes", "error"), [
    ((0, 0), 0, ValueError), (0, (0, 0), ValueError), (-1, 0, ValueError),
    (2, 0, IndexError), (-2, 0, IndexError), (0, 2, IndexError), (0, -2, IndexError),
])  # fmt: skip
def test_vmap_refuses_axes_that_do_not_fit(in_axes, out_axes, error):
    with pytest.raises(error, match="axes"):
        m.vmap(lambda x: [x[0] * 1], in_axes, out_axes)([Array(MATRIX)])


# --- compilation ---


def test_a_compiled_function_is_traced_once_for_each_kind_of_input():
    fn = Counted(lambda x: [m.exp(x[0])])
    compiled = m.compile(fn)
    for inputs, calls in [(0.0, 1), (0.0, 1), ([0.0, 0.0], 2), ([0.0] * 3, 3), ([0.0, 0.0], 3)]:
        assert m.sum(compiled([Array(inputs)])[0]).item() == Array(inputs).size
        assert fn.calls == calls
    compiled([Array(1, "float16")])
    assert fn.calls == 4


def test_a_shapeless_function_is_traced_once_for_all_shapes():
    fn = Counted(lambda x: [m.exp(x[0])])
    compiled = m.compile(fn, shapeless=True)
    for size in (1, 2, 5):
        assert compiled([Array([0.0] * size)])[0].tolist() == [1.0] * size
    assert fn.calls == 1


def test_a_compiled_gradient_and_a_gradient_of_a_compiled_function():
    compiled = m.compile(lambda x: m.grad(square)(*x))
    assert [values(compiled([Array(x)])) for x in (3.0, 4.0)] == [[6.0], [8.0]]
    assert values(m.grad(m.compile(square))(Array(3.0))) == [6.0]


def test_what_a_compiled_function_captures_is_a_constant():
    state = [Array(2.0)]
    compiled = m.compile(lambda x: [x[0] * state[0]])
    assert values(compiled([Array(3.0)])) == [6.0]
    state[0] = Array(100.0)
    assert values(compiled([Array(3.0)])) == [6.0]


def test_a_freed_compiled_function_is_refused():
    compiled = m.compile(square)
    compiled.free()
    with pytest.raises(m.Error, match="freed"):
        compiled([Array(1.0)])


@needs_own_mlxc
def test_traces_of_a_dead_function_serve_no_other_function():
    """MLX keys a thread's traces by an address, and forgets them only on the thread on which the function dies."""
    barrier, wrong, jobs = threading.Barrier(2), [], []

    def work():
        for number in range(20):
            barrier.wait()
            found = jobs.pop()([Array(1.0)])[0].item()
            wrong.extend([(number, found)] if found != 1.0 + number else [])
            barrier.wait()

    thread = threading.Thread(target=work)
    thread.start()
    for number in range(20):
        jobs.append(m.compile(lambda x, number=number: [x[0] + float(number)]))
        barrier.wait()
        barrier.wait()
    thread.join()
    assert wrong == []


# --- numbers of arrays ---


@pytest.mark.parametrize("count", [1, 4, 8, 9, 40])
def test_any_number_of_arrays_goes_through_a_transform(count):
    numbers = [float(number) for number in range(count)]
    squares, doubled = [number**2 for number in numbers], [2 * number for number in numbers]
    inputs = [Array(number) for number in numbers]

    def fn(arrays):
        return [m.square(array) for array in arrays]

    def of(arrays):
        return [array.tolist() for array in arrays]

    ones = [Array(1.0)] * count
    for transform in (m.vjp, m.jvp):
        assert [of(arrays) for arrays in transform(fn, inputs, ones)] == [squares, doubled]
    for same in (m.compile(fn), m.checkpoint(fn), m.custom_function(fn)):
        assert of(same(inputs)) == squares
    assert of(m.vmap(fn)([Array([number]) for number in numbers])) == [[number] for number in squares]
    values, grads = m.value_and_grad(lambda v: [m.sum(m.stack(fn(v))), *v], *range(count))(*inputs)
    assert (of(values), of(grads)) == ([sum(squares), *numbers], doubled)


def test_one_axis_in_a_list_is_no_axis_for_all():
    with pytest.raises(ValueError, match=r"out_axes: expected 2 axes, got 1"):
        m.vmap(lambda x: [x[0], x[0]], out_axes=[0])([Array([1.0])])
    with pytest.raises(ValueError, match=r"in_axes: expected 2 axes, got 1"):
        m.vmap(lambda x: x, in_axes=[0])([Array([1.0])] * 2)


def test_threads_trace_at_the_same_time():
    both_inside, found = threading.Barrier(2, timeout=60), {}

    def work(factor):
        def fn(x):
            both_inside.wait()
            return [x[0] * factor]

        found[factor] = m.vjp(fn, [Array(1.0)], [Array(1.0)])[1][0].item()

    threads = [threading.Thread(target=work, args=(factor,)) for factor in (2.0, 3.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {2.0: 2.0, 3.0: 3.0}
