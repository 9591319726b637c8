"""Arrays as text, as mlx.core writes them."""

import mlx.core as theirs
import numpy as np
import pytest

import mlxffi.core as ours

INEXACT = ("float16", "bfloat16", "float32", "float64", "complex64")
PRECISIONS = (-1, -3, 0, 1, 4, 17, 100, 120)
SHAPES = ((), (1,), (7,), (6,), (0,), (2, 0), (0, 3), (2, 3), (1, 9), (2, 3, 4), (8, 2, 7), (1, 1, 1, 2))


def made(mx, values, dtype):
    """An array that is computed on the CPU, where float64 is at home."""
    with mx.stream(mx.cpu):
        array = mx.array(values).astype(getattr(mx, dtype))
        mx.eval(array)
    return array


def texts(values, dtype, precision, part=lambda array: array):
    """The text of both libraries."""
    found = []
    for mx in (ours, theirs):
        with mx.stream(mx.cpu), mx.printoptions(precision=precision):
            array = part(made(mx, values, dtype))
            mx.eval(array)
            found.append(str(array))
    return found


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("dtype", [*INEXACT, "int8", "uint64", "bool_"])
def test_text_is_that_of_mlx(dtype, precision):
    for shape in SHAPES:
        size = int(np.prod(shape))
        values = (np.arange(size, dtype=np.float32) * 37.25 - 5 * size).reshape(shape)
        found, wanted = texts(values, dtype, precision)
        assert found == wanted, shape


@pytest.mark.parametrize("precision", [-1, 2])
@pytest.mark.parametrize("dtype", ["bool_", "float32", "complex64", "float16"])
def test_views_are_printed_as_they_lie(dtype, precision):
    values = np.arange(24, dtype=np.float32).reshape(4, 6) % 5
    for part in (lambda a: a.T, lambda a: a[:, ::-2], lambda a: a[1:, 3], lambda a: a[None, :, :1]):
        found, wanted = texts(values, dtype, precision, part)
        assert found == wanted


@pytest.mark.parametrize("dtype", INEXACT)
def test_what_is_no_number(dtype):
    values = np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, 0.0, 65504, 1e-7], np.float32)
    for precision in (0, 3, 9):
        found, wanted = texts(values, dtype, precision)
        # A bfloat16 that is no number has no sign in MLX (docs/differences.md).
        assert (found.replace("-nan", "nan") if dtype == "bfloat16" else found) == wanted
    with_signs = np.array([complex(a, b) for a in values for b in values], np.complex64)
    found, wanted = texts(with_signs[:6], "complex64", 3)
    assert found == wanted


def test_an_array_is_computed_for_its_text():
    for mx in (ours, theirs):
        with mx.printoptions(precision=2):
            assert str(mx.array([1.0, 2.0]) + 0.5) == "array([1.50, 2.50], dtype=float32)"
        assert str(mx.array([True, False]) & mx.array([True, True])) == "array([True, False], dtype=bool)"


def test_an_array_without_a_value_has_a_text():
    array = ours.array.__new__(ours.array)
    assert str(array) == repr(array) == "array(without a value)"
