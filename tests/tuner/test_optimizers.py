"""Optimizers: the numbers of mlx.optimizers and of the papers, from pure functions over trees."""

import dataclasses
import inspect

import hypothesis.strategies as st
import numpy as np
import optimizers_oracle as oracle
import pytest
from hypothesis import given, settings
from mlx import core as mlx_core
from mlx import optimizers as mlx_optimizers
from mlx.utils import tree_flatten
from optimizer_cases import CASES, DTYPES, IDS, NAMES, arrays, make, plain, run, values

import mlxffi.core as mx
from mlxffi.tuner import optimizers, schedules, trees

ALL = pytest.mark.parametrize("case", CASES, ids=IDS)

# Parameters after three steps from START along 1, 2 and 3 times SLOPE: what mlx.optimizers 0.32.4 gave.
START, SLOPE = [[1, -2, 0.5], [0.25, 3, -1.5]], [[0.1, 0.2, -0.3], [0.05, -0.4, 0.6]]
REFERENCE = [
    (CASES[0], [0.940000, -2.120000, 0.680000, 0.220000, 3.240000, -1.860000]),
    (CASES[1], [0.846550, -2.274760, 0.932227, 0.175284, 3.557554, -2.360437]),
    (CASES[2], [0.952450, -2.095100, 0.642650, 0.226225, 3.190200, -1.785300]),
    (CASES[3], [-1.698826, -4.698827, 3.198827, -2.448824, 5.698827, -4.198827]),
    (CASES[4], [0.730379, -2.269621, 0.769621, -0.019621, 3.269621, -1.769621]),
    (CASES[5], [0.998793, -2.001207, 0.501207, 0.248795, 3.001207, -1.501207]),
    (CASES[6], [-0.200622, -3.200623, 1.700623, -0.950620, 4.200624, -2.700624]),
    (CASES[7], [0.707684, -2.292316, 0.792316, -0.042316, 3.292316, -1.792316]),
    (CASES[8], [-0.202577, -3.193587, 1.698082, -0.950327, 4.190590, -2.695086]),
    (CASES[9], [0.704983, -2.286026, 0.790521, -0.042769, 3.283029, -1.787524]),
    (CASES[10], [0.956800, -2.043200, 0.543200, 0.206800, 3.043200, -1.543200]),
    (CASES[11], [0.673289, -2.237608, 0.782160, -0.054435, 3.207907, -1.752459]),
    (CASES[12], [0.915442, -2.042279, 0.542279, 0.228115, 3.043770, -1.543770]),
    (CASES[13], [0.837342, -2.068839, 0.576333, 0.207945, 3.066623, -1.574117]),
    (CASES[15], [0.752161, -2.045122, 0.583621, 0.126584, 3.105932, -1.658774]),
]


# --- values ---


@pytest.mark.parametrize(("case", "wanted"), REFERENCE, ids=[IDS[CASES.index(case)] for case, _ in REFERENCE])
def test_three_steps_give_the_reference_numbers(case, wanted):
    optimizer, params = make(case), {"w": mx.array(START)}
    state = optimizer.init(params)
    for factor in (1, 2, 3):
        params, state = optimizer.update({"w": factor * mx.array(SLOPE)}, state, params)
    np.testing.assert_allclose(np.array(params["w"]).ravel(), wanted, rtol=0, atol=1e-6)
    assert state["step"].item() == 3


@ALL
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_parameters_are_those_of_mlx_optimizers_to_the_bit(case, dtype):
    ours, params = make(case), arrays(values(0), dtype)
    theirs, their_params = getattr(mlx_optimizers, case[0])(*case[1], **case[2]), arrays(values(0), dtype, mlx_core)
    params, _ = run(ours.update, ours.init(params), params, 4)
    for step in range(4):
        their_params = theirs.apply_gradients(arrays(values(100 + step), dtype, mlx_core), their_params)
    wanted = {path: (str(item.dtype), item.tolist()) for path, item in tree_flatten(their_params)}
    # mlx.core rounds means and products of bfloat16 at each addition.
    if dtype == "bfloat16" and case[0] in ("Adafactor", "Muon"):
        for path, (kind, numbers) in plain(params).items():
            assert kind == wanted[path][0]
            np.testing.assert_allclose(numbers, wanted[path][1], rtol=2**-7, atol=2**-6, err_msg=path)
    else:
        assert plain(params) == wanted


@ALL
def test_parameters_are_those_of_the_formulas_in_float64(case):
    optimizer, params = make(case), arrays(values(0))
    params, _ = run(optimizer.update, optimizer.init(params), params, 5)
    name, arguments, options = case
    for path, start in trees.paths(arrays(values(0))):
        w, memory = np.array(start, np.float64), {}
        for step in range(5):
            g = np.array(trees.flatten(arrays(values(100 + step)))[path], np.float64)
            w = getattr(oracle, name.lower())(g, w, memory, step + 1, *arguments, **options)
        found = np.array(trees.flatten(params)[path])
        np.testing.assert_allclose(found, w, rtol=2e-5, atol=2e-5, err_msg=path)


