"""Parameters that lie together while they are trained: nothing else changes."""

import numpy as np
import pytest

import mlxffi.core as mx
from mlxffi.tuner import optimizers
from mlxffi.tuner.trainer import packing
from mlxffi.tuner.trainer.packing import Packing
from mlxffi.tuner.trees import flatten

ELEMENTWISE = ["SGD", "RMSprop", "Adagrad", "AdaDelta", "Adam", "AdamW", "Adamax", "Lion"]


def tree(dtype=mx.float32, seed=0):
    random = np.random.default_rng(seed)
    shapes = [(3, 4), (5,), (2, 2, 2), ()]
    arrays = [mx.array(random.normal(size=shape)).astype(dtype) for shape in shapes]
    return {"layers": [{"a": arrays[0], "b": arrays[1]}, {"a": arrays[2]}], "m": arrays[3]}


def same(found, wanted):
    assert list(found) == list(wanted)
    for path, item in wanted.items():
        assert found[path].dtype == item.dtype
        np.testing.assert_array_equal(np.array(found[path].astype(mx.float32)), np.array(item.astype(mx.float32)))


def test_arrays_of_a_dtype_lie_in_one():
    mixed = {**tree(), "half": mx.ones([7], dtype=mx.float16), "z": mx.zeros([2])}
    found = Packing(mixed)
    packed = found.pack(flatten(mixed))
    assert {name: (item.shape, item.dtype) for name, item in packed.items()} == {
        "packed float32": ((28,), mx.float32),
        "packed float16": ((7,), mx.float16),
    }
    same(found.unpack(packed), flatten(mixed))
    assert [type(found.tree(packed)[key]) for key in mixed] == [list, mx.array, mx.array, mx.array]


def test_a_large_array_stays_by_itself(monkeypatch):
    monkeypatch.setattr(packing, "LARGE", 8)
    found = Packing(tree())
    packed = found.pack(flatten(tree()))
    assert list(packed) == ["layers.0.a", "packed float32", "layers.1.a"]
    same(found.unpack(packed), flatten(tree()))


@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16, mx.float16])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_updates_are_the_same_to_the_bit(name, dtype):
    optimizer = getattr(optimizers, name)(1e-2)
    assert optimizer.elementwise
    found = Packing(tree(dtype))
    apart, together = flatten(tree(dtype)), found.pack(flatten(tree(dtype)))
    state, packed_state = optimizer.init(apart), found.pack_moments(optimizer.init(apart))
    for seed in range(1, 4):
        gradients = flatten(tree(dtype, seed))
        apart, state = optimizer.update(gradients, state, apart)
        together, packed_state = optimizer.update(found.pack(gradients), packed_state, together)
    same(found.unpack(together), apart)
    same(flatten(found.unpack_moments(packed_state)), flatten(state))


@pytest.mark.parametrize("name", ["Adafactor", "Muon"])
def test_optimizers_of_whole_matrices_get_them(name):
    optimizer = getattr(optimizers, name)(learning_rate=1e-2)
    found = Packing(tree(), whole=not optimizer.elementwise)
    assert list(found.pack(flatten(tree()))) == list(flatten(tree()))
    state = optimizer.init(flatten(tree()))
    assert found.pack_moments(state) is state
