"""Schedules: the rates of mlx.optimizers and mlx_lm at every step, for ints and arrays, compiled or not."""

import json
import math

import hypothesis.strategies as st
import numpy as np
import pytest
from helpers import run_python
from hypothesis import given
from mlx import core as mlx_core
from mlx import optimizers as mlx_optimizers

import mlxffi.core as mx
from mlxffi import Error
from mlxffi.tuner import schedules

CASES = [
    ("exponential_decay", (0.1, 0.9)),
    ("step_decay", (0.1, 0.5, 7)),
    ("cosine_decay", (0.1, 20)),
    ("cosine_decay", (0.1, 20, 0.01)),
    ("linear_schedule", (0.0, 0.1, 20)),
    ("linear_schedule", (0.5, 0.1, 3)),
]
STEPS = [0, 1, 2, 3, 6, 7, 8, 14, 19, 20, 21, 1000]

# Of ints, and of the arrays that optimizers and others may hold a step in.
FORMS = {"int": lambda step: step} | {
    name: lambda step, name=name: mx.array(step, getattr(mx, name)) for name in ("uint64", "int32", "float32")
}


def rates(schedule, form="uint64", steps=STEPS):
    found = [schedule(FORMS[form](step)) for step in steps]
    assert {(item.dtype, item.shape) for item in found} == {(mx.float32, ())}
    return [item.item() for item in found]


