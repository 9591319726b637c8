"""Several optimizers at once, gradients of bounded norm, and optimizers by name."""

import math

import numpy as np
import pytest
from helpers import error_of
from mlx import core as mlx_core
from mlx import optimizers as mlx_optimizers
from mlx.utils import tree_flatten
from optimizer_cases import arrays, plain, run, values

import mlxffi.core as mx
from mlxffi import Error
from mlxffi.tuner import optimizers, schedules, trees

# --- several at once ---


def filters():
    return [lambda path, item: path.endswith("lora_a"), lambda path, item: "lora" in path and item.ndim == 2]


def trio(library):
    kinds = library.Muon(0.1), library.Lion(0.01), library.Adam(0.1)
    return library.MultiOptimizer(list(kinds), filters())


def test_the_first_filter_that_wants_a_parameter_has_it():
    multi, params = trio(optimizers), arrays(values(0))
    found = plain(run(multi.update, multi.init(params), params, 3)[0])
    alone = [plain(run(each.update, each.init(params), params, 3)[0]) for each in multi.optimizers]
    for path, value in found.items():
        place = 0 if path.endswith("lora_a") else 1 if path.endswith("lora_b") else 2
        assert value == alone[place][path], path


def test_multi_optimizer_equals_mlxs():
    ours, theirs = trio(optimizers), trio(mlx_optimizers)
    params, their_params = arrays(values(0)), arrays(values(0), library=mlx_core)
    params, _ = run(ours.update, ours.init(params), params, 3)
    theirs.init(their_params)
    for step in range(3):
        their_params = theirs.apply_gradients(arrays(values(100 + step), library=mlx_core), their_params)
    wanted = dict(_flat(their_params))
    assert {path: item.tolist() for path, item in trees.paths(params)} == wanted


def _flat(tree):
    return [(path, item.tolist()) for path, item in tree_flatten(tree)]


def test_its_rate_and_step_are_the_firsts_and_all_advance_together():
    multi = optimizers.MultiOptimizer(
        [optimizers.SGD(lambda step: 5.0 + step), optimizers.Adam(0.1)], [lambda path, _: path == "a"]
    )
    params = {"a": mx.array([1.0]), "b": mx.array([1.0])}
    _, state = multi.update({"b": mx.array([1.0])}, multi.init(params), params)
    _, state = multi.update({}, state, params)
    assert [item["step"].item() for item in (state, *state["states"])] == [2, 2, 2]
    assert state["learning_rate"].item() == state["states"][0]["learning_rate"].item() == 6.0


def test_a_failing_optimizer_leaves_everything_as_it_was():
    def failing(step):
        raise KeyboardInterrupt

    multi = optimizers.MultiOptimizer([optimizers.Adam(0.1), optimizers.Adam(0.1)], [lambda path, _: path == "a"])
    params = {"a": mx.array([1.0]), "b": mx.array([1.0])}
    state = multi.init(params)
    before = plain((params, state))
    broken = optimizers.MultiOptimizer([multi.optimizers[0], optimizers.Adam(failing)], multi.filters)
    error_of(lambda: broken.update(params, state, params), KeyboardInterrupt)
    assert plain((params, state)) == before


def test_a_compiled_multi_optimizer_equals_an_eager_one(threads_alternate):
    multi, params = trio(optimizers), arrays(values(0))
    eager = run(multi.update, multi.init(params), params, 3)
    assert plain(run(mx.compile(multi.update), multi.init(params), params, 3)) == plain(eager)


@pytest.mark.parametrize(
    ("kinds", "wants"), [([], []), ([optimizers.SGD(0.1)], [bool]), ([optimizers.SGD(0.1)] * 3, [bool])]
)
def test_filters_must_be_one_fewer(kinds, wants):
    with pytest.raises(Error, match=rf"filters: expected one fewer .* got {len(wants)} filters for {len(kinds)} optim"):
        optimizers.MultiOptimizer(kinds, wants)


