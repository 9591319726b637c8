"""What C reads by itself: numbers, lists, buffers, keys and keywords; with the values and errors of mlx.core."""

import copy
import ctypes
import enum
import gc
import inspect
import io
import pickle
import threading
import time
import weakref

import both
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlxffi.core as mx
from mlxffi import memory

DTYPES = [f"{kind}{bits}" for kind in ("uint", "int") for bits in (8, 16, 32, 64)]
DTYPES += ["bool_", "float16", "float32", "bfloat16", "complex64"]

# --- what goes in ---

NUMBERS = st.one_of(
    st.booleans(),
    st.integers(-300, 300),
    st.integers(-(2**66), 2**66),
    st.floats(width=32),
    st.floats(),
    st.complex_numbers(max_magnitude=1e30),
)
LEAVES = st.one_of(NUMBERS, st.just("x"), st.none())
# Lists only: tuples beside lists, which mlx.core refuses in some orders, are as good as lists here.
UNEVEN = st.recursive(NUMBERS, lambda inner: st.lists(inner, max_size=3), max_leaves=12)


def rows(leaves):
    """Lists as deep and as long as each other."""
    shapes = st.lists(st.integers(0, 3), min_size=1, max_size=3)
    return shapes.flatmap(lambda shape: _of_shape(leaves, shape))


def _of_shape(leaves, shape):
    for size in reversed(shape):
        leaves = st.lists(leaves, min_size=size, max_size=size)
    return leaves


def require_same(value, dtype=None):
    both.same(lambda mx: mx.array(value) if dtype is None else mx.array(value, getattr(mx, dtype)))


# What a processor makes of a NaN or of a float that no integer holds, and NaN's bits, are no promise.
def is_plain(value):
    if isinstance(value, (list, tuple)):
        return all(map(is_plain, value))
    parts = (value.real, value.imag) if isinstance(value, complex) else (value,)
    return all(part == part and abs(part) < 2**31 for part in parts if isinstance(part, (int, float)))


@settings(max_examples=300)
@given(rows(st.one_of(st.integers(-(2**31), 2**31 - 1), st.floats(allow_nan=False, width=32), st.booleans())))
def test_lists_of_numbers_are_those_of_mlx(value):
    require_same(value)


@settings(max_examples=400)
@given(st.one_of(rows(NUMBERS), rows(LEAVES), UNEVEN))
def test_any_list_is_what_mlx_makes_of_it(value):
    if is_plain_or_refused(value):
        require_same(value)


def is_plain_or_refused(value):
    """Not with NaNs of a sign or payload of their own."""
    if isinstance(value, (list, tuple)):
        return all(map(is_plain_or_refused, value))
    return value is None or isinstance(value, str) or value == value


@settings(max_examples=400)
@given(rows(NUMBERS).filter(is_plain), st.sampled_from(DTYPES))
def test_lists_with_a_dtype_are_those_of_mlx(value, dtype):
    require_same(value, dtype)


@settings(max_examples=300)
@given(NUMBERS.filter(is_plain), st.sampled_from([None, *DTYPES]))
def test_numbers_are_those_of_mlx(value, dtype):
    require_same(value, dtype)


@pytest.mark.parametrize("bits", [range(0, 2**16, 7), range(2**16 - 300, 2**16)])
def test_halves_are_rounded_as_numpy_rounds_them(bits):
    exact = np.array([*bits], np.uint16).view(np.float16).astype(np.float64)
    exact = exact[np.isfinite(exact)]
    between = (exact + np.roll(exact, 1)) / 2
    for values in (exact, between, between * (1 + 1e-4), between * (1 - 1e-4)):
        numbers = values.astype(np.float32)
        with np.errstate(over="ignore"):
            wanted = numbers.astype(np.float16)
        assert bytes(mx.array(numbers.tolist(), mx.float16)) == wanted.tobytes()


def test_lists_of_arrays_are_stacked_with_their_graphs():
    x = mx.array(2.0)
    assert mx.grad(lambda v: mx.sum(mx.array([[v, v], [v, x]])))(x).item() == 3
    with pytest.raises(ValueError, match="non-uniform"):
        mx.array([mx.zeros(2), mx.zeros(3)])
    assert mx.array([[mx.zeros(2)], [mx.zeros(2)]]).shape == (2, 1, 2)


def test_a_list_that_contains_itself_is_refused():
    value = []
    value.append(value)
    with pytest.raises(RecursionError, match="contains itself"):
        mx.array(value)
    uneven = 1
    for _ in range(3000):
        uneven = [uneven, 1]
    with pytest.raises(ValueError, match="non-uniform"):
        mx.array(uneven)


