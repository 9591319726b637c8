"""Random numbers: the same for the same key or seed, of the right shape, dtype and range."""

import pytest

import mlxffi as m
from mlxffi import random

KEY = 11
DRAWS = {
    "bernoulli": lambda key=None: random.bernoulli(0.5, [64], key),
    "bits": lambda key=None: random.bits([64], 4, key),
    "categorical": lambda key=None: random.categorical(m.zeros([64, 5]), key=key),
    "categorical_shape": lambda key=None: random.categorical_shape(m.zeros([5]), -1, [64], key),
    "gumbel": lambda key=None: random.gumbel([64], key=key),
    "laplace": lambda key=None: random.laplace([64], key=key),
    "multivariate_normal": lambda key=None: random.multivariate_normal(m.zeros([2]), m.eye(2, 2), [32], key=key),
    "normal": lambda key=None: random.normal([64], key=key),
    "normal_broadcast": lambda key=None: random.normal_broadcast([2, 32], loc=m.zeros([32]), key=key),
    "permutation": lambda key=None: random.permutation(m.arange(0, 64, 1, "int32"), key=key),
    "permutation_arange": lambda key=None: random.permutation_arange(64, key),
    "randint": lambda key=None: random.randint(-100, 100, [64], key=key),
    "truncated_normal": lambda key=None: random.truncated_normal(-1.0, 1.0, [64], key=key),
    "uniform": lambda key=None: random.uniform(0.0, 1.0, [64], key=key),
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_key_determines_the_numbers(name):
    draw = DRAWS[name]
    first, second, other = (draw(random.key(key)).tolist() for key in (KEY, KEY, KEY + 1))
    assert first == second
    assert first != other


@pytest.mark.parametrize("name", DRAWS)
def test_a_seed_determines_the_numbers_without_a_key(name):
    draw = DRAWS[name]
    runs = []
    for _ in range(2):
        random.seed(KEY)
        runs.append([draw().tolist(), draw().tolist()])
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[0][1]


def test_the_parts_of_a_split_key_differ():
    first, second = random.split(random.key(KEY))
    assert first.tolist() != second.tolist()
    assert random.split_num(random.key(KEY), 3).shape == (3, 2)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_numbers_have_the_dtype_asked_for_and_lie_in_their_range(dtype):
    numbers = random.uniform(-2.0, 3.0, [100], dtype, random.key(KEY))
    assert numbers.dtype.name == dtype
    assert all(-2.0 <= number <= 3.0 for number in numbers.tolist())
    cut = random.truncated_normal(-0.5, 0.5, [100], dtype, random.key(KEY))
    assert all(-0.5 <= number <= 0.5 for number in cut.tolist())


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int64"])
def test_integers_leave_out_the_upper_bound(dtype):
    numbers = random.randint(2, 5, [100], dtype, random.key(KEY))
    assert numbers.dtype.name == dtype
    assert set(numbers.tolist()) == {2, 3, 4}


def test_mean_and_deviation_are_those_asked_for():
    numbers = random.normal([20000], "float32", 3.0, 2.0, random.key(KEY))
    assert m.mean(numbers).item() == pytest.approx(3.0, abs=0.06)
    assert m.std(numbers).item() == pytest.approx(2.0, abs=0.06)


def test_permutations_hold_every_element_once():
    assert sorted(random.permutation_arange(10, random.key(KEY)).tolist()) == list(range(10))
    rows = random.permutation(m.reshape(m.arange(0, 6, 1, "int32"), [3, 2]), 0, random.key(KEY)).tolist()
    assert sorted(rows) == [[0, 1], [2, 3], [4, 5]]


def test_probabilities_decide():
    assert random.bernoulli(1.0, [5], random.key(KEY)).tolist() == [True] * 5
    assert random.bernoulli(m.Array([0.0, 1.0]), [2], random.key(KEY)).tolist() == [False, True]
    assert random.categorical(m.Array([[0.0, 1e9], [1e9, 0.0]]), key=random.key(KEY)).tolist() == [1, 0]


@pytest.mark.parametrize("key", [[1, 2, 3], [1.0, 2.0]])
def test_a_bad_key_is_an_error(key):
    with pytest.raises(ValueError, match="key"):
        random.normal([2], key=key)
