"""`array[key]` and `array[key] = value` mean what they mean in numpy."""

import copy
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import mlxffi as m
from mlxffi import Array

FORMS = {
    "array": Array,
    "numpy": lambda index: index,
    "list": lambda index: index.tolist(),
}


@st.composite
def positions(draw, size):
    """An array of valid positions on an axis."""
    shape = draw(st.sampled_from([(), (1,), (2,), (3,), (2, 1), (1, 2)]))
    dtype = draw(st.sampled_from([np.int32, np.int64, np.int8]))
    return draw(arrays.arrays(dtype, shape, elements=st.integers(-size, size - 1)))


@st.composite
def keys(draw, shape):
    """A key for an array of that shape, with numpy arrays where it has arrays."""
    key, axis, ellipsis = [], 0, False
    while axis < len(shape):
        kind = draw(st.sampled_from(["int", "slice", "slice", "none", "positions", "mask", "ellipsis", "stop"]))
        size = shape[axis]
        if kind == "stop" and not ellipsis:
            break
        if kind == "none":
            key.append(None)
        elif kind == "ellipsis" and not ellipsis:
            ellipsis = True
            key.append(...)
            axis = draw(st.integers(axis, len(shape)))
        elif kind == "int" and size:
            key.append(draw(st.integers(-size, size - 1)))
            axis += 1
        elif kind == "positions" and size:
            key.append(draw(positions(size)))
            axis += 1
        elif kind == "mask":
            covered = draw(st.integers(0, len(shape) - axis))
            key.append(draw(arrays.arrays(np.bool_, shape[axis : axis + covered])))
            axis += covered
        else:
            key.append(draw(st.slices(size)))
            axis += 1
    return tuple(key)


@st.composite
def arrays_and_keys(draw):
    shape = draw(arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    return np.arange(np.prod(shape, dtype=int), dtype=np.int32).reshape(shape), draw(keys(shape))


def converted(key, form):
    """A key whose numpy arrays are Arrays or lists. Lists without elements do not say whether they are masks."""
    return tuple(FORMS[form](part) if isinstance(part, np.ndarray) and part.size else part for part in key)


def result(run):
    """What numpy answers; None where it refuses."""
    try:
        return run()
    except (IndexError, ValueError):
        return None


# --- reading ---


@settings(max_examples=400, deadline=None)
@given(arrays_and_keys(), st.sampled_from(sorted(FORMS)))
def test_reading_means_what_it_means_in_numpy(case, form):
    source, key = case
    wanted = result(lambda: source[key])
    if wanted is None:
        with pytest.raises(IndexError):
            Array(source)[converted(key, form)]
        return
    found = Array(source)[converted(key, form)]
    assert found.shape == wanted.shape
    assert found.tolist() == wanted.tolist()


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint64", "float16", "bfloat16", "float64", "complex64"])
def test_every_dtype_can_be_indexed(dtype):
    array = m.astype(Array([[1, 0, 3], [0, 5, 0]]), dtype)
    assert array[1, [2, 0]].dtype is array.dtype
    assert array[::-1, 1:][array[:, 1:] != 0].size == 2
    assert array[1, 1].item() == (True if dtype == "bool" else 5)


def test_one_index_without_a_tuple_is_enough():
    source = np.arange(6).reshape(2, 3)
    array = Array(source)
    for key in (1, -1, slice(None), slice(5, 0, -2), None, ..., [1, 0], np.array([True, False]), np.int8(1)):
        assert array[key].tolist() == source[key].tolist()


def test_a_list_without_elements_takes_none():
    assert Array([[1, 2], [3, 4]])[[]].shape == (0, 2)
    assert Array([[1, 2], [3, 4]])[:, [[], []]].shape == (2, 2, 0)


def test_an_array_without_axes_is_a_position():
    array = Array([[1, 2], [3, 4]])
    assert array[Array(1)].tolist() == [3, 4]
    assert array[:, Array(0)].tolist() == [1, 3]
    assert array[Array(1) : Array(2)].tolist() == [[3, 4]]


def test_steps_of_any_size_are_fine():
    array = Array([1, 2, 3])
    assert array[:: 2**40].tolist() == [1]
    assert array[:: -(2**40)].tolist() == [3]
    assert array[-(2**70) : 2**70].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (3, "expected positions from -3 to 2 on axis 0, got 3"),
        ((slice(None), -3), "expected positions from -2 to 1 on axis 1, got -3"),
        ([0, 4], "expected positions from -3 to 2 on axis 0, got 4"),
        (np.array([[-9]]), "expected positions from -3 to 2 on axis 0, got -9"),
        ((0, 0, 0), "expected at most 2 indices for shape [3, 2], got 3"),
        ((..., ...), "expected at most one ..., got more"),
        (np.zeros(2, bool), "expected a mask of shape [3] from axis 0 on, got [2]"),
        (([0, 1], [0, 1, 0]), "expected arrays of positions that broadcast together, got shapes [2] and [3]"),
        (1.0, "expected ints, slices, None, ..., and arrays of ints or bools, got float"),
        ("a", "expected ints, slices, None, ..., and arrays of ints or bools, got str"),
        ([0.5], "expected ints, slices, None, ..., and arrays of ints or bools, got list"),
    ],
)
def test_a_key_that_does_not_fit_is_an_index_error(key, message):
    array = Array([[1, 2], [3, 4], [5, 6]])
    for error in (m.Error, IndexError):
        with pytest.raises(error, match=f"^{re.escape(f'[index] {message}')}$"):
            array[key]
    with pytest.raises(IndexError):
        array[key] = 0
    assert array.tolist() == [[1, 2], [3, 4], [5, 6]]


