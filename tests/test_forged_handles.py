"""A number that is no handle, wherever a program puts it, is an error of the call that meets it."""

import contextlib

import pytest
from helpers import CPYTHON, needs_own_mlxc

import mlxffi as m
from mlxffi import Array

pytestmark = needs_own_mlxc


class Lookalike:
    """Has a handle where an Array has its own."""

    def __init__(self, handle):
        self._h = handle


class Liar(Lookalike):
    """Says that it is an Array, too."""

    __class__ = Array


NEIGHBOUR, DEVICE, STREAM = Array([1.0, 2.0]), m.Device("cpu"), m.Stream()
NUMBERS = {
    "8": 8, "-1": -1, "no address": 2**62, "the least": -(2**63), "a Python object": id(NEIGHBOUR),
    "beside a handle": NEIGHBOUR._h + 1, "before a handle": NEIGHBOUR._h - 8,
    "start of a chunk": NEIGHBOUR._h >> 20 << 20,
    "end of a chunk": (NEIGHBOUR._h >> 20 << 20) + 2**20 - 24, "another kind": DEVICE._device,
    "another kind's": STREAM._stream,
}  # fmt: skip


@pytest.fixture(params=NUMBERS)
def number(request):
    return NUMBERS[request.param]


def test_no_array_owns_it(number):
    with pytest.raises(m.Error):
        Array._own(number).tolist()


@pytest.mark.parametrize("kind", [Lookalike, Liar])
def test_methods_refuse_what_has_it(kind, number):
    fake, other = kind(number), Array([1.0, 2.0])
    with pytest.raises((m.Error, TypeError)):
        Array.__add__(fake, other)
    for name, method in vars(Array).items():
        call = method.__get__ if isinstance(method, property) else method
        for arguments in ([], [other], [0, other]):
            if callable(call) and name not in ("__new__", "__del__"):
                with contextlib.suppress(Exception):
                    call(fake, *arguments)
    assert other.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("kind", [Lookalike, Liar])
@pytest.mark.parametrize(
    "call",
    [m.abs, m.eval, Array, lambda x: m.add(NEIGHBOUR, x), lambda x: m.stack([NEIGHBOUR, x]), lambda x: NEIGHBOUR[x],
     lambda x: m.fast.rms_norm(x, None, 1e-5), lambda x: m.fast.rms_norm(NEIGHBOUR, x, 1e-5),
     lambda x: m.random.normal([1], "float32", 0.0, 1.0, x), lambda x: m.vjp(lambda _: [x], [NEIGHBOUR], [NEIGHBOUR])],
)  # fmt: skip
def test_functions_refuse_what_has_it(kind, call, number):
    with pytest.raises((m.Error, TypeError, AttributeError)):
        call(kind(number))


def test_an_array_that_is_given_it_is_of_no_use(number):
    array = Array(1.0)
    mine, array._h = array._h, number
    try:
        with pytest.raises(m.Error, match="expected an mlx_array, got"):
            array + 1
    finally:
        array._h = mine


@pytest.mark.skipif(not CPYTHON, reason="an Array has no finalizer")
def test_a_handle_with_two_owners_is_freed_once():
    first, second = Array(1.0), Array(2.0)
    mine, first._h = first._h, second._h
    del first
    with pytest.raises(m.Error, match="expected an mlx_array, got a handle that was freed"):
        second.eval()
    second._h = mine
    assert second.item() == 1.0


@pytest.mark.parametrize("kind", [m.Stream, m.Device])
def test_nothing_else_owns_it(kind, number):
    if number not in (DEVICE._device, STREAM._stream):
        with pytest.raises(m.Error):
            repr(kind._own(number))


def test_c_is_told_of_a_handle_that_was_freed_twice():
    handle = m.ffi.new("mlx_array *", m.lib.mlx_array_new_int(1))[0]
    assert m.lib.mlx_array_free(handle) == 0
    assert m.lib.mlx_array_free(handle) == 1
    assert m.lib.mlx_array_size(handle) == 0
    m.lib.mlxffi_clear_error()