@ALL
def test_float16_parameters_are_the_formulas_rounded_once_a_step(case):
    optimizer, params = make(case), arrays(values(0), "float16")
    state = optimizer.init(params)
    moments = {item.dtype for tree in state.values() for path, item in trees.paths(tree) if path}
    assert moments <= {mx.float32}
    params, _ = run(optimizer.update, state, params, 3)
    name, arguments, options = case
    for path, start in trees.paths(arrays(values(0), "float16")):
        w, memory = np.array(start, np.float64), {}
        for step in range(3):
            g = np.array(trees.flatten(arrays(values(100 + step), "float16"))[path], np.float64)
            w = getattr(oracle, name.lower())(g, w, memory, step + 1, *arguments, **options)
            w = w.astype(np.float16).astype(np.float64)
        found = trees.flatten(params)[path]
        assert found.dtype == mx.float16
        np.testing.assert_allclose(np.array(found), w, rtol=2e-3, atol=2e-3, err_msg=path)


@pytest.mark.parametrize("name", ["Adam", "AdamW", "RMSprop", "Adagrad", "Adamax"])
def test_float16_gradients_whose_squares_leave_its_range(name):
    """0 stays where it is; 1e-4 and 1000, whose squares float16 has as 0 and as infinity, move as others do."""
    optimizer, params = getattr(optimizers, name)(0.125), {"w": mx.ones(4, mx.float16)}
    grads = {"w": mx.array([0, 1e-4, 1, 1000], mx.float16)}
    found, _ = optimizer.update(grads, optimizer.init(params), params)
    moved = (1 - found["w"].astype(mx.float32)).tolist()
    assert moved[0] == pytest.approx(0, abs=0.002)
    assert moved[1:] == pytest.approx([moved[2]] * 3, rel=0.02)
    assert moved[2] > 0.01


@pytest.mark.parametrize("name", NAMES)
def test_each_optimizer_finds_the_least_of_a_quadratic(name):
    goal, scale = mx.array([[1.0, -2.0], [0.5, 3.0]]), mx.array([[1.0, 3.0], [0.3, 1.0]])
    rates = {"SGD": 0.5, "AdaDelta": 100.0, "Adagrad": 1.0, "Adafactor": 0.3}
    options = {"relative_step": False} if name == "Adafactor" else {"weight_decay": 0.0} if name == "Muon" else {}
    rate = schedules.cosine_decay(rates.get(name, 0.1), 150)
    optimizer, params = getattr(optimizers, name)(rate, **options), {"w": mx.zeros((2, 2))}
    slope = mx.value_and_grad(lambda params: (scale * mx.square(params["w"] - goal)).sum() / 2)
    state, first = optimizer.init(params), slope(params)[0].item()
    for _ in range(150):
        params, state = optimizer.update(slope(params)[1], state, params)
    last = slope(params)[0].item()
    assert last < 5e-3 * first


@pytest.mark.parametrize("name", NAMES)
def test_arguments_and_defaults_are_those_of_mlx_optimizers(name):
    ours, theirs = (
        [
            (item.name, tuple(item.default) if isinstance(item.default, list) else item.default)
            for item in inspect.signature(getattr(library, name)).parameters.values()
        ]
        for library in (optimizers, mlx_optimizers)
    )
    assert ours == theirs


# --- the learning rate ---


def test_a_schedule_is_asked_for_the_steps_done():
    optimizer, params = optimizers.SGD(lambda step: 10.0 + step), {"w": mx.array([0.0])}
    state = optimizer.init(params)
    assert (state["learning_rate"].item(), state["learning_rate"].dtype) == (10.0, mx.float32)
    assert (state["step"].item(), state["step"].dtype) == (0, mx.uint64)
    for wanted in (10.0, 11.0, 12.0):
        before = params["w"].item()
        params, state = optimizer.update({"w": mx.array([1.0])}, state, params)
        assert state["learning_rate"].item() == before - params["w"].item() == wanted


@pytest.mark.parametrize("warmup_init", [False, True])
def test_adafactor_reports_the_rate_that_it_takes(warmup_init):
    optimizer = optimizers.Adafactor(scale_parameter=False, warmup_init=warmup_init)
    params = {"w": mx.array([0.0, 0.0])}
    state = optimizer.init(params)
    told = state["learning_rate"].item()
    for step in (1, 2, 3):
        after, state = optimizer.update({"w": mx.array([1.0, -1.0])}, state, params)
        moved = (params["w"] - after["w"])[0].item()
        assert moved == pytest.approx(state["learning_rate"].item(), rel=1e-5)
        assert told == pytest.approx(1e-6 if warmup_init else 1e-2)
        assert moved == pytest.approx(step * 1e-6 if warmup_init else 1e-2, rel=1e-3)
        params = after


def test_adafactors_given_rate_counts_only_without_relative_steps():
    params = {"w": mx.array([1.0])}
    assert optimizers.Adafactor(0.3).init(params)["learning_rate"].item() == pytest.approx(0.01)
    own = optimizers.Adafactor(0.3, relative_step=False)
    assert own.init(params)["learning_rate"].item() == pytest.approx(0.3)


