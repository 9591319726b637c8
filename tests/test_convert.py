"""Numbers, lists, numpy arrays and buffers become arrays, and arrays become numpy's and buffers."""

import array as arrays
import ctypes
import enum
import fractions
import io
import math
import mmap
import re
import sys
import threading

import numpy as np
import pytest
from exporters import NUMPY, Exporter, message, same, watched
from helpers import counts_references, needs_capsules, needs_own_mlxc
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as generated

import mlxffi as m
from mlxffi import Array, _memory, memory
from mlxffi import dtype as dtypes
from mlxffi._ffi import ffi, graph

# --- numbers and lists ---


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (True, "bool"), (3, "int32"), (2**31 - 1, "int32"), (2**31, "int64"), (-(2**31) - 1, "int64"),
        (2**63, "uint64"), (1.5, "float32"), (2j, "complex64"), ([], "float32"), ([[], []], "float32"),
        ([True, 2], "int32"), ([1, 2.5], "float32"), ([1.5, 2j], "complex64"), (((1, 2), [3, 4]), "int32"),
        ([1, 2**40], "int64"), ([[True]], "bool"),
    ],
)  # fmt: skip
def test_numbers_take_the_smallest_dtype_that_python_means(value, dtype):
    array = Array(value)
    assert array.dtype.name == dtype
    assert array.shape == np.shape(value)
    assert array.tolist() == np.array(value, complex if dtype == "complex64" else None).tolist()


@pytest.mark.parametrize("dtype", dtypes.DTYPES, ids=lambda dtype: dtype.name)
def test_numbers_become_any_dtype(dtype):
    for value in (1, [0, 1], [[1.0], [0.0]], [True, False], 1.75):
        array = Array(value, dtype)
        wanted = np.array(value).astype({"bfloat16": "float32"}.get(dtype.name, dtype.name))
        assert array.dtype is dtype
        assert array.tolist() == wanted.tolist()


def without_payload(number):
    """A NaN with no bits of its own: which of them a conversion keeps is nobody's promise."""
    return math.nan if math.isnan(number) else number


@given(st.lists(st.floats(width=64).map(without_payload), max_size=20))
def test_floats_round_to_narrow_types_as_numpy_rounds_them(numbers):
    with np.errstate(over="ignore"):
        for dtype in ("float16", "float32", "float64"):
            assert same(Array(numbers, dtype), np.array(numbers).astype(dtype))


@given(generated.arrays(np.float32, 8, elements=st.floats(width=32, allow_nan=False)))
def test_floats_round_to_bfloat16_to_the_nearest_even(numbers):
    bits = numbers.view("u4")
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    assert Array(numbers.tolist(), "bfloat16").tolist() == rounded.astype("u4").view("f4").tolist()
    assert Array(numbers, "bfloat16").tolist() == Array(numbers.tolist(), "bfloat16").tolist()


def test_a_nan_stays_one_in_every_float_type():
    for dtype in ("float16", "bfloat16", "float32", "float64"):
        value = Array([float("nan")], dtype).tolist()[0]
        assert value != value


def test_numbers_of_other_classes_are_numbers():
    colour = enum.IntEnum("colour", ["RED"])
    assert Array(colour.RED).dtype.name == "int32"
    assert Array([np.float32(1.5), 2]).dtype.name == "float32"
    assert Array(np.float64(0.1)).dtype.name == "float64"
    assert Array(np.uint8(7)).dtype.name == "uint8"
    assert Array(np.complex128(1j)).dtype.name == "complex64"
    assert Array(np.bool_(True)).dtype.name == "bool"


def test_arrays_in_a_list_are_stacked():
    rows = Array([[Array([1, 2]), [3, 4]], [[5.5, 6], Array([7, 8])]])
    assert rows.tolist() == [[[1, 2], [3, 4]], [[5.5, 6], [7, 8]]]
    assert Array([Array(1, "int8"), 2, 3]).dtype.name == "int8"
    assert Array([Array(1), np.zeros(())], "float16").dtype.name == "float16"


def test_gradients_flow_through_arrays_in_a_list():
    _, (gradient,) = m.value_and_grad(lambda x: [m.sum(Array([x[0], 2 * x[0], 1.0]))])(Array(1.0))
    assert gradient.item() == 3