@pytest.mark.parametrize(("name", "arguments"), CASES)
@pytest.mark.parametrize("form", FORMS)
def test_rates_are_those_of_mlx_optimizers(name, arguments, form):
    theirs = getattr(mlx_optimizers, name)(*arguments)
    wanted = [float(theirs(mlx_core.array(step, mlx_core.uint64))) for step in STEPS]
    np.testing.assert_allclose(rates(getattr(schedules, name)(*arguments), form), wanted, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("form", FORMS)
def test_rates_are_those_of_the_formulas(form):
    constant = rates(schedules.constant(0.25), form)
    np.testing.assert_allclose(constant, [0.25] * len(STEPS))
    decayed = rates(schedules.exponential_decay(0.1, 0.99), form)
    np.testing.assert_allclose(decayed, [0.1 * 0.99**step for step in STEPS], rtol=1e-5)
    stairs = rates(schedules.step_decay(0.1, 0.5, 7), form)
    np.testing.assert_allclose(stairs, [0.1 * 0.5 ** (step // 7) for step in STEPS], rtol=1e-5, atol=1e-30)
    cosine = rates(schedules.cosine_decay(0.1, 20, 0.02), form)
    wanted = [0.02 + 0.08 * (1 + math.cos(math.pi * min(step, 20) / 20)) / 2 for step in STEPS]
    np.testing.assert_allclose(cosine, wanted, rtol=1e-5)


def test_steps_may_be_many_at_once():
    schedule = schedules.join_schedules([schedules.constant(0.5), schedules.linear_schedule(1, 0, 4)], [2])
    np.testing.assert_allclose(schedule(mx.arange(7)).tolist(), [0.5, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0])


@given(st.lists(st.integers(0, 30), min_size=1, max_size=4).map(sorted), st.integers(0, 40))
def test_joined_schedules_begin_anew_at_their_boundaries(boundaries, step):
    parts = [schedules.linear_schedule(place, place + 0.5, 10) for place in range(len(boundaries) + 1)]
    place = sum(boundary <= step for boundary in boundaries)
    since = step - ([0, *boundaries][place])
    found = schedules.join_schedules(parts, boundaries)(mx.array(step, mx.uint64)).item()
    assert found == pytest.approx(place + 0.5 * min(since, 10) / 10, rel=1e-6)


def test_a_schedule_that_has_not_begun_is_never_asked_for_a_step_below_0():
    asked = []

    def spy(step):
        asked.append(step.item())
        return schedules.constant(1.0)(step)

    joined = schedules.join_schedules([schedules.constant(0.0), spy], [10])
    assert rates(joined, steps=[0, 9, 10, 12]) == [0, 0, 1, 1]
    assert asked == [0, 0, 0, 2]


# mlx_lm's numbers for 100 steps of cosine from 1e-5 to 1e-7 after 10 of warm-up from 1e-7.
COSINE = {"name": "cosine_decay", "arguments": [1e-5, 100, 1e-7], "warmup": 10, "warmup_init": 1e-7}
WARMED = {0: 1e-7, 5: 5.05e-6, 10: 1e-5, 11: 1e-5, 61: 5.05e-6, 111: 1e-7}


@pytest.mark.parametrize("form", FORMS)
def test_build_schedule_gives_the_reference_numbers(form):
    found = rates(schedules.build_schedule(COSINE), form, list(WARMED))
    np.testing.assert_allclose(found, list(WARMED.values()), rtol=2e-6, atol=1e-13)


# In a process of its own: mlx_lm brings much along, which would slow down every test that follows.
MLX_LM = """
import json, sys
import mlx.core as mx
from mlx_lm.tuner.utils import build_schedule
configs, steps = json.loads({!r})
print(json.dumps([[float(build_schedule(config)(mx.array(step, mx.uint64))) for step in steps] for config in configs]))
"""


def test_build_schedule_equals_mlx_lms():
    warmups = [{}, {"warmup": 0}, {"warmup": 3}, {"warmup": 3, "warmup_init": 0.02}]
    configs = [{"name": name, "arguments": arguments, **warmup} for name, arguments in CASES for warmup in warmups]
    status, output, errors = run_python(MLX_LM.format(json.dumps([configs, STEPS])))
    assert status == 0, errors
    for config, wanted in zip(configs, json.loads(output), strict=True):
        found = rates(schedules.build_schedule(config))
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-9, err_msg=str(config))


def test_schedules_compile(threads_alternate):
    schedule = schedules.build_schedule(COSINE)
    compiled = mx.compile(schedule)
    steps = [mx.array(step, mx.uint64) for step in (0, 7, 11, 50, 200)]
    assert [compiled(step).item() for step in steps] == [schedule(step).item() for step in steps]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": None}, r"name: expected one of constant, cosine_decay, .*, got None"),
        ({"name": "cosine"}, r"name: expected one of .*, got 'cosine'"),
        ({"name": ["cosine_decay"]}, "name: "),
        ({"arguments": 1e-5}, "arguments: expected a list of numbers, got 1e-05"),
        ({"arguments": []}, r"arguments: cosine_decay takes \(init.*decay_steps.*\), got \[\]"),
        ({"arguments": [1, 2, 3, 4]}, r"arguments: cosine_decay takes "),
        ({"arguments": ["1e-5", 100]}, r"\[cosine_decay\] init: expected a finite number, got '1e-5'"),
        ({"arguments": [1e-5, 0]}, r"\[cosine_decay\] decay_steps: expected an int of at least 1, got 0"),
        ({"warmup": -1}, "warmup: expected an int of at least 0, got -1"),
        ({"warmup": 2.5}, "warmup: "),
        ({"warmup": None}, "warmup: "),
        ({"warmup_init": math.inf}, "warmup_init: expected a finite number, got inf"),
        ({"warm_up": 3}, "warm_up: expected one of the keys name, arguments, warmup, warmup_init"),
    ],
)
def test_build_schedule_names_the_key_that_is_wrong(change, message):
    with pytest.raises(Error, match=message):
        schedules.build_schedule({**COSINE, **change})


@pytest.mark.parametrize("key", ["name", "arguments"])
def test_build_schedule_names_the_key_that_is_missing(key):
    with pytest.raises(Error, match=rf"\[build_schedule\] {key}: expected this key"):
        schedules.build_schedule({name: value for name, value in COSINE.items() if name != key})
    with pytest.raises(Error, match=r"config: expected a mapping, got str"):
        schedules.build_schedule("cosine_decay")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("constant", (math.nan,), "value"),
        ("exponential_decay", (math.inf, 0.9), "init"),
        ("exponential_decay", (0.1, -0.9), "decay_rate"),
        ("step_decay", (0.1, 0.9, 0), "step_size"),
        ("step_decay", (0.1, math.nan, 3), "decay_rate"),
        ("cosine_decay", (0.1, 10, math.nan), "end"),
        ("linear_schedule", (0.1, 0.2, 0), "steps"),
        ("linear_schedule", ("0.1", 0.2, 3), "init"),
        ("join_schedules", ([], []), "boundaries: expected one fewer .* got 0 boundaries for 0 schedules"),
        ("join_schedules", ([abs], [1]), "boundaries: expected one fewer"),
        ("join_schedules", ([abs, abs], [-1]), r"boundaries\[0\]: expected an int of at least 0"),
        ("warm_up", (abs, 0), "steps"),
        ("warm_up", (abs, 3, math.nan), "init"),
    ],
)
def test_a_bad_argument_is_named(name, arguments, message):
    with pytest.raises(Error, match=rf"\[{name}\] {message}"):
        getattr(schedules, name)(*arguments)
