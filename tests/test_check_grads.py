"""Derivatives of every differentiable operation, and that `check_grads` finds those that are wrong."""

import itertools
import re

import gradients
import numpy as np
import pytest
from helpers import check_grads, check_path

import mlxffi as m
from mlxffi import _ops, fast, fft, linalg, random

MODES = ("fwd", "rev")
PATHS = [path for length in (1, 2) for path in itertools.product(MODES, repeat=length)]
MODULES = {"": _ops, "fast.": fast, "fft.": fft, "linalg.": linalg, "random.": random}
POINT = np.array([[0.3, -0.7, 1.1], [0.2, 0.9, -1.3]])


# --- every operation ---


@pytest.mark.parametrize("name", gradients.CASES)
def test_derivatives_agree_with_differences(name):
    for path in PATHS:
        if (name, path) not in gradients.FAULTS:
            check_path(gradients.function(name), gradients.CASES[name][1:], path, gradients.tolerance(name))


@pytest.mark.parametrize("name", sorted({name for name, _ in gradients.FAULTS}))
def test_derivatives_that_are_errors_by_name_still_are(name):
    for path in PATHS:
        text = gradients.FAULTS.get((name, path))
        if text:
            with pytest.raises((m.Error, AssertionError), match=re.escape(text)):
                check_path(gradients.function(name), gradients.CASES[name][1:], path, gradients.tolerance(name))


def test_every_operation_is_checked_or_named_as_not_differentiable():
    checked = {name.partition(":")[0] for name in gradients.CASES}
    public = ((prefix, getattr(module, name)) for prefix, module in MODULES.items() for name in module.__all__)
    operations = {prefix + function.__name__ for prefix, function in public} - KERNELS  # aliases are not counted twice
    assert checked | gradients.NOT_DIFFERENTIABLE.keys() == operations
    assert not checked & gradients.NOT_DIFFERENTIABLE.keys()


KERNELS = {"fast.cuda_kernel", "fast.metal_kernel"}


# --- the check itself ---


def scaled_rule(factor):
    """sin, whose rules for both modes are off by a factor."""

    def tangents(primals, tangents, argnums):
        return [m.cos(primals[0]) * tangents[0] * m.Array(factor, "float64")]

    def gradients(primals, cotangents, outputs):
        return [m.cos(primals[0]) * cotangents[0] * m.Array(factor, "float64")]

    return m.custom_function(lambda inputs: [m.sin(inputs[0])], vjp=gradients, jvp=tangents)


def test_right_rules_pass():
    check_grads(scaled_rule(1.0), [POINT], modes=("rev",), order=2)
    check_grads(scaled_rule(1.0), [POINT], modes=("fwd",), order=1)


@pytest.mark.parametrize("factor", [1.001, 0.999, 2.0, 0.0])
@pytest.mark.parametrize(("mode", "name"), [("fwd", "JVP of"), ("rev", "VJP of")])
def test_a_planted_error_is_found(factor, mode, name):
    with pytest.raises(AssertionError, match=f"^{name} .*argument 0: off by"):
        check_grads(scaled_rule(factor), [POINT], order=1, modes=(mode,))


@pytest.mark.parametrize("factor", [1.001, 2.0])
def test_a_planted_error_in_the_second_order_is_found(factor):
    def gradients(primals, cotangents, outputs):
        slope = m.custom_vjp(
            lambda inputs: [m.cos(inputs[0])],
            lambda inner, seeds, _: [m.negative(m.sin(inner[0])) * seeds[0] * m.Array(factor, "float64")],
        )
        return [slope([primals[0]])[0] * cotangents[0]]

    fn = m.custom_vjp(lambda inputs: [m.sin(inputs[0])], gradients)
    check_grads(fn, [POINT], order=1, modes=("rev",))
    with pytest.raises(AssertionError, match=r"^VJP of VJP of "):
        check_grads(fn, [POINT], order=2, modes=("rev",))


def test_an_error_in_one_argument_of_several_is_found():
    fn = m.custom_vjp(lambda x: [x[0] * x[1]], lambda x, c, _: [c[0] * x[1], c[0] * x[0] * m.Array(1.001, "float64")])
    with pytest.raises(AssertionError, match="argument 1: off by"):
        check_grads(fn, [POINT, POINT + 2], order=1, modes=("rev",))


def test_the_check_leaves_the_default_device_alone():
    before = m.default_device()
    check_grads(lambda x: [m.square(x[0])], [POINT])
    assert m.default_device() == before
