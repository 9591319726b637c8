"""Steps of Adam and sums of squares against numpy in float64."""

import numpy as np
import pytest
from helpers import needs_own_mlxc

import mlxffi
from mlxffi import Array, fused

# Of parameter, gradient and moments; and by how much one rounding may be off.
KINDS = {
    ("float32", "float32", "float32"): 1e-6,
    ("float64", "float64", "float64"): 1e-12,
    ("bfloat16", "float32", "bfloat16"): 8e-3,
    ("float16", "float16", "float32"): 1e-3,
}
SHAPES = ((3, 5), (40,), (), (0, 2))
# Whether the step is taken, scale, rate, kept, beta_1, fresh_1, beta_2, fresh_2, correction, eps.
NUMBERS = (1, 0.25, 0.125, 0.99, 0.9, 0.1, 0.999, 0.001, 1.5, 1e-3)


def given(kinds, shapes=SHAPES):
    """Lists of parameters, gradients, m and v, and what they are in float64."""
    rng = np.random.default_rng(3)
    dtypes = (*kinds, kinds[-1])
    lists = [[Array(np.abs(rng.normal(size=shape)) + 0.1).astype(dtype) for shape in shapes] for dtype in dtypes]
    return lists, [[plain(item) for item in items] for items in lists]


def plain(x):
    return np.array(x.astype("float64"))


def stepped(w, g, m, v):
    _, scale, rate, kept, beta_1, fresh_1, beta_2, fresh_2, correction, eps = NUMBERS
    m = beta_1 * m + fresh_1 * scale * g
    v = beta_2 * v + fresh_2 * (scale * g) ** 2
    return kept * w - rate * m / (correction * np.sqrt(v) + eps), m, v


@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
def test_a_step_is_that_of_the_formula(kinds):
    lists, numbers = given(kinds)
    found = fused.adam(*lists, Array(np.array(NUMBERS)))
    wanted = list(zip(*(stepped(*each) for each in zip(*numbers, strict=True)), strict=True))
    for made, right, dtype in zip(found, wanted, (kinds[0], kinds[2], kinds[2]), strict=True):
        assert [item.dtype.name for item in made] == [dtype] * len(SHAPES)
        for one, value in zip(made, right, strict=True):
            assert one.shape == value.shape
            np.testing.assert_allclose(plain(one), value, rtol=KINDS[kinds], atol=KINDS[kinds])


@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
def test_a_step_that_is_not_taken_changes_nothing(kinds):
    (w, g, m, v), (old_w, _, old_m, old_v) = given(kinds)
    found = fused.adam(w, [item * np.inf for item in g], m, v, Array(np.array((0, *NUMBERS[1:]))))
    for made, right in zip(found, (old_w, old_m, old_v), strict=True):
        for one, value in zip(made, right, strict=True):
            np.testing.assert_array_equal(plain(one), value)


def test_a_step_has_the_derivative_of_the_formula():
    lists, numbers = given(("float64",) * 3, [(4,)])

    def total(gradients):
        (w,), (m,), (v,) = fused.adam(lists[0], gradients, lists[2], lists[3], Array(np.array(NUMBERS)))
        return [mlxffi.sum(w + m + v)]

    def value(g):
        return sum(one.sum() for one in stepped(numbers[0][0], g, numbers[2][0], numbers[3][0]))

    slopes = [(value(numbers[1][0] + step) - value(numbers[1][0] - step)) / 2e-6 for step in 1e-6 * np.eye(4)]
    np.testing.assert_allclose(plain(mlxffi.grad(total)(lists[1][0])[0]), slopes, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_squares_are_added_up(dtype):
    (arrays, *_), (numbers, *_) = given((dtype, dtype, dtype))
    found = fused.sum_of_squares(arrays)
    assert (found.shape, found.dtype.name) == ((), "float64" if dtype == "float64" else "float32")
    np.testing.assert_allclose(
        found.item(), sum((x**2).sum() for x in numbers), rtol=1e-12 if dtype == "float64" else 1e-6
    )
    assert fused.sum_of_squares([]).item() == 0


def test_the_derivative_of_squares():
    x = Array(np.array([[1.0, -2.0], [3.0, 0.5]]))
    found = mlxffi.grad(lambda given: [fused.sum_of_squares([given[0], given[0][0]])])(x)
    np.testing.assert_allclose(plain(found[0]), [[4, -8], [6, 1]], rtol=1e-6)


ONE, TWO, WHOLE, STEP = Array(np.ones(1)), Array(np.ones(2)), Array([1]), Array(np.array(NUMBERS))
REFUSED = {
    r"`parameters\[0\]`: expected floating point": ([WHOLE], [ONE], [ONE], [ONE], STEP),
    r"`gradients`: expected 1, as there are parameters, got 2": ([ONE], [ONE, ONE], [ONE], [ONE], STEP),
    r"`m\[1\]`: expected the shape of its parameter, ": ([ONE, ONE], [ONE, ONE], [ONE, TWO], [ONE, ONE], STEP),
    r"`v\[0\]`: expected the dtype of its m, float64, got float16": (
        [ONE],
        [ONE],
        [ONE],
        [ONE.astype("float16")],
        STEP,
    ),
    r"`numbers`: expected floating point \[10\], got": ([ONE], [ONE], [ONE], [ONE], TWO),
}


@needs_own_mlxc
@pytest.mark.parametrize("message", REFUSED)
def test_what_is_refused(message):
    with pytest.raises(ValueError, match=message):
        fused.adam(*REFUSED[message])


@needs_own_mlxc
def test_squares_of_integers_are_refused():
    with pytest.raises(ValueError, match=r"`arrays\[1\]`: expected floating point, got"):
        fused.sum_of_squares([ONE, WHOLE])
