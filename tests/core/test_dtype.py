"""Dtypes, categories and limits against mlx.core."""

import copy
import pickle

import mlx.core
import pytest
from both import same

import mlxffi.core as mx

DTYPES = [
    "bool_", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64",
    "bfloat16", "complex64",
]  # fmt: skip
CATEGORIES = [
    "complexfloating", "floating", "inexact", "signedinteger", "unsignedinteger", "integer", "number", "generic",
]  # fmt: skip
KINDS = [
    "bool", "signed integer", "unsigned integer", "integral", "real floating", "complex floating", "numeric",
]  # fmt: skip


@pytest.mark.parametrize("name", DTYPES)
def test_dtype(name):
    for text in ("repr({0})", "str({0})", "{0}.size", "hash({0})", "{0} == {0}", "{0} == 'float32'", "{0}.foo"):
        same(text.format(f"mx.{name}"))
    same(f"mx.zeros((2,), mx.{name}).dtype == mx.{name}")
    assert mx.zeros((2,), getattr(mx, name)).dtype is getattr(mx, name)
    for kind in ("finfo", "iinfo"):
        same(f"repr(mx.{kind}(mx.{name}))")
        for limit in ("min", "max", "dtype", "eps", "bits", "smallest_normal"):
            same(f"mx.{kind}(mx.{name}).{limit}")


def test_a_dtype_is_one_object():
    assert copy.deepcopy(mx.float32) is mx.float32
    assert pickle.loads(pickle.dumps(mx.bool_)) is mx.bool_
    assert {mx.float32: 1}[mx.zeros(1).dtype] == 1


def test_dtype_has_no_constructor():
    same("mx.Dtype()")
    same("mx.finfo(3)")
    same("mx.iinfo()")


@pytest.mark.parametrize("value", ["float32", 3, [], {}, 1.5])
@pytest.mark.parametrize("kind", [mx.finfo, mx.iinfo])
def test_limits_say_what_they_got(kind, value):
    with pytest.raises(TypeError, match=f"arg: expected a Dtype, got {type(value).__name__}"):
        kind(value)


@pytest.mark.parametrize("limits", ["mx.finfo(mx.float32)", "mx.iinfo(mx.int8)"])
def test_limits_cannot_be_changed(limits):
    for change in ("{0}.max = 3", "del {0}.max", "{0}.other = 3"):
        same(f"{change.format(limits)};; 1")
    assert mx.finfo(mx.float32).max == 3.4028234663852886e38
    assert mx.iinfo(mx.int8).max == 127


@pytest.mark.parametrize("kind", ["finfo", "iinfo"])
def test_limits_of_other_things(kind):
    for arguments in ("", "3", "None", "mx.bool_", "arg=mx.int8", "mx.int8, mx.int8", "mx.zeros(1)", "mx.floating"):
        same(f"mx.{kind}({arguments})")
    same(f"[mx.{kind}(mx.uint8 if '{kind}' == 'iinfo' else mx.float16).max for _ in range(3)]")


def test_a_class_derived_from_limits_has_objects_of_its_own():
    same("Mine = type('Mine', (mx.iinfo,), {});; (type(Mine(mx.int8)).__name__, Mine(mx.int8).max)")


def test_categories():
    for category in CATEGORIES:
        for text in ("repr({0})", "str({0})", "{0}.value", "{0}.name", "{0} == 1", "{0} == {0}"):
            same(text.format(f"mx.{category}"))
    assert pickle.loads(pickle.dumps(mx.floating)) is mx.floating
    assert len(mx.DtypeCategory) == len(mlx.core.DtypeCategory)


@pytest.mark.parametrize("name", DTYPES + CATEGORIES)
def test_issubdtype(name):
    for other in DTYPES + CATEGORIES:
        same(f"mx.issubdtype(mx.{name}, mx.{other})")
    same(f"mx.issubdtype(mx.{name}, 3)")
    same(f"mx.issubdtype('a', mx.{name})")


@pytest.mark.parametrize("name", DTYPES)
def test_promotion(name):
    for other in DTYPES:
        same(f"mx.result_type(mx.{name}, mx.{other})")
        same(f"mx.result_type(mx.{name}, mx.zeros(1, mx.{other}), mx.int8)")
        same(f"mx.can_cast(mx.{name}, mx.{other})")
        same(f"mx.isdtype(mx.{name}, mx.{other})")
    for kind in KINDS:
        same(f"mx.isdtype(mx.{name}, {kind!r})")
    same(f"mx.isdtype(mx.{name}, ('bool', mx.int8, 'real floating'))")
    same(f"mx.result_type(mx.{name})")


@pytest.mark.parametrize(
    "text",
    [
        "mx.result_type()",
        "mx.result_type(1)",
        "mx.result_type(mx.int8, 1.0)",
        "mx.can_cast(mx.array(1), mx.int8)",
        "mx.can_cast(1, mx.int8)",
        "mx.can_cast(from_=mx.int8, to=mx.int8)",
        "mx.isdtype(mx.int8, 'foo')",
        "mx.isdtype(mx.int8, ())",
        "mx.isdtype(mx.int8, mx.integer)",
        "mx.isdtype(3, 'bool')",
        "mx.isdtype(mx.int8, ['bool'])",
        "mx.isdtype(mx.int8, 3)",
    ],
)
def test_edges(text):
    same(text)
