"""Arguments that mlx.core takes without a word, or refuses without a clear one: each with the right outcome."""

import json
import math
import string
import struct

import numpy as np
import pytest

import mlxffi as m
import mlxffi.core as mx

# --- places ---


@pytest.mark.parametrize("place", [3, -4, 5, 2**31, 2**33 + 1, 2**40, -(2**40), np.int64(3)])
def test_writes_out_of_bounds_are_errors(place):
    for key in (place, (place,), (place, slice(None)), (0, place), (..., place), (mx.array([0]), place)):
        x = mx.zeros((3, 3))
        with pytest.raises(IndexError, match=str(int(place))):
            x[key] = 1.0
        with pytest.raises(IndexError):
            x.at[key].add(1.0)
        with pytest.raises(IndexError):
            x[key]
        assert x.sum().item() == 0


def test_the_ends_of_slices_may_lie_anywhere():
    x = mx.zeros((3,))
    x[1:99] = 1.0
    x[-99:1] = 2.0
    x[5:9] = 3.0
    assert x.tolist() == [2, 1, 1]


# --- numbers ---


def test_the_rounding_of_an_array():
    assert round(mx.array([1.5, 2.5, -0.4])).tolist() == [2, 2, 0]
    np.testing.assert_allclose(np.array(round(mx.array([1.26]), 1)), [1.3], rtol=1e-6)
    assert round(mx.array([126]), -1).dtype == mx.int32


@pytest.mark.parametrize("value", [np.datetime64("2020"), np.timedelta64(1, "s"), np.zeros(2, "datetime64[D]")])
def test_times_of_numpy_are_refused_by_name(value):
    for make in (mx.array, mx.asarray):
        with pytest.raises(RuntimeError, match=str(value.dtype).partition("[")[0]):
            make(value)


def test_a_range_up_to_a_float_of_numpy():
    assert mx.arange(np.float64(3)).tolist() == [0, 1, 2]


# --- sizes ---

LONG = np.broadcast_to(np.uint8(1), (2**31, 0))


class LongCapsule:
    def __dlpack__(self, **options):
        return LONG.__dlpack__(**options)


@pytest.mark.parametrize("make", [mx.array, mx.asarray, mx.from_dlpack])
def test_axes_past_31_bits_are_overflows(make):
    for value in (LONG, np.broadcast_to(np.float32(1), (0, 2**31)), LongCapsule()):
        with pytest.raises(OverflowError, match="axes of at most 2147483647 elements"):
            make(value)
    with pytest.raises(OverflowError, match="2147483647"):
        m.Array(LONG)


def test_results_past_31_bits_are_overflows():
    half, row = mx.zeros((0, 2**30)), mx.broadcast_to(mx.array(1, mx.uint8), (2**20, 2**20))
    for work in (
        lambda: mx.concatenate([half, half], axis=1),
        lambda: mx.repeat(half, 2, axis=1),
        lambda: mx.tile(half, (1, 2)),
        lambda: mx.pad(half, ((0, 0), (2**30, 0))),
        row.flatten,
    ):
        with pytest.raises(OverflowError, match="outside the supported range"):
            work()
    with pytest.raises(OverflowError, match="outside the supported range"):
        m.concatenate_axis([m.zeros([0, 2**30])] * 2, 1)


# --- files ---


@pytest.mark.parametrize("names", [("a\0x", "a\0y"), ("a", "b")])
def test_names_and_metadata_with_nul(tmp_path, names):
    header = {name: {"dtype": "F32", "shape": [1], "data_offsets": [4 * i, 4 * i + 4]} for i, name in enumerate(names)}
    text = json.dumps({"__metadata__": {"key": "a\0b"}, **header}).encode()
    path = tmp_path / "nul.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + struct.pack("<ff", 1, 2))
    found, metadata = mx.load(str(path), return_metadata=True)
    assert {name: item.tolist() for name, item in found.items()} == {names[0]: [1], names[1]: [2]}
    assert metadata == {"key": "a\0b"}


def test_a_backslash_before_u0000_is_no_nul(tmp_path):
    path = str(tmp_path / "backslash.safetensors")
    mx.save_safetensors(path, {"a\\u0000": mx.array([1.0])})
    assert list(mx.load(path)) == ["a\\u0000"]


# --- packed matrices ---


def waves(*shape):
    return mx.sin(mx.arange(math.prod(shape), dtype=mx.float32)).reshape(shape)


