"""Heads for attention out of one array, beside their definition in float64."""

import fused_oracle as oracle
import numpy as np
import pytest
from helpers import error_of, needs_own_mlxc
from losses_oracle import array_of, as_numpy

import mlxffi as m
from mlxffi import fused

RNG = np.random.default_rng(7)
COUNT, KEY_COUNT, WIDTH, POSITIONS, EPS = 3, 1, 6, 4, 1e-5
TOLERANCE = {"float32": 1e-5, "float16": 1e-2, "bfloat16": 6e-2}
ANGLES = np.arange(POSITIONS)[:, None] * 100.0 ** (-np.arange(0, WIDTH, 2) / WIDTH)
TURNS = np.cos(ANGLES), np.stack([-np.sin(ANGLES), np.sin(ANGLES)], 1)


def wanted(x, norms):
    """Queries, keys and values of rows [batch, positions, features]."""
    heads = x.reshape(*x.shape[:-1], -1, WIDTH)
    parts = np.split(heads, [COUNT, COUNT + KEY_COUNT], -2)
    for place, norm in enumerate(norms):
        normed = parts[place] if norm is None else oracle.rms_norm(parts[place], norm, EPS)
        parts[place] = oracle.rope(normed.swapaxes(-2, -3), WIDTH, base=100.0).swapaxes(-2, -3)
    return parts


@pytest.mark.parametrize("normed", [True, False])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_values_are_those_of_norms_and_rotations(dtype, normed):
    x, numbers = array_of(RNG.normal(size=(2, POSITIONS, (COUNT + 2 * KEY_COUNT) * WIDTH)), dtype)
    norms = [array_of(1 + RNG.normal(size=WIDTH) / 4, dtype) if normed else (None, None) for _ in range(2)]
    turns = [m.Array(table.astype(np.float32)) for table in TURNS]
    found = fused.heads(x, *turns, norms[0][0], norms[1][0], COUNT, KEY_COUNT, EPS)
    for one, right in zip(found, wanted(numbers, [norm for _, norm in norms]), strict=True):
        assert one.dtype.name == dtype
        assert one.shape == right.shape
        np.testing.assert_allclose(as_numpy(one), right, rtol=0, atol=TOLERANCE[dtype])


def test_rows_may_have_positions_of_their_own():
    x, tables = RNG.normal(size=(2, POSITIONS, 4 * WIDTH)), [np.concatenate([table, table[::-1]]) for table in TURNS]
    whole = fused.heads(m.Array(x), *map(m.Array, tables), None, None, 2, 1, EPS)
    for row, part in enumerate((slice(0, POSITIONS), slice(POSITIONS, None))):
        alone = fused.heads(m.Array(x[row]), *(m.Array(table[part]) for table in tables), None, None, 2, 1, EPS)
        for one, other in zip(whole, alone, strict=True):
            np.testing.assert_array_equal(as_numpy(one)[row], as_numpy(other))


REFUSED = {
    "x": {"x": (POSITIONS, 4 * WIDTH + 1)},
    "cosines": {"cosines": (3, WIDTH // 2)},
    "sines": {"sines": (POSITIONS, WIDTH // 2)},
    "query_norm": {"query_norm": (WIDTH + 1,)},
    "key_norm": {"key_norm": None},
    "heads": {"count": 0},
}


@needs_own_mlxc
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    given = {"x": (POSITIONS, 4 * WIDTH), "cosines": (POSITIONS, WIDTH // 2), "sines": (POSITIONS, 2, WIDTH // 2)}
    given |= {"query_norm": (WIDTH,), "key_norm": (WIDTH,), "count": 2, **REFUSED[name]}
    count = given.pop("count")
    arrays = {key: None if shape is None else m.ones(shape) for key, shape in given.items()}
    assert f"`{name}`" in str(error_of(lambda: fused.heads(**arrays, count=count, key_count=1, eps=EPS)))
