"""Transforms whose results are wrong in mlx.core: each with the right value."""

import threading
import time

import numpy as np
import pytest
from helpers import error_of

import mlxffi
import mlxffi.core as mx

# This thread's key lives on after the test that first makes it.
mx.random.seed(0)


def listed(found):
    return [a.tolist() for a in found]


def numbers(found):
    return np.array(found)


# --- maps ---


@pytest.mark.parametrize("key", [1, slice(0, 2), (slice(None, None, 2),), mx.array([0, 2])], ids=str)
def test_vmap_of_an_assignment_of_a_value_that_is_not_mapped(key):
    def written(x):
        y = x * 1.0
        y[key] = 7.0
        return y

    x = mx.arange(6.0).reshape(2, 3)
    expected = numbers(x)
    expected[
        (slice(None), *(key if isinstance(key, tuple) else (numbers(key) if isinstance(key, mx.array) else key,)))
    ] = 7
    np.testing.assert_array_equal(numbers(mx.vmap(written)(x)), expected)


def test_vmap_of_a_scatter_at_mapped_places():
    def written(x, i):
        y = x * 1.0
        y[i] = mx.array([7.0, 8.0])
        return y

    found = mx.vmap(written)(mx.zeros((2, 3)), mx.array([[0, 1], [2, 0]]))
    assert found.tolist() == [[7.0, 8.0, 0.0], [8.0, 0.0, 7.0]]


def test_vmap_of_several_new_axes():
    found = mx.vmap(lambda x: mx.expand_dims(x, (0, 2)), in_axes=1)(mx.ones((3, 2)))
    assert found.shape == (2, 1, 3, 1)


def test_vmap_of_divmod():
    quotient, rest = mx.vmap(mx.divmod, in_axes=(0, None))(mx.array([5.0, 7.0]), mx.array(3.0))
    assert (quotient.tolist(), rest.tolist()) == ([1.0, 2.0], [2.0, 1.0])


@pytest.mark.parametrize(
    "name", ["not_equal", "logical_xor", "bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift"]
)
@pytest.mark.parametrize("shape", [(), (2,)], ids=str)
def test_vmap_where_the_first_of_two_is_not_mapped(name, shape):
    same, slices = np.full(shape, 5), np.arange(3 * int(np.prod(shape))).reshape(*shape, 3)
    expected = np.moveaxis(getattr(np, name)(same[..., None], slices), -1, 0)
    found = mx.vmap(getattr(mx, name), in_axes=(None, len(shape)))(mx.array(same), mx.array(slices))
    np.testing.assert_array_equal(numbers(found), expected)


def test_a_custom_rule_holds_under_vmap():
    through = mx.custom_function(mx.round)
    through.vjp(lambda x, cotangent, output: cotangent)
    x = mx.array([0.3, 1.7])
    assert mx.grad(lambda x: mx.vmap(through)(x).sum())(x).tolist() == [1.0, 1.0]


def test_a_custom_rule_adds_up_the_gradients_of_an_input_that_is_not_mapped():
    product = mx.custom_function(lambda a, b: a * b)
    product.vjp(lambda primals, cotangent, output: (10 * cotangent * primals[1], 100 * cotangent * primals[0]))
    mapped = mx.vmap(product, in_axes=(0, None))
    a, b = mx.grad(lambda a, b: mapped(a, b).sum(), argnums=(0, 1))(mx.array([1.0, 2.0]), mx.array(3.0))
    assert (a.tolist(), b.item()) == ([30.0, 30.0], 300.0)


def test_a_custom_forward_rule_holds_under_vmap():
    doubled = mx.custom_function(lambda x: x * 1.0)
    doubled.jvp(lambda x, tangent: tangent * 2)
    found = mx.jvp(mx.vmap(doubled), [mx.array([1.0, 2.0])], [mx.array([1.0, 3.0])])[1]
    assert listed(found) == [[2.0, 6.0]]


def test_random_numbers_without_a_key_differ_between_the_slices_of_a_map():
    drawn = mlxffi.vmap(lambda x: [mlxffi.add(x[0], mlxffi.random.normal([4]))])([mlxffi.zeros([3, 4])])[0]
    assert len({tuple(row) for row in drawn.tolist()}) == 3


DRAWS = {
    "uniform": lambda: mx.random.uniform(shape=(4,)),
    "normal": lambda: mx.random.normal((4,)),
    "randint": lambda: mx.random.randint(0, 2**30, (4,)),
    "bernoulli": lambda: mx.random.bernoulli(0.5, (40,)),
    "permutation": lambda: mx.random.permutation(40),
    "categorical": lambda: mx.random.categorical(mx.zeros((40, 9))),
}


