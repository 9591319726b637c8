"""Arrays of other libraries in both layers: any strides, kinds of numbers, versions of DLPack, and torch's tensors."""

import ctypes

import numpy as np
import pytest
from exporters import Exporter

import mlxffi as m
import mlxffi.core as mx

MAKE = {"core": mx.array, "core.from_dlpack": mx.from_dlpack, "flat": m.Array}


class Tensor(ctypes.Structure):
    """DLTensor, as DLPack 1.0 has it."""

    _fields_ = [
        ("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]  # fmt: skip


class Plain(ctypes.Structure):
    _fields_ = [("tensor", Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


class Versioned(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p), ("flags", ctypes.c_uint64), ("tensor", Tensor),
    ]  # fmt: skip


class Made:
    """An exporter of a capsule made here, over memory that it keeps."""

    def __init__(self, memory, shape, strides=None, *, code=2, bits=32, offset=0, versioned=True, data=True):
        self.memory = memory
        ints = ctypes.c_int64 * max(len(shape), 1)
        self.shape, self.strides = ints(*shape), strides and ints(*strides)
        address = memory.ctypes.data if data else None
        tensor = Tensor(address, 1, 0, len(shape), code, bits, 1, self.shape, self.strides, offset)
        self.managed = Versioned(1, 0, None, None, 1, tensor) if versioned else Plain(tensor, None, None)
        self.name = b"dltensor_versioned" if versioned else b"dltensor"

    def __dlpack_device__(self):
        return (1, 0)

    def __dlpack__(self, **_):
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return new(ctypes.addressof(self.managed), self.name, None)


def content(array):
    return array.dtype.name, array.shape, array.tolist()


NUMBERS = np.arange(12, dtype=np.float32)


@pytest.mark.parametrize("versioned", [True, False])
@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_capsules_in_every_layout(make, versioned):
    def taken(*arguments, **options):
        return content(make(Made(NUMBERS, *arguments, versioned=versioned, **options)))

    assert taken((2, 3)) == ("float32", (2, 3), [[0, 1, 2], [3, 4, 5]])
    assert taken((2, 2), offset=8) == ("float32", (2, 2), [[2, 3], [4, 5]])
    assert taken((3,), (-2,), offset=40) == ("float32", (3,), [10, 8, 6])
    assert taken((2, 2), (1, -4), offset=16) == ("float32", (2, 2), [[4, 0], [5, 1]])
    assert taken((2, 2), (0, 1)) == ("float32", (2, 2), [[0, 1], [0, 1]])
    assert taken(()) == ("float32", (), 0)
    assert taken((), offset=4) == ("float32", (), 1)
    assert taken((0, 3), data=False) == ("float32", (0, 3), [])
    assert taken((2, 0), (7, -7)) == ("float32", (2, 0), [[], []])
    assert taken((1, 2), (10**12, 1)) == ("float32", (1, 2), [[0, 1]])


@pytest.mark.parametrize("versioned", [True, False])
@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_capsules_of_complex_numbers(make, versioned):
    narrow = np.array([1 + 2j, 3 - 4j, 5], np.complex64)
    wide = np.array([1 + 2j, 3 - 4j, 5e300], np.complex128)
    found = make(Made(narrow.view(np.float32), (3,), code=5, bits=64, versioned=versioned))
    assert content(found) == ("complex64", (3,), narrow.tolist())
    found = make(Made(wide.view(np.float64), (2,), (-1,), offset=16, code=5, bits=128, versioned=versioned))
    assert content(found) == ("complex64", (2,), [3 - 4j, 1 + 2j])


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize(
    "source",
    [
        NUMBERS.reshape(3, 4)[:, ::-2], NUMBERS.reshape(3, 4).T, NUMBERS[::-1], NUMBERS[:0], NUMBERS[3:4].reshape(()),
        np.arange(6).astype(np.complex64)[::2], np.arange(6).astype(np.complex128)[::-1], np.arange(6) > 2,
    ],
    ids=lambda source: f"{source.dtype}{source.strides}",
)  # fmt: skip
def test_what_exports_capsules_alone(make, source, old):
    name, shape, values = content(make(Exporter(source, old=old)))
    assert (shape, values) == (source.shape, source.tolist())
    assert name == {"complex128": "complex64"}.get(source.dtype.name, source.dtype.name)


def test_memory_that_may_only_be_read_stays_as_it_is():
    source = NUMBERS.copy()
    source.flags.writeable = False
    for make in MAKE.values():
        for exported in (source, Exporter(source)):
            array = make(exported)
            array += 1
            result = array * 2
            del array
            assert result.tolist() == ((NUMBERS + 1) * 2).tolist()
    assert source.tolist() == NUMBERS.tolist()


class OnlyArray:
    def __array__(self, dtype=None, copy=None):
        return NUMBERS[::-1]


class OnlyInterface:
    def __init__(self):
        self.__array_interface__ = NUMBERS.__array_interface__


def test_what_has_another_protocol_alone():
    for make in (mx.array, m.Array):
        assert make(OnlyArray()).tolist() == NUMBERS[::-1].tolist()
        with pytest.raises((TypeError, ValueError), match="OnlyInterface"):
            make(OnlyInterface())


@pytest.mark.parametrize("dtype", [object, "U3", "f4,i4", np.longdouble])
def test_elements_that_mlx_lacks_are_named(dtype):
    source = np.zeros(2, dtype)
    for make in MAKE.values():
        with pytest.raises((TypeError, RuntimeError), match="expected elements of one of bool"):
            make(source)


# --- torch ---


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_tensors_of_torch(make):
    torch = pytest.importorskip("torch")
    numbers = torch.arange(12.0).reshape(3, 4)
    tensors = [
        numbers[:, ::2], numbers.T, numbers[1:], numbers[:0], numbers[0, 1], numbers[0].expand(2, 4), numbers > 3,
        numbers.to(torch.complex64), numbers.to(torch.complex64)[:, ::2], numbers.half(), numbers.to(torch.uint16),
        numbers.clone().requires_grad_(), numbers.clone().requires_grad_() * 2, torch.nn.Parameter(numbers),
        (numbers * 1j).conj(), (numbers * 1j).conj().imag, numbers.to(torch.complex128).T,
        numbers.reshape(1, 3, 2, 2).contiguous(memory_format=torch.channels_last), torch.nn.Buffer(numbers),
    ]  # fmt: skip
    for tensor in tensors:
        name, shape, values = content(make(tensor))
        assert (shape, values) == (tuple(tensor.shape), tensor.tolist())
        assert name == str(tensor.dtype).removeprefix("torch.").replace("128", "64")
    assert content(make(numbers.bfloat16())) == ("bfloat16", (3, 4), numbers.tolist())


def test_torch_reads_arrays():
    torch = pytest.importorskip("torch")
    square = [[1.0, 2.0], [3.0, 4.0]]
    for array in (
        mx.array(square),
        mx.array(square).T,
        mx.array([1, 2]),
        mx.array([1j]),
        m.Array(square),
        m.Array([1]),
    ):
        for read in (torch.from_dlpack, torch.as_tensor, torch.tensor):
            assert read(array).tolist() == array.tolist()


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_tensors_without_readable_memory_say_so(make):
    torch = pytest.importorskip("torch")
    for tensor in (torch.eye(2).to_sparse(), torch.ones(2, device="meta"), torch.ones(2).to(torch.float8_e4m3fn)):
        with pytest.raises((BufferError, ValueError, TypeError), match=r"strided|device type meta|8 bits of kind"):
            make(tensor)
