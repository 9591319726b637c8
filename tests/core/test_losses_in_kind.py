"""Losses and fused layers of the flat layer take arrays of mlxffi.core, and answer in the class they were given."""

import pytest

import mlxffi as m
from mlxffi import core as mx
from mlxffi import fused, losses

LOGITS = [[1.0, -2.0, 0.5], [0.25, 3.0, -1.0]]
TEACHER = [[0.5, 1.0, -0.5], [2.0, -1.0, 0.0]]
HEADS = [[[[0.5, -1.0], [2.0, 0.25]]]]

# Each call by name: the values of the arrays that are differentiated, and the call over them.
LOSSES = {
    "cross_entropy": ([LOGITS], lambda x, of: losses.cross_entropy(x, of([0, 2]), reduction="mean")),
    "cross_entropy_loss": ([LOGITS], lambda x, of: losses.cross_entropy_loss(x, of([0, 2]))),
    "masked": ([LOGITS], lambda x, of: losses.masked_cross_entropy_loss(x, of([0, 2]), of([1.0, 0.0]))),
    "kl_div_loss": ([LOGITS], lambda x, of: losses.kl_div_loss(x, of(TEACHER), reduction="sum")),
    "js_div_loss": ([LOGITS], lambda x, of: losses.js_div_loss(x, of(TEACHER), temperature=2.0, reduction="mean")),
    "linear_cross_entropy": ([LOGITS], lambda x, of: losses.linear_cross_entropy(x, of(TEACHER), of([0, 1]))),
    "linear_kl_div_loss": ([LOGITS], lambda x, of: losses.linear_kl_div_loss(x, of(TEACHER), of(TEACHER), of(LOGITS))),
    "mse_loss": ([LOGITS], lambda x, of: losses.mse_loss(x, of(TEACHER))),
    "rms_norm": ([LOGITS], lambda x, of: fused.rms_norm(x, of([1.0, 2.0, 3.0]), 1e-5)),
    "rope": ([HEADS], lambda x, of: fused.rope(x, 2)),
    "attention": ([HEADS], lambda x, of: fused.attention(x, of(HEADS), of(HEADS), scale=0.5, causal=True)),
    "swiglu": ([LOGITS], lambda x, of: fused.swiglu(x, of(TEACHER))),
    "geglu": ([LOGITS], lambda x, of: fused.geglu(of(TEACHER), x)),
    "lora_linear": (
        [LOGITS],
        lambda x, of: fused.lora_linear(x, of([[1.0, 2.0, 3.0]]), of([[1.0], [0.5], [2.0]]), of([[3.0]]), 0.5),
    ),
}


def gradient_in_core(name):
    (values,), call = LOSSES[name]
    return mx.grad(lambda x: mx.sum(call(x, mx.array)))(mx.array(values))


def gradient_in_flat(name):
    (values,), call = LOSSES[name]
    return m.grad(lambda x: [m.sum(call(x[0], m.Array))])(m.Array(values))[0]


@pytest.mark.parametrize("name", LOSSES)
def test_the_answer_is_of_the_class_of_the_first_array(name):
    (values,), call = LOSSES[name]
    in_core, in_flat = call(mx.array(values), mx.array), call(m.Array(values), m.Array)
    assert (type(in_core), type(in_flat)) == (mx.array, m.Array)
    assert in_core.tolist() == in_flat.tolist()
    # Of mixed arrays the first decides, and Python's values become what it is.
    assert type(call(mx.array(values), m.Array)) is (m.Array if name == "geglu" else mx.array)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_flow_under_the_transforms_of_either_layer(name):
    found = gradient_in_core(name)
    assert type(found) is mx.array
    assert found.tolist() == gradient_in_flat(name).tolist()
    assert any(number != 0 for number in mx.flatten(found).tolist())


def test_the_top_of_the_package_answers_in_kind_too():
    x, targets = mx.array(LOGITS), mx.array([0, 2])
    assert type(m.cross_entropy(x, targets)) is mx.array
    assert m.cross_entropy(x, targets).tolist() == m.cross_entropy(m.Array(LOGITS), [0, 2]).tolist()


def test_several_answers_are_all_of_that_class():
    x, cosines, sines = mx.ones((4, 24)), mx.ones((4, 3)), mx.zeros((4, 2, 3))
    assert [type(one) for one in fused.heads(x, cosines, sines, None, None, 2, 1, 1e-5)] == [mx.array] * 3


def test_a_keyword_argument_counts_like_any_other():
    weights = mx.array([0.5, 2.0])
    assert type(losses.cross_entropy(LOGITS, [0, 2], weights=weights)) is mx.array


def test_arrays_cross_between_the_layers_without_a_copy():
    x = mx.array(LOGITS)
    there = m.Array(x)
    assert type(there) is m.Array
    assert m.lib.glue_array_eval(there._h) == 0
    mx.eval(x)
    back = mx.array(there)
    assert type(back) is mx.array
    assert back.tolist() == x.tolist()
    assert m.Array(x, "float16").dtype.name == "float16"


def test_a_graph_crosses_with_its_gradients():
    def loss(x):
        inner = m.Array(x * 2)
        return mx.array(m.sum(inner * inner))

    assert mx.grad(loss)(mx.array([1.0, -3.0])).tolist() == [8.0, -24.0]
