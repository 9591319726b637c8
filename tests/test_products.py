"""Float32 products in parts for the threads: every layout, any edge, several at once, and one thread on wish."""

import os
import subprocess
import sys

import numpy as np
import pytest
from helpers import together

import mlxffi as m

# What is cut along its rows, along its columns, into parts of unequal size, and not at all.
SHAPES = [
    (512, 300, 256),
    (70, 1000, 300),
    (129, 4097, 64),
    (4097, 129, 64),
    (1, 9000, 1000),
    (600, 1, 9000),
    (8, 8, 8),
]


def laid(values, transposed):
    """An Array whose rows, or else columns, lie side by side."""
    array = m.Array((values.T if transposed else values).copy())
    return m.transpose(array) if transposed else array


def close(found, expected, inner):
    np.testing.assert_allclose(np.array(found.tolist()), expected, rtol=0, atol=3e-6 * np.sqrt(inner) * 4)


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize(("rows", "columns", "inner"), SHAPES)
def test_products_of_every_layout(rows, columns, inner, left, right):
    rng = np.random.default_rng(rows)
    a, b = (rng.normal(size=shape).astype(np.float32) for shape in ((rows, inner), (inner, columns)))
    found = m.matmul(laid(a, left), laid(b, right))
    close(found, a.astype(float) @ b, inner)


def test_products_that_add_to_their_result():
    rng = np.random.default_rng(0)
    a, b, c = (rng.normal(size=shape).astype(np.float32) for shape in ((400, 200), (200, 500), (400, 500)))
    found = m.addmm(m.Array(c), m.Array(a), m.Array(b), 0.5, 2.0)
    close(found, 0.5 * (a.astype(float) @ b) + 2.0 * c, 200)


def test_products_on_several_threads_at_once():
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(400, 400)).astype(np.float32) for _ in range(2))
    expected, results = a.astype(float) @ b, []

    def run(_):
        for _ in range(5):
            results.append(np.array(m.matmul(m.Array(a), m.Array(b)).tolist()))

    assert together(run, 4) == []
    for found in results:
        np.testing.assert_allclose(found, expected, rtol=0, atol=3e-4)
        np.testing.assert_array_equal(found, results[0])


PROGRAM = """
import numpy as np, mlxffi as m
a, b = (np.random.default_rng(i).normal(size=(500, 300)).astype(np.float32) for i in range(2))
found = np.array(m.matmul(m.Array(a), m.Array(b.T.copy())).tolist())
cpu = m.default_stream(m.Device("cpu"))
inverse = m.linalg.inv(m.Array((a[:300] + 30 * np.eye(300)).astype(np.float32)), stream=cpu)
print(np.abs(found - a.astype(float) @ b.T).max() < 2e-4, np.isfinite(inverse.tolist()).all())
"""


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"OPENBLAS_NUM_THREADS": "1"},
        {"MLXFFI_NUM_THREADS": "1"},
        {"MLXFFI_NUM_THREADS": "9"},
        {"MLXFFI_NUM_THREADS": "no"},
    ],
)
def test_products_under_every_setting_of_threads(settings):
    environment = {**os.environ, **settings}
    command = [sys.executable, "-c", PROGRAM]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert (result.returncode, result.stdout) == (0, "True True\n"), result.stderr