def test_a_schedule_must_give_one_number():
    with pytest.raises(
        ValueError, match=r"\[Adam\] learning_rate: expected a schedule that gives one number, got \[2\]"
    ):
        optimizers.Adam(lambda step: mx.zeros(2)).init({})
    with pytest.raises(ValueError, match=r"\[Adam\] learning_rate: expected a finite number, got nan"):
        optimizers.Adam(lambda step: float("nan")).init({})


# --- trees ---


@ALL
def test_what_has_no_gradient_stays_and_so_do_its_moments(case):
    optimizer, params = make(case), arrays(values(0))
    params, state = run(optimizer.update, optimizer.init(params), params, 1)
    layers = [None, {"proj": {"lora_a": mx.ones((6, 2)), "lora_b": None}}]
    after, new = optimizer.update({"model": {"layers": layers}, "scale": None}, state, params)
    changed = {path for path, value in plain(after).items() if value != plain(params)[path]}
    assert changed == {"model.layers.1.proj.lora_a"}
    moved = {path for path, value in plain(new).items() if value != plain(state)[path]}
    assert {path.partition(".")[2] for path in moved} <= {"", "model.layers.1.proj.lora_a"}
    assert new["step"].item() == 2
    assert list(plain(new)) == list(plain(state))


@ALL
def test_an_update_changes_nothing_that_it_is_given(case):
    optimizer, params = make(case), arrays(values(0))
    state = optimizer.init(params)
    before = plain(params), plain(state), dataclasses.astuple(optimizer)
    once, twice = (run(optimizer.update, state, params, 2) for _ in range(2))
    assert (plain(params), plain(state), dataclasses.astuple(optimizer)) == before
    assert plain(once) == plain(twice)


@ALL
def test_compiled_updates_are_traced_once_and_equal_eager_ones(case, without_compiler):
    optimizer, params = make(case), arrays(values(0))
    traces = []

    def update(grads, state, params):
        traces.append(1)
        return optimizer.update(grads, state, params)

    eager = run(optimizer.update, optimizer.init(params), params, 4)
    compiled = run(mx.compile(update), optimizer.init(params), params, 4)
    assert plain(compiled) == plain(eager)
    assert len(traces) == 1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_fused_updates_equal_eager_ones_within_rounding(dtype):
    optimizer = optimizers.AdamW(schedules.cosine_decay(0.1, 10), bias_correction=True)
    params = arrays(values(0), dtype)
    eager = trees.flatten(run(optimizer.update, optimizer.init(params), params, 4))
    fused = trees.flatten(run(mx.compile(optimizer.update), optimizer.init(params), params, 4))
    allowed = 1e-6 if dtype == "float32" else 2**-7
    for path, item in eager.items():
        assert fused[path].dtype == item.dtype
        np.testing.assert_allclose(
            *(np.array(found.astype(mx.float32)) for found in (fused[path], item)), rtol=allowed, atol=allowed
        )


SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)
LEAVES = st.tuples(SHAPES, st.sampled_from(DTYPES))
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "0", "7"]), inner, max_size=3)
    ),
    max_leaves=6,
).filter(lambda tree: not isinstance(tree, tuple))


def filled(tree, value):
    if isinstance(tree, tuple):
        return mx.full(tree[0], value, getattr(mx, tree[1]))
    if isinstance(tree, list):
        return [filled(item, value) for item in tree]
    return {key: filled(item, value) for key, item in tree.items()}


def kinds(tree):
    return {path: (item.shape, item.dtype) for path, item in trees.paths(tree)}


@settings(max_examples=80, deadline=None)
@given(tree=TREES, case=st.sampled_from(CASES), data=st.data())
def test_any_tree_keeps_its_form_shapes_and_dtypes(tree, case, data):
    optimizer, params = make(case), filled(tree, 0.5)
    grads = trees.tree_map(lambda item: item if data.draw(st.booleans()) else None, filled(tree, 0.25))
    state = optimizer.init(params)
    after, new = optimizer.update(grads, state, params)
    assert kinds(after) == kinds(params)
    assert kinds(new) == kinds(state)
    moved = {path for path, item in trees.paths(after) if bool(mx.any(item != 0.5))}
    assert moved <= set(trees.flatten(grads))
    assert all(bool(mx.all(mx.isfinite(item))) for item in trees.flatten((after, new)).values())
    again = optimizer.load_state(trees.flatten(new), params)
    assert plain(again) == plain(new)


def test_a_gradient_of_another_dtype_does_not_change_the_parameters():
    optimizer, params = optimizers.Adam(0.1), {"w": mx.array([1.0], mx.bfloat16)}
    params, state = optimizer.update({"w": mx.array([1.0])}, optimizer.init(params), params)
    assert {params["w"].dtype, state["m"]["w"].dtype, state["v"]["w"].dtype} == {mx.bfloat16}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_zero_leave_no_nan(name, dtype):
    params = arrays(values(0), dtype)
    optimizer = getattr(optimizers, name)(0.1)
    after, _ = optimizer.update(trees.tree_map(mx.zeros_like, params), optimizer.init(params), params)
    for path, item in trees.paths(after):
        assert bool(mx.all(mx.isfinite(item))), path
