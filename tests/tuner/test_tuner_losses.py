"""The losses of the tuner: those of mlxffi.losses over arrays of mlxffi.core, gradients included."""

import numpy as np
import pytest

import mlxffi
import mlxffi.core as mx
from mlxffi.tuner import losses

Q, P = np.random.default_rng(1).normal(size=(2, 4, 9)).astype(np.float32) * 3
TARGETS = [0, 8, 3, 5]


@pytest.mark.parametrize("name", ["kl_div_loss", "js_div_loss"])
@pytest.mark.parametrize("options", [{}, {"temperature": 2.0}, {"reduction": "mean"}, {"teacher_gradient": True}])
def test_divergences(name, options):
    found = getattr(losses, name)(mx.array(Q), mx.array(P), **options)
    wanted = getattr(mlxffi, name)(mlxffi.Array(Q), mlxffi.Array(P), **options)
    assert type(found) is mx.array
    assert found.tolist() == wanted.tolist()
    gradients = mx.grad(lambda q, p: getattr(losses, name)(q, p, **options).sum(), argnums=(0, 1))(
        mx.array(Q), mx.array(P)
    )
    assert bool(mx.any(gradients[0] != 0))
    assert bool(mx.any(gradients[1] != 0)) is options.get("teacher_gradient", False)


def test_cross_entropy():
    weights = [1.0, 0.0, 2.0, 1.0]
    options = {"ignore_index": 3, "label_smoothing": 0.1}
    found = losses.cross_entropy(mx.array(Q), mx.array(TARGETS), weights=mx.array(weights), **options)
    wanted = mlxffi.losses.cross_entropy(
        mlxffi.Array(Q), mlxffi.Array(TARGETS), weights=mlxffi.Array(weights), **options
    )
    assert type(found) is mx.array
    assert found.tolist() == wanted.tolist()
    assert found[2].item() == 0


def test_a_bad_argument_is_named():
    with pytest.raises(ValueError, match="temperature"):
        losses.kl_div_loss(mx.array(Q), mx.array(P), temperature=0.0)
