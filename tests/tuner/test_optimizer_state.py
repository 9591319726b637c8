"""Optimizer states go through files and come back; what does not fit is an error that names it."""

import pytest
from helpers import error_of
from optimizer_cases import CASES, IDS, arrays, make, plain, run, values

import mlxffi.core as mx
from mlxffi import Error
from mlxffi.tuner import files, optimizers, schedules, trees

ALL = pytest.mark.parametrize("case", CASES, ids=IDS)


def through_a_file(optimizer, state, params, folder):
    """A state that was written and read."""
    files.write_arrays(folder / "optimizer.safetensors", trees.flatten(state))
    return optimizer.load_state(mx.load(str(folder / "optimizer.safetensors")), params)


def mixed():
    """Parameters of several dtypes."""
    params = arrays(values(0))
    params["model"]["layers"][0] = trees.tree_map(lambda item: item.astype(mx.bfloat16), params["model"]["layers"][0])
    params["conv"] = trees.tree_map(lambda item: item.astype(mx.float16), params["conv"])
    return params


def multi():
    return optimizers.MultiOptimizer(
        [optimizers.Muon(0.1), optimizers.Adafactor(), optimizers.AdamW(schedules.cosine_decay(0.1, 9))],
        [lambda path, _: "lora_a" in path, lambda path, item: item.ndim == 2],
    )


# --- files ---


@pytest.mark.parametrize("optimizer", [*map(make, CASES), multi()], ids=[*IDS, "MultiOptimizer"])
def test_a_run_continues_from_a_file_to_the_bit(optimizer, tmp_path):
    params = mixed()
    whole = run(optimizer.update, optimizer.init(params), params, 6)
    params, state = run(optimizer.update, optimizer.init(params), params, 3)
    read = through_a_file(optimizer, state, params, tmp_path)
    assert plain(read) == plain(state)
    assert plain(run(optimizer.update, read, params, 3, start=3)) == plain(whole)


@ALL
def test_a_states_form_is_that_of_the_parameters(case):
    params = arrays(values(0))
    state = make(case).init(params)
    assert list(state)[:2] == ["step", "learning_rate"]
    paths = list(trees.flatten(params))
    for name, tree in list(state.items())[2:]:
        found = list(trees.flatten(tree))
        assert found == [path for path in paths if path in found], name
    assert {path for tree in list(state.values())[2:] for path in trees.flatten(tree)} in (set(paths), set())


def test_what_is_no_state_of_these_parameters_is_named():
    params = {"a": mx.ones((2, 3)), "b": [mx.ones(2)]}
    optimizer = optimizers.Adam(0.1)
    state = trees.flatten(optimizer.init(params))
    del state["m.a"]
    state |= {"v.a": mx.zeros((3, 2)), "v.b.0": mx.zeros(2, mx.float16), "m.c": mx.zeros(1)}
    message = str(error_of(lambda: optimizer.load_state(state, params), ValueError))
    assert message.startswith("[Adam.load_state] ")
    assert "m.a: missing" in message
    assert "m.c: unknown" in message
    assert "v.a: expected float32 [2, 3], got float32 [3, 2]" in message
    assert "v.b.0: expected float32 [2], got float16 [2]" in message


def test_a_state_of_another_optimizer_is_refused():
    params = {"w": mx.ones(2)}
    sgd, adam = optimizers.SGD(0.1, momentum=0.9), optimizers.Adam(0.1)
    with pytest.raises(Error, match=r"m\.w: missing"):
        adam.load_state(trees.flatten(sgd.init(params)), params)
    with pytest.raises(Error, match=r"\[Adam.update\] state: expected m\.w, got none"):
        adam.update(params, sgd.init(params), params)
    with pytest.raises(Error, match=r"\[Adam.update\] state: expected step, as init gives it"):
        adam.update(params, {}, params)


# --- what does not fit ---

PARAMS = {"layers": [{"w": mx.ones((2, 3))}, {"w": mx.ones((2, 3))}]}


