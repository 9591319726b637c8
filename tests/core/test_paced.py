"""Places at which a GPU's host waits: the same arrays, and rules for every transform; nothing waits on a CPU."""

import numpy as np
import pytest
from helpers import check_grads, error_of, needs_own_mlxc
from losses_oracle import as_numpy

import mlxffi as m
import mlxffi.core as mx
from mlxffi import fused

RNG = np.random.default_rng(3)
X, W = RNG.normal(size=(3, 4)), RNG.normal(size=(4, 4))
pytestmark = needs_own_mlxc


def chain(x, w, pace):
    """Two layers of one weight, whose inputs are paced or not."""
    for _ in range(2):
        x, w = fused.paced([x, w], 2) if pace else (x, w)
        x = mx.tanh(x @ w)
    return x


def in_float32():
    return mx.array(X, mx.float32), mx.array(W, mx.float32)


def test_arrays_of_any_kind_come_back():
    given = [m.Array([1.5, 2]), m.Array(3), m.Array([True])]
    found = fused.paced(given, 1)
    assert [as_numpy(one).tolist() for one in found] == [[1.5, 2], 3, [True]]
    assert [one.dtype for one in found] == [one.dtype for one in given]
    assert type(fused.paced([mx.array([1])], 1)[0]) is mx.array


def test_no_memory_is_taken():
    x = mx.ones((1000, 1000))
    mx.eval(x)
    mx.reset_peak_memory()
    before = mx.get_peak_memory()
    found = fused.paced([x], 1)[0]
    mx.eval(found)
    assert mx.get_peak_memory() - max(before, mx.get_active_memory()) < x.nbytes / 2


@pytest.mark.parametrize("transform", [lambda f: f, mx.compile, mx.checkpoint], ids=["plain", "compile", "checkpoint"])
def test_values_and_gradients_are_the_same(transform):
    def loss(pace):
        return mx.value_and_grad(transform(lambda x, w: chain(x, w, pace).square().sum()), argnums=(0, 1))

    (value, gradients), (wanted, expected) = loss(True)(*in_float32()), loss(False)(*in_float32())
    assert value.item() == wanted.item()
    assert all(mx.array_equal(one, other) for one, other in zip(gradients, expected, strict=True))


def test_derivatives_agree_with_differences():
    check_grads(lambda v: [m.sin(one) for one in fused.paced([v[0], m.matmul(v[0], v[1])], 1)], [X, W])


def test_vmap_of_some_inputs():
    x, w = in_float32()
    found = mx.vmap(lambda x, w: chain(x, w, True), in_axes=(0, None))(x[:, None], w)
    assert np.allclose(np.array(found)[:, 0], np.tanh(np.tanh(X @ W) @ W), atol=1e-6)


def test_gradients_are_paced_together(tmp_path):
    x, w = in_float32()
    gradients = mx.grad(lambda x, w: chain(x, w, True).sum(), argnums=(0, 1))(x, w)
    mx.export_to_dot(str(tmp_path / "graph.dot"), list(gradients))
    # Two forward, and for each of them one with both cotangents.
    assert (tmp_path / "graph.dot").read_text().count('"Paced"') == 4


@pytest.mark.parametrize(("argnums", "is_paced"), [((0,), False), ((0, 1), True)])
def test_what_is_not_differentiated_stays_a_constant(tmp_path, argnums, is_paced):
    seen = []

    def loss(x, w):
        x, w = fused.paced([x, w], 1)
        seen.append(w)
        return (x @ w).sum()

    mx.grad(loss, argnums=argnums)(*in_float32())
    mx.export_to_dot(str(tmp_path / "graph.dot"), seen)
    assert ("Paced" in (tmp_path / "graph.dot").read_text()) == is_paced


@pytest.mark.parametrize(("arrays", "ahead", "text"), [([], 1, "arrays"), ([m.Array(1)], 0, "ahead")])
def test_what_is_refused(arrays, ahead, text):
    assert text in str(error_of(lambda: fused.paced(arrays, ahead)))