def test_a_list_that_contains_itself_is_an_error():
    one, two, inner = [], [], [[1, 2]]
    one.append((one,))
    two += [two, two]
    inner.append(two)
    for value in (one, two):
        with pytest.raises(ValueError, match="expected nested lists of equal length, got a list that contains itself"):
            Array(value)
    with pytest.raises(ValueError, match="expected nested lists of equal length"):
        Array(inner)
    row = [1, 2]
    assert Array([[row, row], [row, row]]).shape == (2, 2, 2)


def test_none_is_no_array_but_where_one_may_be_left_out():
    one = Array([1.0])
    for call in (
        lambda: m.addmm(one, None, one),
        lambda: m.fast.rms_norm(None, one, 1e-5),
        lambda: m.concatenate([one, None]),
    ):
        with pytest.raises(TypeError, match=r"value: expected a number, .* got NoneType"):
            call()
    assert m.clip(2.0, None, one).tolist() == [1]


def test_an_array_of_an_array_shares_its_values():
    source = Array([1, 2])
    assert np.shares_memory(np.asarray(Array(source)), np.asarray(source))
    assert Array(source, "float32").tolist() == [1, 2]


@pytest.mark.parametrize(
    ("value", "dtype", "error", "text"),
    [
        ([1, 300], "uint8", ValueError, "value: expected numbers that fit in uint8, got 300"),
        (2**40, "int32", ValueError, "value: expected numbers that fit in int32, got 1099511627776"),
        (float("inf"), "int8", ValueError, "value: expected numbers that fit in int8, got inf"),
        (-(2**64), None, ValueError, "value: expected numbers that fit in int64, got -18446744073709551616"),
        (1j, "float32", TypeError, "value: expected real numbers for dtype float32, got 1j"),
        ([1, 1j], "float16", TypeError, "value: expected real numbers for dtype float16, got 1j"),
        ([[1, 2], [3]], None, ValueError, "value: expected nested lists of equal length, got rows of 1 and 2 elements"),
        ([1, [2]], None, ValueError, "value: expected nested lists of equal length, got numbers and rows side by side"),
        (
            [np.zeros(2), np.zeros(3)], None, ValueError,
            "value: expected nested lists of equal length, got rows of shapes [2] and [3]",
        ),
        (
            "text", None, TypeError,
            "value: expected a number, a nested list of numbers, or an object with the buffer protocol, __dlpack__ or "
            "__array__, got str",
        ),
        (
            [1, None], None, TypeError,
            "value: expected a number, a nested list of numbers, or an object with the buffer protocol, __dlpack__ or "
            "__array__, got NoneType in a list",
        ),
        (fractions.Fraction(1, 2), None, TypeError, None),
        (1, "float8", TypeError, None),
        (np.array(["a"]), None, TypeError, None),
        (np.array([object()]), None, TypeError, None),
        (np.zeros(2, "M8[s]"), None, TypeError, None),
        (np.zeros(2, "g"), None, TypeError, None),
        (np.zeros(2, "i4,f4"), None, TypeError, None),
    ],
)  # fmt: skip
def test_a_value_that_is_no_array_is_an_error(value, dtype, error, text):
    with pytest.raises(error, match=f"^{re.escape(text)}$" if text else "^(value|dtype): expected"):
        Array(value, dtype)


def test_lists_may_be_used_on_another_thread():
    made = []
    thread = threading.Thread(target=lambda: made.append([Array([1, 2], "bfloat16"), Array(np.arange(2.0), "float32")]))
    thread.start()
    thread.join()
    assert [array.tolist() for array in made[0]] == [[1, 2], [0, 1]]


# --- numpy ---


@pytest.mark.parametrize("dtype", NUMPY)
@pytest.mark.parametrize("order", "=<>")
def test_numpy_arrays_go_in_and_out_unchanged(dtype, order):
    source = (np.arange(24) % 7 - 3).astype(np.dtype(dtype).newbyteorder(order)).reshape(2, 3, 4)
    for view in (source, source.T, source[:, ::-1, 1::2], source[0, 0, 0], source[:0], np.asfortranarray(source)):
        assert same(Array(view), view)
        assert Array(view).tolist() == view.tolist()
    assert same(Array(np.broadcast_to(source[:, :1], source.shape)), np.broadcast_to(source[:, :1], source.shape))