@pytest.mark.parametrize("draw", DRAWS)
def test_each_slice_of_a_map_draws_numbers_of_its_own(draw):
    def rows(a):
        return {str(row) for row in a.tolist()}

    mx.random.seed(5)
    drawn = mx.vmap(lambda x: x + DRAWS[draw]())(mx.zeros((3, 1)))
    assert len(rows(drawn)) == 3
    mx.random.seed(5)
    assert mx.vmap(lambda x: x + DRAWS[draw]())(mx.zeros((3, 1))).tolist() == drawn.tolist()
    nested = mx.vmap(mx.vmap(lambda x: x + DRAWS[draw]()))(mx.zeros((2, 3, 1)))
    assert len(rows(mx.flatten(nested, 0, 1))) == 6
    key = mx.random.key(1)
    assert len(rows(mx.vmap(lambda x: x + mx.random.normal((4,), key=mx.random.split(key)[0]))(mx.zeros((3, 1))))) == 1


# --- checkpoint ---


def test_checkpoint_draws_the_same_random_numbers_again():
    mx.random.seed(0)
    value, gradient = mx.value_and_grad(mx.checkpoint(lambda x: (x * mx.random.uniform(shape=(4,))).sum()))(
        mx.ones((4,))
    )
    np.testing.assert_allclose(gradient.sum().item(), value.item(), rtol=1e-6)


def test_checkpoint_leaves_the_random_numbers_after_it_as_they_are():
    def then_another(wrap):
        mx.random.seed(3)
        function = wrap(lambda x: (x * mx.random.uniform(shape=(2,))).sum())
        mx.value_and_grad(function)(mx.ones((2,)))
        return mx.random.uniform(shape=(2,))

    after, first = then_another(mx.checkpoint), mx.random.uniform(shape=(2,))
    assert after.tolist() != first.tolist()


