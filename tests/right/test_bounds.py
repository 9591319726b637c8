"""Arrays of indices that lie outside: nothing is read or written elsewhere."""

import os
import subprocess
import sys

import numpy as np
import pytest

import mlxffi
import mlxffi.core as mx

X, Y = np.arange(3.0, dtype=np.float32), np.arange(12.0, dtype=np.float32).reshape(3, 4)


def written(array, index, value):
    array = mx.array(array)
    array[index] = value
    return array


def updated(i):
    return mx.slice_update(mx.array(Y), mx.zeros((2, 2)), i, axes=(0, 1))


def products(i):
    return mx.gather_mm(mx.ones((1, 1, 4)), mx.array(Y).reshape(3, 4, 1), rhs_indices=i)


def quantized_products(i):
    return mx.gather_qmm(mx.ones((1, 1, 64)), *mx.quantize(mx.ones((3, 32, 64))), rhs_indices=i)


# What uses indices, from indices, of which 9 lies outside; and what is left of it where 9 is clamped.
READS = {
    "take": (lambda i: mx.take(mx.array(X), i), X[[1, 2]]),
    "take of an axis": (lambda i: mx.take(mx.array(Y), i, axis=1), Y[:, [1, 3]]),
    "index": (lambda i: mx.array(X)[i], X[[1, 2]]),
    "rows": (lambda i: mx.array(Y)[i], Y[[1, 2]]),
    "pairs": (lambda i: mx.array(Y)[i, i], Y[[1, 2], [1, 3]]),
    "take_along_axis": (lambda i: mx.take_along_axis(mx.array(X), i, axis=0), X[[1, 2]]),
    "gather_mm": (products, Y[[1, 2]].sum(1)[:, None, None]),
    "gather_qmm": (quantized_products, np.full((2, 1, 32), 64.0)),
    "slice": (lambda i: mx.slice(mx.array(Y), i, axes=(0, 1), slice_size=(2, 2)), Y[1:, 2:]),
}  # fmt: skip
WRITES = {
    "assignment": (lambda i: written(X, i, 7.0), [0, 7, 7]),
    "put_along_axis": (lambda i: mx.put_along_axis(mx.array(X), i, mx.array(7.0), axis=0), [0, 7, 7]),
    "add": (lambda i: mx.array(X).at[i].add(2.0), [0, 3, 4]),
    "subtract": (lambda i: mx.array(X).at[i].subtract(2.0), [0, -1, 0]),
    "multiply": (lambda i: mx.array(X).at[i].multiply(2.0), [0, 2, 4]),
    "divide": (lambda i: mx.array(X).at[i].divide(2.0), [0, 0.5, 1]),
    "maximum": (lambda i: mx.array(X).at[i].maximum(5.0), [0, 5, 5]),
    "minimum": (lambda i: mx.array(X).at[i].minimum(-5.0), [0, -5, -5]),
    "slice_update": (updated, np.where((Y > 5) & (Y % 4 > 1), 0, Y)),
}  # fmt: skip
ALL = {**READS, **WRITES}
OUTSIDE = [1, 9]


@pytest.mark.parametrize("name", ALL)
def test_known_indices_out_of_bounds_are_errors(name):
    with pytest.raises(IndexError, match=r"\[indices\] expected positions from -?\d to \d on axis [01], got 9"):
        ALL[name][0](mx.array(OUTSIDE))


@pytest.mark.parametrize("name", ALL)
def test_indices_that_are_computed_later_are_clamped(name):
    function, expected = ALL[name]
    np.testing.assert_array_equal(np.array(function(mx.array(OUTSIDE) + 0)), expected)


@pytest.mark.parametrize("dtype", [mx.int8, mx.uint8, mx.int32, mx.uint64])
@pytest.mark.parametrize("later", [False, True])
def test_indices_of_every_type_from_both_ends(dtype, later):
    values = [0, 2] if dtype in (mx.uint8, mx.uint64) else [0, -1, -3, 2]
    indices = mx.array(values, dtype=dtype)
    found = mx.array(X)[indices + mx.array(0, dtype=dtype) if later else indices]
    np.testing.assert_array_equal(np.array(found), X[values])


INTEGERS = [mx.int8, mx.int16, mx.int32, mx.int64, mx.uint8, mx.uint16, mx.uint32, mx.uint64]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_one_index_outside_is_found_wherever_it_stands(dtype):
    info, size = np.iinfo(str(dtype).removeprefix("mlx.core.")), 50
    for wrong in {int(info.min), -size - 1, size + 1, int(info.max) - size, int(info.max) - size + 1, int(info.max)}:
        if info.min <= wrong <= info.max and not -size <= wrong < size:
            for place in (0, 70, 199):
                indices = np.arange(200, dtype=info.dtype) % size
                indices[place] = wrong
                with pytest.raises(IndexError, match=r"\[indices\]"):
                    mx.arange(size)[mx.array(indices)]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_many_indices_from_both_ends(dtype):
    values = np.arange(200) % 50 - (25 if dtype in INTEGERS[:4] else 0)
    np.testing.assert_array_equal(np.array(mx.arange(50)[mx.array(values).astype(dtype)]), values % 50)