@needs_capsules
@settings(deadline=None)
@given(
    generated.arrays(
        st.sampled_from([np.dtype(dtype) for dtype in NUMPY]),
        generated.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    )
)
def test_every_bit_survives(source):
    array = Array(source)
    assert same(array, source)
    assert same(np.from_dlpack(array), source)
    assert Array(Exporter(source)).shape == source.shape
    assert same(Array(Exporter(source)), source)


@needs_capsules
def test_complex128_becomes_complex64():
    source = np.array([[1 + 2j, 1 / 3], [-1j, 1e300]])
    for value in (source, source.T, source.astype(">c16"), Exporter(source), Exporter(source.T)):
        with np.errstate(over="ignore"):
            wanted = getattr(value, "source", value).astype("c8")
        assert Array(value).dtype.name == "complex64"
        assert same(Array(value), wanted)


def test_a_dtype_converts_numpy_arrays():
    assert Array(np.array([1.75, -2.5]), "int32").tolist() == [1, -2]
    assert Array(np.array([0, 2]), bool).tolist() == [False, True]
    assert Array(np.array([1.0]), np.float16).dtype.name == "float16"


@needs_capsules
def test_numpy_shares_the_memory_of_an_array_and_cannot_write_to_it():
    rows = Array([[1.0, 2, 3], [4, 5, 6]])
    assert np.shares_memory(np.asarray(rows), np.from_dlpack(rows))
    assert not np.asarray(rows).flags.writeable
    array = m.transpose(rows).eval()
    view = array.__array__()  # from CPython 3.12 on, np.asarray asks for a buffer, whose elements are in row order
    assert view.ctypes.data == int(ffi.cast("intptr_t", graph.glue_array_data(array._h)))
    assert view.strides == (4, 12)
    assert not view.flags.writeable
    assert np.shares_memory(view, np.from_dlpack(array))


def test_a_copy_for_numpy_can_be_written_to():
    array = Array([1, 2])
    for copied in (np.array(array), array.__array__(copy=True), np.array(array, dtype="f8")):
        copied[0] = 9
    assert array.tolist() == [1, 2]


def test_numpy_may_ask_for_a_dtype_and_forbid_a_copy():
    array = Array([1.5, 2])
    assert np.asarray(array, "f8").tolist() == [1.5, 2]
    assert array.__array__("f4", copy=False).dtype == "f4"
    with pytest.raises(ValueError, match=r"\[__array__\] expected copy to be None or True for float32 as f8"):
        array.__array__("f8", copy=False)


@needs_capsules
@needs_own_mlxc
def test_what_numpy_shares_outlives_the_array():
    array = Array([[1.0, 2], [3, 4]])
    views = [np.asarray(array), np.from_dlpack(array), memoryview(np.asarray(array))]
    array[0] = 0
    assert [np.asarray(view).tolist() for view in views] == [[[1, 2], [3, 4]]] * 3
    array.close()
    del array
    assert memory.live_handles()["array"] > 0
    assert [np.asarray(view).sum() for view in views] == [10] * 3


def test_bfloat16_is_float32_for_numpy_without_ml_dtypes(monkeypatch):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    array = Array([1.5, -2], "bfloat16")
    assert same(np.asarray(array), np.array([1.5, -2], "f4"))
    with pytest.raises(ValueError, match="ml_dtypes is not installed"):
        array.__array__(copy=False)


def test_bfloat16_goes_in_and_out_by_ml_dtypes():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    source = np.arange(-3, 3).astype(bfloat16).reshape(2, 3)
    for value in (source, source.T, source[:, ::-2], bfloat16(1.5)):
        array = Array(value)
        assert array.dtype.name == "bfloat16"
        assert np.asarray(array).dtype == bfloat16
        assert array.tolist() == np.asarray(value).astype("f4").tolist()


def test_numpy_does_not_take_over_operators():
    array, source = Array([1.0, 2]), np.array([3.0, 4], "f4")
    for result in (source + array, source / array, source == array, np.float32(2) * array, source @ array):
        assert type(result) is Array
    assert np.exp(array).dtype == "f4"


# --- buffers ---


