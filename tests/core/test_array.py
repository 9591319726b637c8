"""`array` against mlx.core: expressions from files, and products of operators, dtypes, shapes and operands."""

import itertools
import pickle
import subprocess
import sys
import weakref
from pathlib import Path

import ml_dtypes
import mlx.core
import numpy as np
import pytest
from both import outcome, same

import mlxffi
import mlxffi.core as mx

FILES = sorted((Path(__file__).parent / "expressions").glob("*.txt"))
DTYPES = [
    "bool_", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64",
    "bfloat16", "complex64",
]  # fmt: skip
OPERATORS = ["+", "-", "*", "/", "//", "%", "**", "&", "|", "^", "<<", ">>", "<", "<=", ">", ">=", "==", "!=", "@"]
SCALARS = ["True", "3", "2.5", "1j", "None", "'a'", "[2]", "np.int64(2)", "np.float32(1.5)", "np.array([2, 3])"]
SHAPES = ["[2, 3]", "[[1], [4]]", "2", "[]", "[[[1, 2]]]"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_expressions(path):
    for text in path.read_text().splitlines():
        same(text)


@pytest.mark.parametrize("operator", OPERATORS)
def test_operators_of_all_dtypes(operator):
    for left, right in itertools.product(DTYPES, DTYPES):
        if not undefined(operator, left, right):
            same(f"mx.array([5, 1], mx.{left}) {operator} mx.array([2, 1], mx.{right})")


@pytest.mark.parametrize("operator", OPERATORS)
def test_operators_with_scalars(operator):
    for dtype, scalar in itertools.product(DTYPES, SCALARS):
        same(f"mx.array([5, 1], mx.{dtype}) {operator} {scalar}")
        if not scalar.startswith("np") and not undefined(operator, dtype, dtype):
            same(f"{scalar} {operator} mx.array([5, 1], mx.{dtype})")


@pytest.mark.parametrize("operator", OPERATORS)
def test_operators_of_shapes(operator):
    for left, right in itertools.product(SHAPES, SHAPES):
        same(f"mx.array({left}, mx.int32) {operator} mx.array({right}, mx.int32)")


@pytest.mark.parametrize("operator", OPERATORS[:12] + OPERATORS[-1:])
def test_in_place(operator):
    for dtype, other in itertools.product(DTYPES, [*SCALARS, "mx.array([2.5, 1])", "mx.array([[2], [1]])"]):
        same(f"a = mx.array([5, 1], mx.{dtype});; b = a;; a {operator}= {other};; (a is b, b)")


def undefined(operator, left, right):
    """Shifts by all of an element's bits and more, and int8 powers, are left to the processor."""
    return operator in ("<<", ">>") and "bool_" in (left, right) and left == right


@pytest.mark.parametrize("dtype", DTYPES)
def test_conversions(dtype):
    for value in ("3", "-3", "2.75", "-2.75", "300", "1e6", "True", "1 + 2j", "float('inf')"):
        same(f"mx.array([{value}, 0], mx.{dtype})")
        same(f"mx.array({value}, mx.{dtype})")
    for other in DTYPES:
        same(f"mx.array([5, 1, 0], mx.{other}).astype(mx.{dtype})")
        same(f"mx.array(mx.array([5, 1, 0], mx.{other}), mx.{dtype})")
        same(f"mx.array([[5, 1, 0, 2, 5, 6, 7, 8]], mx.{other}).view(mx.{dtype})")
    for text in ("{0}.tolist()", "{0}[0].item()", "bool({0}[0])", "-{0}", "~{0}", "abs({0})", "{0}.T", "{0}.real"):
        same(text.format(f"mx.array([5, 1], mx.{dtype})"))
    # mlx.core's pickles make float32 of float64.
    texts = ["pickle.loads(pickle.dumps({0}))"] if dtype != "float64" else []
    for text in ("{0}.imag", "copy.copy({0})", "copy.deepcopy({0})", "{0}.nbytes", *texts):
        same(text.format(f"mx.array([5, 1], mx.{dtype})"))
    for text in ("np.array({0})", "{0}.__array__()", "repr({0})", "str({0}[0])", "format({0}[0])", "{0}.itemsize"):
        same(text.format(f"mx.array([5, 1], mx.{dtype})"))
    for text in ("complex({0}[0])", "float({0}[0])", "int({0}[0])", "operator.index({0}[0])", "{0}.__getstate__()"):
        same(text.format(f"mx.array([5, 1], mx.{dtype})"))


NUMPY = [
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64",
    "complex64", "complex128",
]  # fmt: skip


@pytest.mark.parametrize("dtype", NUMPY)
def test_from_numpy(dtype):
    values = f"np.arange(24).astype('{dtype}').reshape(2, 3, 4)"
    for part in ("", ".T", "[0]", "[:, 1]", "[0, 0, 0]", "[:0]", "[:, ::2]"):
        same(f"mx.array({values}{part})")
        same(f"mx.array({values}{part}, mx.float16)")
    same(f"memoryview({values}).tolist() == mx.array(memoryview({values})).tolist()")
    same(f"mx.array([1.5]) + {values}")
    same(f"mx.add({values}, {values})")


def test_from_bfloat16_of_numpy():
    values = np.array([1.5, 2], ml_dtypes.bfloat16)
    assert repr(mx.array(values)) == repr(mlx.core.array(values))
    assert repr(mx.array(values, mx.int8)) == repr(mlx.core.array(values, mlx.core.int8))


def test_references_see_what_happens_in_place():
    a = mx.array([1, 2])
    b = [a]
    c = a + 0
    a += 1
    a[0] = 9
    assert b[0] is a
    assert b[0].tolist() == [9, 3]
    assert c.tolist() == [1, 2]


def test_an_array_is_what_it_is():
    a, b = mx.array([1]), mx.array([1])
    assert hash(a) == hash(a) != hash(b)
    assert len({a, b}) == 2
    assert weakref.ref(a)() is a
    assert type(mx.array(mlxffi.Array([1]))) is mx.array


def test_pickles_keep_identity():
    a = mx.array([[1, 2]])
    first, second = pickle.loads(pickle.dumps([a, a]))
    assert first is second
    assert first.tolist() == [[1, 2]]


def test_iteration():
    for text in ("list({0})", "len({0})", "[x.shape for x in {0}]", "next(iter({0}))", "list(reversed({0}))"):
        for array in ("mx.arange(12).reshape(3, 4)", "mx.zeros((0, 2))", "mx.array([1, 2, 3])", "mx.array(1)"):
            if outcome(text.format(array), mlx.core) is not StopIteration:
                same(text.format(array))


def test_an_array_without_a_value_is_refused_and_has_a_text():
    a = mx.array.__new__(mx.array)
    assert repr(a) == "array(without a value)"
    with pytest.raises(ValueError, match="never given a value"):
        a.tolist()


def test_views_of_numpy_share_memory():
    a = mx.arange(6).reshape(2, 3)
    view = np.asarray(a)
    del a
    view[0, 0] = 7
    assert view.tolist() == [[7, 1, 2], [3, 4, 5]]
    backwards = np.asarray(mx.arange(6)[::-2])
    assert backwards.tolist() == [5, 3, 1]


@pytest.mark.parametrize("convert", [mx.asarray, mx.from_dlpack, lambda a: mx.asarray(a, mx.int32)])
def test_a_converted_array_is_another_object(convert):
    a = mx.array([1, 2, 3])
    b = convert(a)
    b[0] = 9
    b += 1
    assert (a.tolist(), b.tolist()) == ([1, 2, 3], [10, 3, 4])


def test_dlpack():
    a = mx.array([[1, 2], [3, 4]]).T
    assert np.from_dlpack(a).tolist() == [[1, 3], [2, 4]]
    assert mx.array(np.from_dlpack(a)).tolist() == [[1, 3], [2, 4]]
    assert np.from_dlpack(a, copy=True).flags.writeable


def test_bools_are_printed_without_mlx_core():
    program = "import mlxffi.core as mx; print(mx.array([True, False]))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "array([True, False], dtype=bool)\n"