def test_checkpoint_in_a_map_draws_the_same_random_numbers_again():
    scaled = mlxffi.checkpoint(lambda i: [mlxffi.sum(mlxffi.multiply(i[0], mlxffi.random.normal([4])))])
    mapped = mlxffi.vmap(scaled)
    loss = mlxffi.value_and_grad(lambda i: [mlxffi.sum(mapped(i)[0])])
    values, gradients = loss.apply(mlxffi.Array(np.ones((3, 4), np.float32).tolist()))
    np.testing.assert_allclose(np.sum(gradients[0].tolist()), values[0].item(), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("depth", [2, 3])
def test_nested_checkpoints_draw_the_same_random_numbers_again(depth):
    def scaled(x):
        return x * mx.random.uniform(shape=(4,))

    for _ in range(depth):
        scaled = mx.checkpoint(scaled)
    value, gradient = mx.value_and_grad(lambda x: scaled(x).sum())(mx.ones((4,)))
    np.testing.assert_allclose(gradient.sum().item(), value.item(), rtol=1e-6)


@pytest.mark.parametrize("is_mapped", [False, True])
def test_results_of_a_checkpoint_are_not_kept(is_mapped):
    def block(x):
        return mx.exp(x[:, None] * x)

    def loss(x):
        # Whose gradient reads its argument.
        return sum((run(x + i / 8) ** 2).mean() for i in range(8))

    once = mx.checkpoint(block)
    mapped = mx.vmap(once)
    run = (lambda x: mapped(x[None])) if is_mapped else once
    x = mx.ones((1024,)) / 8
    mx.eval(x)
    before = mx.get_active_memory()
    value, gradient = mx.value_and_grad(loss)(x)
    mx.eval(value)
    mx.synchronize()
    assert mx.get_active_memory() - before < 1024**2 * 4
    shifted = np.array(x, np.float64) + np.arange(8)[:, None] / 8
    slopes = [4 * np.exp(2 * np.outer(a, a)) @ a / 1024**2 for a in shifted]
    np.testing.assert_allclose(np.array(gradient), sum(slopes), rtol=1e-4)


def test_a_checkpoint_that_makes_something_else_the_second_time_is_refused():
    runs = iter([lambda x: x, lambda x: mx.stack([x, x])])
    fn = mx.checkpoint(lambda x: next(runs)(x))
    with pytest.raises(ValueError, match=r"float32 \(2\) at first and float32 \(2,2\)"):
        mx.grad(lambda x: (fn(x) ** 2).sum())(mx.array([1.0, 2.0]))


# --- what a function captures, evaluates and returns ---


def test_a_compiled_function_that_captures_what_is_differentiated():
    def loss(w):
        return mx.compile(lambda x: x * w)(mx.array(3.0))

    assert [mx.grad(loss)(mx.array(w)).item() for w in (2.0, 5.0)] == [3.0, 3.0]


def test_a_checkpoint_that_captures_what_is_differentiated_is_refused():
    with pytest.raises(ValueError, match=r"captures .*differentiated \(float32 \(2\)\).* as arguments"):
        mx.grad(lambda w: mx.checkpoint(lambda x: (x * w).sum())(mx.array([3.0, 4.0])))(mx.array([1.0, 2.0]))


def test_a_compiled_function_that_captures_what_is_mapped():
    found = mx.vmap(lambda w: mx.compile(lambda x: x * w)(mx.array(3.0)))(mx.array([1.0, 2.0]))
    assert found.tolist() == [3.0, 6.0]


def test_a_value_that_is_evaluated_inside_keeps_its_gradient():
    def loss(x):
        value, _ = mx.value_and_grad(lambda y: (y * y).sum())(x)
        mx.eval(value)
        return value

    assert mx.grad(loss)(mx.array([1.0, 2.0])).tolist() == [2.0, 4.0]


def test_an_array_that_is_returned_twice_gets_both_cotangents():
    def twice(x):
        y = x * 2
        return [y, y]

    assert listed(mx.vjp(twice, [mx.array([1.0])], [mx.array([1.0]), mx.array([10.0])])[1]) == [[22.0]]


def test_the_cotangents_of_all_outputs_where_one_is_stopped():
    def stopped(x):
        return [mx.stop_gradient(x), x * 2]

    cotangents = [mx.array([5.0]), mx.array([1.0])]
    assert listed(mx.vjp(stopped, [mx.array([1.0])], cotangents)[1]) == [[2.0]]


@pytest.mark.parametrize("function", [lambda x: mx.take(x, mx.array([-1, 0]), axis=0), lambda x: x[mx.array([-1, 0])]])
def test_a_shapeless_lookup_follows_the_sizes_of_its_array(function):
    compiled = mx.compile(function, shapeless=True)
    for columns in (2, 5, 3):
        x = mx.arange(4 * columns).reshape(4, columns)
        assert compiled(x).tolist() == function(x).tolist()
        assert compiled(mx.swapaxes(x, 0, 1)).tolist() == function(mx.swapaxes(x, 0, 1)).tolist()


def test_a_function_with_rules_is_exported_as_what_it_computes(tmp_path):
    x = mx.array([1.0, 2.0])
    for number, function in enumerate((mx.checkpoint(mx.exp), mx.custom_function(mx.exp))):
        mx.export_function(str(tmp_path / f"{number}.mlxfn"), function, x)
        assert mx.import_function(str(tmp_path / f"{number}.mlxfn"))(x)[0].tolist() == mx.exp(x).tolist()


# --- containers ---


def test_containers_are_put_back_where_the_function_raises():
    p = {"w": [mx.array(3.0)], "t": (mx.array(1.0),)}
    array, pair, error = p["w"][0], p["t"], KeyError("mine")

    def loss(q):
        q["v"] = q["w"][0] * 2
        raise error

    assert error_of(lambda: mx.grad(loss)(p), KeyError) is error
    assert p["w"][0] is array
    assert p["t"] is pair
    assert p["v"].item() == 6


def test_arrays_that_the_function_moves_are_themselves_again():
    a, b = mx.array(2.0), mx.array(3.0)
    p = [a, b]

    def loss(q):
        q.reverse()
        return q[0] ** 2 * q[1]

    assert [item.item() for item in mx.grad(loss)(p)] == [9, 12]
    assert p[0] is b
    assert p[1] is a


def test_threads_that_differentiate_by_one_container():
    p = {"w": mx.array(3.0)}
    array, found, inside, done = p["w"], [], threading.Event(), threading.Event()

    def first(q):
        inside.set()
        done.wait(30)
        return q["w"] ** 2

    def second():
        inside.wait(30)
        found.append(mx.grad(lambda q: q["w"] ** 3)(p)["w"].item())
        done.set()

    other = threading.Thread(target=second)
    other.start()
    assert mx.grad(first)(p)["w"].item() == 6
    other.join()
    assert found == [27]
    assert p["w"] is array


def test_threads_that_append_to_one_list():
    seen = []
    threads = [threading.Thread(target=lambda: mx.grad(noting)(mx.array(2.0), seen)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == ["called"] * 8


def noting(w, seen):
    seen.append("called")
    time.sleep(0.01)
    return w**2


# --- graphs ---


def test_a_graph_of_any_depth(tmp_path):
    def deep(x):
        for _ in range(50_000):
            x = -x
        return x

    x, path = mx.array(3.0), str(tmp_path / "deep.mlxfn")
    assert mx.grad(deep)(x).item() == 1
    assert mx.vmap(deep)(mx.array([3.0])).tolist() == [3]
    assert mx.compile(deep)(x).item() == 3
    mx.export_function(path, deep, x)
    assert mx.import_function(path)(x)[0].item() == 3


def test_an_exporter_goes_on_after_a_function_that_failed(tmp_path):
    failures = [KeyError("once")]

    def f(x):
        if failures:
            raise failures.pop()
        return -x

    path = str(tmp_path / "f.mlxfn")
    with mx.exporter(path, f) as export:
        with pytest.raises(KeyError, match="once"):
            export(mx.array(1.0))
        export(mx.array(1.0))
    assert mx.import_function(path)(mx.array(3.0))[0].item() == -3


def test_an_operation_with_several_outputs_may_be_there_twice():
    """MLX's own compile loses one of them, and raises."""
    x, ends = mx.arange(10.0), [3, 5]

    def both(x):
        slopes = mx.grad(lambda y: sum((piece**2).sum() for piece in mx.split(y, ends)))(x)
        return [slopes, *mx.split(x, ends)]

    compiled = mx.compile(both)
    for scale in (1.0, 2.0):
        for found, wanted in zip(compiled(x * scale), both(x * scale), strict=True):
            assert found.tolist() == wanted.tolist()
