"""result_type, can_cast, buffer sizes and the array API's namespace, as mlx.core has them."""

import mlx.core as theirs
import pytest
from both import same
from specs import DTYPES, A, N, call

import mlxffi.core as ours

NAMES = (*DTYPES, "float64")


@pytest.mark.parametrize("first", NAMES)
def test_promotion(first):
    for second in NAMES:
        same(call("result_type", N(first), N(second)))
        same(call("can_cast", N(first), N(second)))
        same(call("can_cast", A((2,), first), N(second)))


@pytest.mark.parametrize("args", [(), (1.0,), ("x",), (N("int8"), 1.0), (None,), (N("int8"), A((2,)))])
def test_arguments(args):
    same(call("result_type", *args))
    same(call("can_cast", *args))


class Typed:
    """Neither an array nor a Dtype, though it has attributes of both."""

    dtype = ours.int32
    number = 3


def test_a_dtype_alone_makes_no_array():
    with pytest.raises(ValueError, match=r"^\[can_cast\] expected an array or a Dtype, got <class '.*Typed'>"):
        ours.can_cast(Typed(), ours.float32)
    with pytest.raises(TypeError, match="to: expected a Dtype, got Typed"):
        ours.can_cast(ours.int32, Typed())
    with pytest.raises(ValueError, match=r"^\[result_type\] expected an array or a Dtype, got <class '.*Typed'>"):
        ours.result_type(ours.int32, Typed())


def test_buffer_sizes():
    same(call("get_array_buffer_size"))
    same(call("get_array_buffer_size", 3, [None, "x"]))
    for mx in (ours, theirs):
        with pytest.raises(ValueError, match="evaluated"):
            mx.get_array_buffer_size(mx.ones(3))
    sizes = []
    for mx in (ours, theirs):
        array = mx.arange(8)
        mx.eval(array)
        sizes.append(mx.get_array_buffer_size(array, {"again": [array]}, (5, None)))
    assert sizes[0] == sizes[1] > 0


def test_namespace_info():
    for part in ("capabilities", "devices", "default_device", "default_dtypes"):
        same(f"mx.__array_namespace_info__().{part}()")
    kinds = ("bool", "signed integer", "unsigned integer", "integral", "real floating", "complex floating", "numeric")
    for kind in (None, *kinds, ("bool", "integral"), (), "other", 3):
        same(f"mx.__array_namespace_info__().dtypes(kind={kind!r})")
    same("mx.__array_namespace_info__().dtypes(device='cpu')")


def test_constants():
    for name in ("e", "euler_gamma", "inf", "pi", "newaxis", "__version__"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.nan != ours.nan


def test_names_are_those_of_mlx():
    ignored = {"_gc_func"}
    assert not {name for name in dir(theirs) if name not in ignored} - set(dir(ours))