@pytest.mark.parametrize(
    ("value", "dtype", "wanted"),
    [
        (b"\x01\xff", "uint8", [1, 255]),
        (bytearray(b"\x01\x02"), "uint8", [1, 2]),
        (arrays.array("d", [1.5, 2]), "float64", [1.5, 2]),
        (arrays.array("H", [1, 65535]), "uint16", [1, 65535]),
        (memoryview(b"abcdef")[::-2], "uint8", [102, 100, 98]),
        (memoryview(bytes(range(6))).cast("B", [2, 3]), "uint8", [[0, 1, 2], [3, 4, 5]]),
        ((ctypes.c_int16 * 2)(3, -4), "int16", [3, -4]),
        (((ctypes.c_float * 2) * 1)((1, 2)), "float32", [[1, 2]]),
        (ctypes.c_double(2.5), "float64", 2.5),
        (arrays.array("i"), "int32", []),
    ],
)
def test_anything_with_the_buffer_protocol_becomes_an_array(value, dtype, wanted):
    array = Array(value)
    assert array.dtype.name == dtype
    assert array.tolist() == wanted


@pytest.mark.skipif(sys.platform == "darwin", reason="Metal may share the memory")
def test_the_cpu_copies_a_buffer_and_lets_go_of_it_at_once():
    with mmap.mmap(-1, 1 << 16) as page:
        array = Array(page)
        page[0] = 7
        assert array[0].item() == 0
        page.resize(1 << 15)
    growing = bytearray(3)
    array = Array(growing)
    growing.append(1)
    assert array.size == 3


def test_the_exporter_of_a_buffer_is_let_go_of_once():
    for shape in ((1000, 1000), (3,), (0,), ()):
        source, deaths = watched(shape)
        array = Array(source)
        wanted = source.tolist()
        del source
        assert array.tolist() == wanted
        del array
        memory.live_handles()  # takes the keys out of the queue
        assert deaths == [1]


@counts_references
def test_a_buffer_that_cannot_be_adopted_is_let_go_of_once():
    source, deaths = watched((4,))
    assert "shape" in message(ValueError, _memory.adopt, source, [-1], dtypes.float32, source)
    assert "at most 2147483647 elements" in message(
        OverflowError, _memory.adopt, source, [2**31], dtypes.float32, source
    )
    del source
    assert deaths == [1]


# Before, a class of Python cannot have it; numpy lends the memory then.
buffers = pytest.mark.skipif(sys.version_info < (3, 12), reason="__buffer__ is new in CPython 3.12")


@buffers
@pytest.mark.parametrize("dtype", sorted(dtypes.LETTERS))
def test_arrays_have_the_buffer_protocol(dtype):
    array = Array([[1, 0, 1], [0, 1, 0]], dtype)
    view = memoryview(array)
    assert view.readonly
    assert (view.shape, view.strides, view.format) == (
        (2, 3),
        (3 * view.itemsize, view.itemsize),
        dtypes.LETTERS[dtype],
    )
    if dtype != "float16" or sys.version_info >= (3, 12):
        assert view.tolist() == array.tolist()


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0, 4)])
def test_numpy_sees_the_shape_of_what_has_no_elements(shape):
    assert np.asarray(m.zeros(list(shape))).shape == shape


@buffers
def test_a_buffer_outlives_the_array():
    array = Array([1, 2])
    view = memoryview(array)
    array[0] = 9
    del array
    assert view.tolist() == [1, 2]


@buffers
def test_a_buffer_is_for_reading_and_in_row_order():
    with pytest.raises((TypeError, BufferError)):
        ctypes.c_char.from_buffer(Array([1.0]))
    with pytest.raises(BufferError, match=r"a memoryview cannot hold bfloat16; use numpy"):
        memoryview(Array([1.0], "bfloat16"))
    assert memoryview(Array([], "int32")).shape == (0,)
    with pytest.raises(BufferError, match=r"a memoryview without elements cannot have the shape \[0, 3\]; use numpy"):
        memoryview(m.zeros([0, 3]))
    assert io.BytesIO().write(m.transpose(Array([[1, 2], [3, 4]]))) == 16
    assert memoryview(m.transpose(Array([[1, 2], [3, 4]]))).tolist() == [[1, 3], [2, 4]]
    assert memoryview(Array([])).tolist() == []
    assert memoryview(Array(2.5)).tolist() == 2.5


def test_an_object_with_an_array_method_becomes_an_array():
    class Table:
        def __array__(self):
            return np.array([[1, 2]])

    assert Array(Table()).tolist() == [[1, 2]]
