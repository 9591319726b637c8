"""The state of the random numbers: one sequence of keys a thread, the same as in mlx.core, also captured by compile."""

import threading

import mlx.core as theirs
import numpy as np
import pytest
from helpers import computed, computed_by_any_number_of_threads

import mlxffi.core as ours

# This thread's key lives on after the test that first makes it.
ours.random.seed(0)

DRAWS = {
    "uniform": {"shape": (3,)},
    "normal": {"shape": (2, 2)},
    "gumbel": {"shape": (3,)},
    "laplace": {"shape": (3,)},
    "bernoulli": {"p": 0.4, "shape": (5,)},
    "randint": {"low": 0, "high": 9, "shape": (4,)},
    "truncated_normal": {"lower": -1.0, "upper": 1.0, "shape": (3,)},
    "permutation": {"x": 7},
}


def in_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize("seed", [0, 3, 2**40])
def test_same_sequence_as_mlx(seed):
    for mx in (ours, theirs):
        mx.random.seed(seed)
    for name, arguments in DRAWS.items():
        found, wanted = getattr(ours.random, name)(**arguments), getattr(theirs.random, name)(**arguments)
        # Logarithms and the like are to half a unit in the last place here, and to some in MLX.
        np.testing.assert_allclose(np.array(found), np.array(wanted), rtol=1e-6, atol=1e-7, err_msg=name)
    assert ours.random.state[0].tolist() == theirs.random.state[0].tolist()


def test_explicit_keys_leave_the_state_alone():
    before = ours.random.state[0].tolist()
    ours.random.uniform(key=ours.random.key(1))
    assert ours.random.state[0].tolist() == before
    ours.random.uniform()
    assert ours.random.state[0].tolist() != before


def test_state_is_a_sequence_of_one_key():
    state = ours.random.state
    assert state is ours.random.state
    assert len(state) == 1
    assert [key.shape for key in state] == [(2,)]
    assert state[0].dtype is ours.uint32
    with pytest.raises(IndexError):
        state[1]
    with pytest.raises(TypeError):
        state[0] = ours.random.key(1)
    with pytest.raises(AttributeError):
        ours.random.nothing  # noqa: B018


def test_threads_have_their_own():
    ours.random.seed(3)

    def other():
        ours.random.seed(9)
        return ours.random.state[0].tolist()

    assert in_thread(other) == [0, 9]
    assert ours.random.state[0].tolist() == [0, 3]


def test_unseeded_threads_differ():
    assert in_thread(lambda: ours.random.state[0].tolist()) != in_thread(lambda: ours.random.state[0].tolist())


def test_captured_by_compile():
    found = {}
    for mx in (ours, theirs):

        def draw(mx=mx):
            return mx.random.uniform(shape=(3,))

        mx.random.seed(5)
        compiled = mx.compile(draw, inputs=mx.random.state, outputs=mx.random.state)
        compiled_draws = [compiled().tolist() for _ in range(3)]
        mx.random.seed(5)
        assert compiled_draws == [draw().tolist() for _ in range(3)]
        found[mx] = compiled_draws
    assert found[ours] == found[theirs]


def test_uncaptured_state_is_a_constant():
    compiled = ours.compile(lambda: ours.random.uniform(shape=(2,)))
    assert compiled().tolist() == compiled().tolist()


@pytest.mark.parametrize("seed", [None, "x", 1.5, -1, 2**70])
def test_bad_seeds(seed):
    raised = {}
    for mx in (ours, theirs):
        with pytest.raises((TypeError, ValueError)) as caught:
            mx.random.seed(seed)
        raised[mx] = caught.type
    assert issubclass(raised[ours], raised[theirs])


@pytest.mark.parametrize("seed", [0, 2**31, 2**63 - 1, 2**63, 2**64 - 1])
def test_seeds_have_64_bits(seed):
    assert np.array(ours.random.key(seed)).tolist() == np.array(theirs.random.key(seed)).tolist()


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_other_seeds_are_refused(seed):
    for mx in (ours, theirs):
        with pytest.raises(TypeError):
            mx.random.key(seed)


@pytest.mark.parametrize(("x", "axis"), [(ours.array(3), 0), (ours.zeros((2, 2)), 2), (ours.zeros((2, 2)), -3)])
def test_a_permutation_along_no_axis_is_told(x, axis):
    with pytest.raises(IndexError, match=rf"\[permutation\] axis: expected an axis .* {x.ndim} axes, got {axis}"):
        ours.random.permutation(x, axis)


SHAPES = [(), (1,), (2,), (7,), (16,), (33, 17), (70_001,), (3, 2**17)]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("shape", SHAPES)
def test_bits_are_those_of_mlx(shape, dtype):
    found, wanted = (
        np.array(mx.random.uniform(shape=shape, key=mx.random.key(5), dtype=getattr(mx, dtype)).astype(mx.float32))
        for mx in (ours, theirs)
    )
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("count", [1, 2, 1001])
def test_bits_of_many_keys_are_those_of_mlx(count):
    for shape in ((), (3,), (4, 5)):
        found, wanted = (
            np.array(
                mx.vmap(lambda key, shape=shape, mx=mx: mx.random.randint(0, 1000, shape, key=key))(
                    mx.random.split(mx.random.key(3), count)
                )
            )
            for mx in (ours, theirs)
        )
        np.testing.assert_array_equal(found, wanted)


PROGRAM = """
import numpy as np
from mlxffi import core as mx
for size in (5, 1001, 300_001):
    print(np.array(mx.random.uniform(shape=(size,), key=mx.random.key(1))).astype(float).tobytes().hex())
"""


def test_every_instruction_set_and_number_of_threads_draws_the_same():
    expected = computed_by_any_number_of_threads(PROGRAM)
    for one, other in zip(computed(PROGRAM, MLXFFI_SIMD="baseline"), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_normal_numbers_of_a_seed_are_near_those_of_mlx():
    for mx in (ours, theirs):
        mx.random.seed(7)
    found, expected = (np.array(mx.random.normal((1_000_000,))) for mx in (ours, theirs))
    np.testing.assert_allclose(found, expected, rtol=3e-7)