@pytest.mark.parametrize("optimizer", [optimizers.SGD(0.1), multi()], ids=["SGD", "MultiOptimizer"])
@pytest.mark.parametrize(
    ("grads", "message"),
    [
        (
            {"layers": [{"w": mx.ones((2, 3)), "v": mx.ones(1)}]},
            r"grads\.layers\.0\.v: expected the path of a parameter",
        ),
        (
            {"layers": [None, {"w": mx.ones((3, 2))}]},
            r"grads\.layers\.1\.w: expected the shape .*\[2, 3\], got \[3, 2\]",
        ),
        ({"layers": [{"w": 1.0}]}, r"grads\.layers\.0\.w: expected an array, got float"),
        ({"layers": mx.ones((2, 3))}, r"grads\.layers: expected the path of a parameter"),
        ({"layers": [None, None, {"w": mx.ones(1)}]}, r"grads\.layers\.2\.w: expected the path of a parameter"),
    ],
)
def test_gradients_that_belong_to_nothing_are_named(optimizer, grads, message):
    with pytest.raises(Error, match=message):
        optimizer.update(grads, optimizer.init(PARAMS), PARAMS)


def test_parameters_that_are_no_floats_are_named():
    with pytest.raises(Error, match=r"\[SGD.init\] layer.q: expected a floating-point parameter, got uint32 \[4\]"):
        optimizers.SGD(0.1).init({"layer": {"q": mx.zeros(4, mx.uint32)}})


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("SGD", {"learning_rate": float("nan")}, "learning_rate: expected a finite number of at least 0, got nan"),
        ("Adam", {"learning_rate": None}, "learning_rate: expected a finite number of at least 0, got None"),
        ("Lion", {"learning_rate": -0.1}, "learning_rate: expected a finite number of at least 0, got -0.1"),
        ("Adam", {"learning_rate": True}, "learning_rate: "),
        ("SGD", {"momentum": -0.1}, "momentum: expected a finite number of at least 0"),
        ("SGD", {"weight_decay": -1}, "weight_decay: "),
        ("SGD", {"dampening": float("inf")}, "dampening: "),
        ("SGD", {"nesterov": True}, "nesterov: expected momentum above 0 and dampening 0 with it"),
        ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "nesterov: "),
        ("SGD", {"nesterov": 1}, "nesterov: expected True or False, got 1"),
        ("RMSprop", {"alpha": 1.0}, "alpha: expected a number of at least 0 and below 1, got 1.0"),
        ("RMSprop", {"eps": 0}, "eps: expected a finite number above 0, got 0"),
        ("Adagrad", {"eps": 0.0}, "eps: "),
        ("AdaDelta", {"rho": -0.1}, "rho: "),
        ("AdaDelta", {"eps": 0.0}, "eps: "),
        ("Adam", {"betas": (0.9, 1.0)}, r"betas\[1\]: "),
        ("Adam", {"betas": (0.9,)}, r"betas: expected two numbers, got \(0.9,\)"),
        ("Adam", {"eps": "1e-8"}, "eps: expected a finite number of at least 0, got '1e-8'"),
        ("Adam", {"bias_correction": "no"}, "bias_correction: "),
        ("AdamW", {"weight_decay": -0.1}, "weight_decay: "),
        ("AdamW", {"bias_correction": None}, "bias_correction: "),
        ("Adamax", {"betas": (-0.1, 0.9)}, r"betas\[0\]: "),
        ("Adamax", {"eps": -1e-8}, "eps: "),
        ("Lion", {"betas": (0.9, 1.5)}, r"betas\[1\]: "),
        ("Lion", {"weight_decay": -1}, "weight_decay: "),
        (
            "Adafactor",
            {"learning_rate": None, "relative_step": False},
            "learning_rate: expected one with relative_step",
        ),
        ("Adafactor", {"eps": (-1.0, 1e-3)}, r"eps\[0\]: "),
        ("Adafactor", {"eps": 1e-3}, "eps: expected two numbers"),
        ("Adafactor", {"clip_threshold": 0.0}, "clip_threshold: "),
        ("Adafactor", {"decay_rate": 0.8}, "decay_rate: expected a finite number of at most 0, got 0.8"),
        ("Adafactor", {"beta_1": 1.0}, "beta_1: "),
        ("Adafactor", {"weight_decay": -1.0}, "weight_decay: "),
        ("Adafactor", {"scale_parameter": 1}, "scale_parameter: "),
        ("Muon", {"momentum": float("nan")}, "momentum: "),
        ("Muon", {"weight_decay": -0.01}, "weight_decay: "),
        ("Muon", {"nesterov": 0}, "nesterov: "),
        ("Muon", {"ns_steps": 2.0}, "ns_steps: expected an int of at least 0, got 2.0"),
        ("Muon", {"ns_steps": -1}, "ns_steps: "),
    ],
)
def test_a_bad_option_is_named(name, options, message):
    with pytest.raises(Error, match=rf"\[{name}\] {message}"):
        getattr(optimizers, name)(**{"learning_rate": 0.1, **options})