def test_names_and_operands_are_those_of_python():
    a = mx.array([[1, 2], [3, 4]])
    assert mx.sum(a, **{"".join(["ax", "is"]): 0}).tolist() == [4, 6]
    assert mx.sum.__call__(a, axis=(0, 1)).item() == 10
    with pytest.raises(TypeError, match=r"sum\(\) got an unexpected keyword argument 'axs'"):
        mx.sum(a, axs=0)
    with pytest.raises(ValueError, match="add: expected numbers and arrays, got array and list"):
        mx.add(a, [1])
    with pytest.raises(TypeError, match="subtract in place: expected numbers and arrays, got array and None"):
        a -= None


def test_lists_of_any_depth_are_those_of_mlx():
    value = [1, 2.5]
    for depth in range(3000):
        value = [value]
        if depth in (14, 15, 16, 2999):
            require_same(value)


# --- what comes out ---


@pytest.mark.parametrize("dtype", DTYPES)
def test_elements_are_those_of_mlx(dtype):
    text = f"mx.array([[0, 1, 100], [3, 4, 250]]).astype(mx.{dtype})"
    for made in (text, f"{text}.T", f"{text}[:, ::-1]", f"mx.broadcast_to({text}[0], (2, 3))", f"{text}[:, :0]"):
        both.same(f"{made}.tolist()")
        both.same(f"[type(number) for row in {made}.tolist() for number in row]")
    both.same(f"[one.item() for one in {text}[1]]")
    for function in ("int", "float", "complex", "bool", "operator.index"):
        both.same(f"{function}({text}[1, 0])")
        both.same(f"{function}({text}[:1, :1])")
        both.same(f"{function}({text})")


@given(st.lists(st.floats(width=16), min_size=1, max_size=20))
def test_halves_come_out_as_they_are(numbers):
    found = mx.array(np.array(numbers, np.float16)).tolist()
    assert np.array(found).tobytes() == np.array(numbers).tobytes() or np.isnan(numbers).any()
    assert all(a == b or (a != a and b != b) for a, b in zip(found, numbers, strict=True))


# --- buffers ---


@pytest.mark.parametrize("dtype", DTYPES)
def test_views_are_those_of_mlx(dtype):
    array = f"mx.array([[0, 1, 2], [3, 4, 5]]).astype(mx.{dtype})"
    for made in (array, f"{array}.T", f"{array}[:, 0]", f"{array}[:, ::2]", f"{array}[1, 1]", f"{array}[:0]"):
        shown = "(view.format, view.itemsize, view.shape, view.readonly, view.nbytes, view.tobytes())"
        both.same(f"view = memoryview({made});; {shown}")


def test_a_view_keeps_the_memory_of_an_array_that_changes():
    before = memory.live_handles()["array"]
    array = mx.array([1.0, 2, 3])
    view = memoryview(array)
    array += 1
    array[0] = 9
    del array
    assert view.tolist() == [1, 2, 3]
    # The view has an array of its own beside that which it keeps.
    assert memory.live_handles()["array"] == before + 2
    del view
    assert memory.live_handles()["array"] == before


def test_numpy_shares_the_memory_and_may_write_to_it():
    array = mx.array([1.0, 2, 3])
    shared = np.asarray(array)
    shared[0] = 7
    assert array.tolist() == [7, 2, 3]
    assert (ctypes.c_float * 3).from_buffer(array)[0] == 7
    assert np.array(array) is not shared


def test_a_view_in_another_order_than_asked_for_is_an_error():
    for array in (mx.array([[1, 2], [3, 4]]).T, mx.array([1, 2, 3, 4])[::2]):
        with pytest.raises(BufferError, match="row order"):
            io.BytesIO().write(array)
    assert memoryview(mx.array([[1, 2], [3, 4]]).T).f_contiguous


@pytest.mark.parametrize("dtype", ["?", "b", "B", "h", "H", "i", "I", "q", "Q", "e", "f", "d", "F", "D"])
def test_buffers_become_arrays_as_in_mlx(dtype):
    values = np.array([[0, 1, 2], [3, 4, 5]]).astype(dtype)
    for source in (
        values,
        values.T,
        values[:, ::2],
        values[1, 1],
        values[:0],
        values.astype(values.dtype.newbyteorder()),
    ):
        require_same(source)
        require_same(source, "float32")
        require_same(source, "float16")


# --- operations as objects ---


def test_operations_look_like_the_functions_that_they_stand_for():
    assert mx.exp.__name__ == mx.exp.__qualname__ == "exp"
    assert mx.exp.__doc__
    assert str(inspect.signature(mx.sum)).startswith("(a: 'array', /, axis")
    assert repr(mx.exp) == "<operation exp>"
    assert pickle.loads(pickle.dumps(mx.exp)) is copy.deepcopy(mx.exp) is mx.exp
    assert weakref.ref(mx.exp)() is mx.exp
    assert mx.array([1.0]).exp().item() == mx.exp(mx.array([1.0])).item()
    assert mx.array.sum(mx.array([1.0, 2])).item() == 3
    bound = mx.array([1.0, 2]).sum
    assert bound(axis=0).item() == 3


