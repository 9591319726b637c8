"""Optimizers that have a kernel for GPUs, as there, beside their rules."""

import numpy as np
import pytest
from helpers import error_of
from optimizer_cases import DTYPES, arrays, run, values

import mlxffi.core as mx
from mlxffi.tuner import optimizers, trees
from mlxffi.tuner.optimizers import base

KINDS = [optimizers.Adam(0.1), optimizers.Adam(0.1, bias_correction=True), optimizers.AdamW(0.1, weight_decay=0.5)]
# float16's arithmetic is float32 either way; a rule rounds bfloat16 after each operation.
TOLERANCE = {"float32": 1e-5, "float16": 1e-3, "bfloat16": 5e-2}


@pytest.fixture
def as_gpus_do(monkeypatch):
    def switch():
        monkeypatch.setattr(base, "on_cpu", lambda: False)

    return switch


def same(found, wanted, tolerance):
    wanted = dict(trees.paths(wanted))
    for path, item in trees.paths(found):
        assert (item.shape, item.dtype) == (wanted[path].shape, wanted[path].dtype), path
        given, right = (np.array(one.astype(mx.float32)) for one in (item, wanted[path]))
        np.testing.assert_allclose(given, right, rtol=tolerance, atol=tolerance, err_msg=path)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("optimizer", KINDS, ids=str)
def test_a_kernel_does_what_the_rule_does(optimizer, dtype, as_gpus_do):
    params = arrays(values(0), dtype)
    wanted, wanted_state = run(optimizer.update, optimizer.init(params), params, 3)
    as_gpus_do()
    found, state = run(optimizer.update, optimizer.init(params), params, 3)
    same(found, wanted, TOLERANCE[dtype])
    same(state, wanted_state, TOLERANCE[dtype])


@pytest.mark.parametrize("on_gpu", [True, False])
def test_an_update_that_is_not_applied_changes_nothing(on_gpu, as_gpus_do):
    optimizer, params = optimizers.AdamW(0.1), trees.flatten(arrays(values(0)))
    if on_gpu:
        as_gpus_do()
    grads = {path: item * mx.inf for path, item in trees.flatten(arrays(values(1))).items()}
    state = optimizer.init(params)
    for applied in (False, True):
        share = base.Share(mx.array(1.0), mx.array(applied))
        made, after = base.updated_where(optimizer, share, grads, state, params)
        kept = all(mx.array_equal(made[path], item).item() for path, item in params.items())
        assert kept == (not applied)
        assert after["step"].item() == applied


def test_a_share_scales_gradients(as_gpus_do):
    optimizer, params = optimizers.Adam(0.1), trees.flatten(arrays(values(0)))
    grads, state = trees.flatten(arrays(values(1))), optimizer.init(params)
    share = base.Share(mx.array(0.25), mx.array(True))
    wanted = base.updated_where(optimizer, share, grads, state, params)
    as_gpus_do()
    same(base.updated_where(optimizer, share, grads, state, params), wanted, 1e-5)


def test_a_moment_that_is_missing_is_named(as_gpus_do):
    optimizer, params = optimizers.Adam(0.1), {"w": mx.ones([3])}
    state = {**optimizer.init(params), "v": {}}
    as_gpus_do()
    assert "state: expected v.w, got none" in str(error_of(lambda: optimizer.update(params, state, params)))