def test_positions_on_an_axis_without_elements_are_an_error():
    with pytest.raises(IndexError, match="on axis 1, got 0"):
        m.zeros([2, 0], "float32")[:, Array([0])]


def test_gradients_flow_through_an_index():
    def loss(x):
        return [m.sum(x[0][1:, [0, 2]] * 3 + x[0][None, -1, ::-2])]

    _, (gradient,) = m.value_and_grad(loss)(Array([[1.0, 2, 3], [4, 5, 6]]))
    assert gradient.tolist() == [[0, 0, 0], [4, 0, 4]]


def test_an_index_can_be_compiled():
    step = m.compile(lambda x: [x[0][x[1], 1:], x[0][[1, 0], :1]])
    rows, order = Array([[1, 2, 3], [4, 5, 6]]), Array([1, 1])
    assert [part.tolist() for part in step([rows, order])] == [[[5, 6], [5, 6]], [[4], [1]]]


# --- writing ---


@st.composite
def values_for(draw, shape, excess):
    """Values that broadcast to a shape: some of its axes, each whole or of one element, or all and some in excess."""
    sizes = [draw(st.sampled_from([size, 1])) for size in shape]
    sizes = sizes[draw(st.integers(0, len(sizes))) :] if draw(st.booleans()) else [*[1] * excess, *sizes]
    return np.arange(100, 100 + np.prod(sizes, dtype=int), dtype=np.int32).reshape(sizes)


def positions_differ(source, key):
    """Whether a key takes no element twice: numpy alone says which of two values stays."""
    taken = np.arange(source.size).reshape(source.shape)[key]
    return np.unique(taken).size == taken.size


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_writing_means_what_it_means_in_numpy(data):
    source, key = data.draw(arrays_and_keys())
    part = result(lambda: source[key])
    if part is None or not positions_differ(source, key):
        return
    # numpy allows no axes in excess for a single element and under some masks.
    masked = any(isinstance(entry, np.ndarray) and entry.dtype.kind == "b" for entry in key)
    values = data.draw(values_for(part.shape, excess=0 if masked or not part.ndim else 1))
    array, before = Array(source), Array(source)
    untouched = copy.copy(array)
    form, kind = data.draw(st.sampled_from(sorted(FORMS))), data.draw(st.sampled_from([Array, np.array]))
    array[converted(key, form)] = kind(values)
    source[key] = values
    assert array.tolist() == source.tolist()
    assert untouched.tolist() == before.tolist()


def test_values_take_the_dtype_of_the_array():
    array = Array([1, 2, 3])
    array[0] = 7.9
    array[1:] = Array([1.5, -1.5])
    assert array.dtype is m.Array(0).dtype
    assert array.tolist() == [7, 1, -1]


def test_writing_gives_the_object_new_values_and_leaves_other_arrays_alone():
    array = Array([[1, 2], [3, 4]])
    row, same = array[0], array
    array[0] = 9
    array[1, 1] += 10
    assert same is array
    assert array.tolist() == [[9, 9], [3, 14]]
    assert row.tolist() == [1, 2]


def test_a_mask_with_one_value_is_not_computed():
    clipped = m.compile(lambda x: [with_zeros(x[0])])
    assert clipped([Array([-1.0, 2, -3])])[0].tolist() == [0, 2, 0]


def with_zeros(array):
    array[array < 0] = 0
    return array


@pytest.mark.parametrize("value", [np.zeros(3), np.zeros((2, 1)), [[1, 2, 3]], np.zeros((2, 2, 2))])
def test_values_that_do_not_broadcast_are_an_error(value):
    array = Array([[1, 2], [3, 4]])
    with pytest.raises(ValueError, match=r"\[index\] expected values that broadcast to shape \[2\], got \["):
        array[0] = value
    with pytest.raises(ValueError, match=r"\[index\] expected values that broadcast to shape"):
        array[Array([True, False])] = np.zeros((3, 3))
    assert array.tolist() == [[1, 2], [3, 4]]


def test_gradients_flow_through_an_assignment():
    def loss(x):
        array = m.multiply(x[0], 2)
        array[1:, [0]] = x[1]
        return [m.sum(array * array)]

    _, gradients = m.value_and_grad(loss, 0, 1)(Array([[1.0, 2], [3, 4]]), Array([[5.0]]))
    assert [gradient.tolist() for gradient in gradients] == [[[8, 16], [0, 32]], [[10]]]


def test_an_argument_that_a_loss_assigns_to_is_not_the_callers():
    def loss(x):
        x[0][0] = 0
        return [m.sum(x[0])]

    point = Array([1.0, 2.0])
    _, (gradient,) = m.value_and_grad(loss)(point)
    assert gradient.tolist() == [0, 1]
    assert point.tolist() == [1, 2]