def test_each_packed_matrix_of_a_batch_multiplies():
    w, x = waves(3, 40, 64), waves(5, 64)
    packed = mx.quantize(w)
    wanted = mx.dequantize(*packed).swapaxes(-1, -2)
    for rows in (x, x[0]):
        found = mx.quantized_matmul(rows, *packed)
        np.testing.assert_allclose(np.array(found), np.array(rows) @ np.array(wanted), atol=1e-4)


@pytest.mark.skipif(mx.default_device() != mx.cpu, reason="what a GPU reads is MLX's")
def test_an_index_of_no_packed_matrix_is_an_error():
    packed, x = mx.quantize(waves(3, 40, 64)), mx.ones((2, 1, 64))
    with pytest.raises(IndexError, match="expected positions from 0 to 2 on axis 0, got 7"):
        mx.gather_qmm(x, *packed, rhs_indices=mx.array([2, 7]))


@pytest.mark.skipif(mx.default_device() != mx.cpu, reason="a GPU rounds as MLX does")
def broadcast(*shape, dtype=mx.float32):
    return mx.broadcast_to(mx.array(1).astype(dtype), shape)


# The bits of their rows, counted in an int, are those of 64 numbers.
LONG_ROWS, GROUPS = broadcast(2, 2**29 + 8, dtype=mx.uint32), broadcast(2, 2**26 + 1)
BYTES = broadcast(2, 2**27 + 2, dtype=mx.uint8)
PACKED_PRODUCTS = {
    "quantized_matmul": lambda: mx.quantized_matmul(mx.ones((1, 64)), LONG_ROWS, GROUPS, GROUPS),
    "not transposed": lambda: mx.quantized_matmul(mx.ones((1, 2)), LONG_ROWS, GROUPS, GROUPS, transpose=False),
    "gather_qmm": lambda: mx.gather_qmm(
        mx.ones((1, 1, 64)), LONG_ROWS[None], GROUPS[None], GROUPS[None], rhs_indices=mx.array([0])
    ),
    "dequantize": lambda: mx.dequantize(LONG_ROWS, GROUPS, GROUPS),
    "qqmm": lambda: mx.qqmm(mx.ones((1, 64)), LONG_ROWS, BYTES, 32, 4, "mxfp4"),
}


@pytest.mark.parametrize("name", PACKED_PRODUCTS)
def test_packed_rows_that_are_too_long_are_refused(name):
    with pytest.raises(ValueError, match="argument `w`: expected a last axis of at most 67108863 elements, got"):
        PACKED_PRODUCTS[name]()


def test_packed_numbers_are_rounded_once():
    words, *groups = mx.quantize(waves(40, 64), bits=8)
    halves = [one.astype(mx.bfloat16) for one in groups]
    exact = mx.dequantize(words, *(one.astype(mx.float32) for one in halves), bits=8)
    assert mx.array_equal(mx.dequantize(words, *halves, bits=8), exact.astype(mx.bfloat16))


@pytest.mark.parametrize("index", [1, -1, 2**31 - 1])
def test_a_device_that_does_not_exist_is_refused_at_once(index):
    device, before = mx.Device(mx.cpu, index), mx.default_device()
    for refuse in (mx.new_stream, mx.new_thread_unsafe_stream, mx.set_default_device):
        with pytest.raises(IndexError, match=rf"expected a device that this process has, got Device\(cpu, {index}\)"):
            refuse(device)
    assert mx.default_device() == before


# --- text ---


@pytest.mark.parametrize("call", [mx.einsum, mx.einsum_path, lambda text, *arrays: m.einsum(text, arrays)])
def test_an_einsum_has_52_letters(call):
    def contracted(count, ending, axes=0):
        return call(",".join(letters[:count]) + ending, *[mx.ones([1])] * (count - 1), mx.ones([1] * (1 + axes)))

    letters = string.ascii_letters
    contracted(49, "->")
    contracted(48, "...->...", axes=4)
    with pytest.raises(ValueError, match="`subscripts`: expected at most 52 different characters, got 55"):
        contracted(52, "->")
    with pytest.raises(ValueError, match=r"`subscripts`: expected at most 52 labels and axes of .*, got 53"):
        contracted(48, "...->...", axes=5)


def test_a_precision_that_needs_too_much_stack_is_refused():
    array = mx.array([1.5])
    with mx.printoptions(precision=4096):
        assert str(array) == f"array([1.5{'0' * 4095}], dtype=float32)"
    with mx.printoptions(precision=5000), pytest.raises(ValueError, match="expected at most 4096, got 5000"):
        str(array)
    assert str(array) == "array([1.5], dtype=float32)"