CALLS = """
mx.sum(x, None, True)
mx.sum(x, keepdims=True, axis=(0, 1))
mx.sum(x, axis=[0], **{'keep' + 'dims': True})
mx.sum(a=x)
mx.sum(x, axis=0, axes=1)
mx.sum(x, 0, axis=0)
mx.sum()
mx.sum(x, 0, False, None)
mx.sum(x, np.int64(1))
mx.sum(x, range(2))
mx.sum(x, 2**40)
mx.sum(x, True)
mx.sum(x, stream=mx.cpu)
mx.sum(x, stream=mx.default_stream(mx.cpu))
mx.sum(x, stream=mx.Device(mx.cpu))
mx.sum(x, stream=3)
mx.add(x, 2**40)
mx.add(2**70, x)
mx.add(x, True)
mx.add(True, 1.5)
mx.add(1, 2)
mx.add(x, np.float32(1))
mx.add(x, [1, 2])
x.reshape(3, -1)
x.reshape((3, 2))
x.reshape([3, 2], stream=mx.cpu)
x.reshape(shape=(3, 2))
x.reshape(3.0, 2)
x.transpose()
x.transpose([1, 0])
x.transpose(1, 0)
x.transpose(0, 0)
mx.einsum('ij\\0', x)
mx.arange(4, dtype=mx.float16)
mx.arange(1, dtype=None)
mx.arange(stop=3, start=1)
mx.arange(1, stop=3, step=1)
mx.arange(0, 1, 0)
mx.arange(3, bad=1)
mx.concatenate([x, x], axis=None)
mx.concatenate([x, 1.0])
mx.concatenate([])
mx.zeros((1,) * 20).shape
mx.transpose(mx.zeros((1,) * 20), tuple(range(20))).shape
mx.zeros((1,) * 20)[(0,) * 20].shape
mx.conv2d(mx.ones((1, 4, 4, 2)), mx.ones((2, 2, 2, 2)), (1, 2, 3))
mx.full((2,), 1.5, mx.int32)
mx.full((2,), 300, mx.uint8)
mx.where(True, x, 1)
mx.clip(x, 0, None)
mx.clip(x, None, None)
""".strip().splitlines()


@pytest.mark.parametrize("call", CALLS)
def test_calls_of_every_form_are_those_of_mlx(call):
    both.same(f"x = mx.array([[1.0, 2, 3], [4, 5, 6]]);; {call}")


def activated(mx):
    class Layer:
        activation = mx.exp

        def __call__(self, x):
            return self.activation(x)

    return Layer()(mx.array([0.0, 1.0]))


def test_an_operation_is_an_attribute_of_a_class_as_in_mlx():
    both.same(activated, exact=False)
    np.testing.assert_allclose(activated(mx), np.exp([0.0, 1.0]), rtol=1e-6)


def activations(mx):
    return [choice.name for choice in enum.Enum("Activation", {"EXP": mx.exp})]


def test_an_operation_is_a_member_of_an_enumeration_as_in_mlx():
    both.same(activations)
    assert activations(mx) == ["EXP"]


def test_a_method_is_bound_to_the_array_only():
    a = mx.array([1.0, 2.0])
    assert a.sum().item() == type(a).sum(a).item() == 3.0
    assert not hasattr(mx.sum, "__get__")
    assert type(a).sum.__get__(a)().item() == 3.0


def test_an_array_without_a_value_is_an_error_in_every_operation():
    empty, other = mx.array.__new__(mx.array), mx.array([2.0])
    attempts = [lambda: mx.exp(empty), lambda: empty + other, lambda: other + empty, lambda: empty.tolist()]
    attempts += [lambda: empty[0], lambda: other.__setitem__(0, empty), lambda: empty.at[0].add(1)]
    for attempt in attempts:
        with pytest.raises(ValueError, match="never given a value"):
            attempt()


def test_an_array_may_be_replaced_while_another_thread_waits_for_it():
    for pause in (0, 1e-5, 1e-4, 1e-3):
        array = mx.full((200, 200), 0.5) @ mx.full((200, 200), 2.0)
        thread = threading.Thread(target=lambda one=array, pause=pause: (time.sleep(pause), one.__init__(1.0)))
        thread.start()
        found = array.tolist()
        assert found == 1.0 or len(found) == 200
        thread.join()
        del array, thread


def test_parts_to_update_may_refer_to_themselves():
    key = []
    part = mx.array([1.0, 2]).at[key]
    key.append(part)
    there = weakref.ref(type(part))
    del part, key
    gc.collect()
    assert there() is mx.ArrayAt