def test_a_state_of_fewer_optimizers_is_refused():
    multi, params = trio(optimizers), {"w": mx.ones(1)}
    state = multi.init(params)
    with pytest.raises(Error, match=r"state\.states: expected the states of 3 optimizers, got 2"):
        multi.update({}, {**state, "states": state["states"][:2]}, params)
    with pytest.raises(Error, match="state: expected states"):
        multi.update({}, optimizers.SGD(0.1).init(params), params)


# --- clipping ---


def test_clipping_gives_the_reference_numbers():
    grads, norm = optimizers.clip_grad_norm({"a": mx.array([3.0, 4.0]), "b": [mx.array([12.0]), None]}, 6.5)
    assert norm.item() == 13.0
    assert norm.dtype == mx.float32
    np.testing.assert_allclose(grads["a"].tolist(), [1.5, 2.0], rtol=1e-6)
    np.testing.assert_allclose(grads["b"][0].tolist(), [6.0], rtol=1e-6)
    assert grads["a"][0].item() / 3 == pytest.approx(0.49999996, abs=2e-8)
    assert grads["b"][1] is None


@pytest.mark.parametrize("max_norm", [0.0, 1.0, 6.5, 1e9])
def test_clipping_equals_mlxs(max_norm):
    grads, norm = optimizers.clip_grad_norm(arrays(values(0)), max_norm)
    wanted, their_norm = mlx_optimizers.clip_grad_norm(arrays(values(0), library=mlx_core), max_norm)
    assert norm.item() == pytest.approx(their_norm.item(), rel=1e-6)
    for (path, item), (_, other) in zip(trees.paths(grads), _flat(wanted), strict=True):
        np.testing.assert_allclose(item.tolist(), other, rtol=1e-6, err_msg=path)


@pytest.mark.parametrize(("dtype", "size"), [("float16", 300.0), ("bfloat16", 1.0)])
def test_squares_of_half_types_are_added_in_float32(dtype, size):
    grads, norm = optimizers.clip_grad_norm({"w": mx.full((3000,), size, getattr(mx, dtype))}, 1.0)
    assert norm.item() == pytest.approx(size * math.sqrt(3000), rel=1e-6)
    assert grads["w"].dtype == getattr(mx, dtype)
    assert float(grads["w"][0].item()) == pytest.approx(1 / math.sqrt(3000), rel=2**-8)


def test_small_gradients_stay_as_they_are():
    grads = arrays(values(0), "bfloat16")
    assert plain(optimizers.clip_grad_norm(grads, 1e6)[0]) == plain(grads)


def test_no_gradients_have_norm_0():
    assert optimizers.clip_grad_norm({}, 1.0)[1].item() == 0.0


@pytest.mark.parametrize("max_norm", [-1.0, math.nan, None])
def test_a_bad_norm_is_named(max_norm):
    with pytest.raises(Error, match=r"\[clip_grad_norm\] max_norm: expected a finite number of at least 0"):
        optimizers.clip_grad_norm({}, max_norm)


# --- by name ---


@pytest.mark.parametrize("name", ["SGD", "RMSprop", "Adagrad", "AdaDelta", "Adam", "AdamW", "Adamax", "Lion", "Muon"])
def test_every_optimizer_has_its_name_in_lower_case(name):
    rate = schedules.constant(0.5)
    assert optimizers.by_name(name.lower(), rate) == getattr(optimizers, name)(rate)


def test_options_reach_the_optimizer():
    found = optimizers.by_name("adamw", 1e-3, betas=[0.8, 0.9], weight_decay=0.5)
    assert found == optimizers.AdamW(1e-3, betas=(0.8, 0.9), weight_decay=0.5)
    assert optimizers.by_name("adafactor", None, beta_1=0.5) == optimizers.Adafactor(beta_1=0.5)


def test_unknown_names_and_options_are_named():
    with pytest.raises(Error, match=r"name: expected one of adam, adamw, muon, .*, got 'adamm'"):
        optimizers.by_name("adamm", 0.1)
    with pytest.raises(Error, match="adam has no option 'momentum'; it has betas, eps, bias_correction"):
        optimizers.by_name("adam", 0.1, momentum=0.9)
    with pytest.raises(Error, match=r"\[Adam\] learning_rate: "):
        optimizers.by_name("adam", None)