def test_a_read_one_past_the_end_gets_the_last():
    assert mx.array(X)[mx.array([0, 3])].tolist() == [0, 2]
    with pytest.raises(IndexError, match="got 3"):
        written(X, mx.array([0, 3]), 1.0)
    with pytest.raises(IndexError, match="got -4"):
        mx.array(X)[mx.array([0, -4])]


def test_indices_of_any_strides_are_checked():
    grid = np.array([[0, 9], [1, 2]])
    for given in (mx.array(grid).T, mx.broadcast_to(mx.array(grid)[:, None], (2, 3, 2)), mx.array(grid)[:, 1:]):
        mx.eval(given)
        with pytest.raises(IndexError, match="got 9"):
            mx.take(mx.array(X), given)
    part = mx.array(grid)[:, :1]
    mx.eval(part)
    assert mx.take(mx.array(X), part).tolist() == [[0], [1]]


VIEWS = {
    "column": lambda i: i[:, None],
    "reshaped": lambda i: i.reshape(2, 1, 1),
    "repeated": lambda i: mx.broadcast_to(i, (3, 2)),
    "turned": lambda i: mx.broadcast_to(i[:, None], (2, 3)).T,
    "backwards": lambda i: i[::-1],
    "part": lambda i: i[1:],
    "stopped": lambda i: mx.stop_gradient(i[None]),
}


@pytest.mark.parametrize("of", VIEWS)
@pytest.mark.parametrize("inside", [[1, 2], [-3, 0]])
def test_views_of_known_indices_are_as_they_say_or_clamped(of, inside):
    view = VIEWS[of]
    shown = np.array(view(mx.array(inside)))
    np.testing.assert_array_equal(np.array(mx.array(X)[view(mx.array(inside))]), X[shown])
    np.testing.assert_array_equal(np.array(mx.array(Y)[view(mx.array(inside)), 1]), Y[shown, 1])
    outside = np.array(view(mx.array(OUTSIDE)))
    np.testing.assert_array_equal(np.array(mx.array(X)[view(mx.array(OUTSIDE))]), X[np.clip(outside, 0, 2)])
    expected = X.copy()
    expected[np.clip(outside, 0, 2)] = 7
    np.testing.assert_array_equal(np.array(written(X, view(mx.array(OUTSIDE)), 7.0)), expected)


def test_indices_under_transforms_are_clamped():
    x, i = mx.array(X), mx.array(OUTSIDE)
    assert mx.vmap(lambda i: x[i])(i).tolist() == [1, 2]
    assert mx.compile(lambda i: x[i])(i).tolist() == [1, 2]
    assert mx.grad(lambda x: x[i + 0].sum())(x).tolist() == [0, 1, 1]


def test_the_cffi_binding_has_the_same():
    with pytest.raises(IndexError, match="got 9"):
        mlxffi.take(mlxffi.Array(X), mlxffi.Array(OUTSIDE))


@pytest.mark.parametrize("size", [300, 990])
def test_blocks_whose_last_place_no_negative_index_says(size):
    """Of int8, for blocks of more than 128: they begin within the array all the same."""
    later = mlxffi.add(mlxffi.Array(np.array([-100, 5, 127, -128], np.int8)), mlxffi.Array(np.zeros(4, np.int8)))
    blocks = np.array(mlxffi.gather(mlxffi.Array(np.arange(1000, dtype=np.float32)), [later], [0], [size]))
    first = min(127, 1000 - size)
    np.testing.assert_array_equal(blocks, np.array([first, 5, first, first])[:, None] + np.arange(size))


def test_one_position_counted_from_the_end():
    assert mx.take(mx.array(X), -1).item() == 2
    assert mx.take(mx.array(Y), -3, axis=0).tolist() == Y[0].tolist()
    for position in (3, -4):
        with pytest.raises(IndexError, match=str(position)):
            mx.take(mx.array(X), position)


@pytest.mark.parametrize(("strides", "offset"), [((4, 1), 4), ((-4, 1), 3), ((2**40, 1), 0)])
def test_a_strided_view_lies_inside_the_array(strides, offset):
    with pytest.raises(ValueError, match="expected elements inside the 12"):
        mx.as_strided(mx.array(Y), (3, 4), strides, offset)
    backwards = mx.as_strided(mx.array(Y), (3, 4), (-4, -1), 11)
    np.testing.assert_array_equal(backwards, Y[::-1, ::-1])


def test_all_indices_are_checked_where_that_is_asked_for():
    code = (
        "import mlxffi.core as mx, test_bounds as cases\n"
        "for name, (function, _) in cases.ALL.items():\n"
        "    try: mx.eval(function(mx.array([1, 9]) + 0))\n"
        "    except IndexError as error: assert 'got 9' in str(error), error\n"
        "    else: raise SystemExit(name)\n"
        "    mx.eval(function(mx.array([1, 0]) + 0))\n"
        "x = mx.array([0.0, 1, 2])\n"
        "late = x[mx.array([0, 3]) + 0]\n"
        "for _ in range(2):\n"
        "    try: late.tolist()\n"
        "    except IndexError: print('again')\n"
    )
    here = os.path.dirname(__file__)
    environment = os.environ | {"MLXFFI_CHECK": "1", "PYTHONPATH": here}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert (result.returncode, result.stderr, result.stdout) == (0, "", "again\nagain\n")
