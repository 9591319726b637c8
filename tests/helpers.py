"""Comparing values and gradients with numbers computed another way.

`check_grads` holds the derivatives of a function against central differences in random directions, computed in
float64 on the CPU:

  forward mode   J v             for each argument, element by element
  reverse mode   <v, J^T w>      for each argument, which must be <J v, w>
  second order   the same two checks of the functions x -> J(x) v and x -> J(x)^T w

A complex number counts as two real ones; MLX's cotangents then are those of the real function.
"""

import contextlib
import itertools
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import mlxffi
from mlxffi import Array
from mlxffi._ffi import plain_mlxc

# Where there are reference counts an object dies with its last one; capsules are CPython's.
CPYTHON = sys.implementation.name == "cpython"
counts_references = pytest.mark.skipif(not CPYTHON, reason="is about reference counts")
needs_capsules = pytest.mark.skipif(not CPYTHON, reason="DLPack needs CPython's capsules")
# A build may be against somebody else's mlx-c.
needs_own_mlxc = pytest.mark.skipif(plain_mlxc, reason="needs the mlxffi_* functions of libmlxc")

# Relative error allowed for values and derivatives of a dtype. MLX computes several functions of float64 (sin, cos,
# exp, erf, ...) by float32 formulas, good to 1e-7, hence no more is asked of float64 than what a difference quotient
# of those gives.
TOLERANCE = {"float64": 1e-4, "float32": 5e-4, "complex64": 5e-4, "float16": 1e-2, "bfloat16": 1e-1}

# Differences over four points leave an error of order STEP**4, so that the step may be wide and the rounding of a
# function that is good to seven digits stays small against it.
STEP = 0.01
WEIGHTS = {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}
# What rounding leaves of a derivative that is 0.
ZERO = 2e-5


def numbers(array):
    """The elements of an Array as numpy's."""
    return np.array(array.tolist(), dtype=np.complex128 if array.dtype.kind == "c" else np.float64).reshape(array.shape)


def close(actual, expected, dtype=None, tolerance=None):
    """Require that an Array has the values of an array-like, to the tolerance of its dtype."""
    values = numbers(actual)
    allowed = tolerance or TOLERANCE[dtype or actual.dtype.name]
    np.testing.assert_allclose(values, np.asarray(expected), rtol=allowed, atol=allowed * _size(expected))


def check_grads(fn, args, order=2, modes=("fwd", "rev"), tolerance=TOLERANCE["float64"]):
    """Require that the derivatives of a function are those that its values tell.

    Args:
      fn: from a list of Arrays to a list of Arrays.
      args: the point; array-likes, taken as float64 or complex64.
      order: up to which derivative.
      modes: "fwd" for jvp, "rev" for vjp.
      tolerance: the relative error that is allowed.

    Raises:
      AssertionError: a derivative is wrong. The message begins with its name, such as "VJP of JVP of f".
    """
    for length in range(1, order + 1):
        for path in itertools.product(modes, repeat=length):
            check_path(fn, args, path, tolerance)


def check_path(fn, args, path, tolerance=TOLERANCE["float64"]):
    """The part of `check_grads` for one chain of modes: ("rev", "fwd") checks the JVP of the VJP."""
    rng = np.random.default_rng(7)
    name = getattr(fn, "__name__", "the function")
    with on_cpu():
        point = [as_input(value) for value in args]
        for mode in path[:-1]:
            fn, name = DERIVATIVES[mode](fn, point, rng), f"{NAMES[mode]} of {name}"
        CHECKS[path[-1]](fn, point, rng, f"{NAMES[path[-1]]} of {name}", tolerance)


def computed(program, **environ):
    """The numbers, by line, whose float64 bytes a program prints as hex digits in a process with these variables."""
    environment = {**os.environ, **environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])}
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return [np.frombuffer(bytes.fromhex(line)) for line in result.stdout.splitlines()]


def computed_by_any_number_of_threads(program):
    """The numbers that a program prints, which are the same to the bit for any number of threads."""
    expected = computed(program)
    for count in ("1", "7"):
        for one, other in zip(computed(program, MLXFFI_NUM_THREADS=count), expected, strict=True):
            np.testing.assert_array_equal(one, other)
    return expected


BASELINE, REFERENCE_BLAS = {"MLXFFI_SIMD": "baseline"}, {"MLXFFI_BLAS": "reference"}


def computed_alike(program, error, *settings):
    """Require that the numbers a program prints are the same for any number of threads, and close in these settings."""
    expected = computed_by_any_number_of_threads(program)
    for environ in settings:
        for one, other in zip(computed(program, **environ), expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=error * np.abs(other).max())


def error_of(call, kind=mlxffi.Error):
    """What a call raises, without the frames that it came through: these would keep arrays alive."""
    try:
        call()
    except kind as error:
        return error.with_traceback(None)
    raise AssertionError(f"expected {kind.__name__}, and nothing was raised")


@contextlib.contextmanager
def on_cpu():
    """Compute on the CPU, which alone knows float64."""
    before = mlxffi.default_device()
    mlxffi.set_default_device(mlxffi.Device("cpu"))
    try:
        yield
    finally:
        mlxffi.set_default_device(before)


def as_input(value):
    """An Array of float64 or complex64."""
    values = np.asarray(value)
    return Array(values.tolist(), "complex64" if values.dtype.kind == "c" else "float64")


# --- derivatives as functions of the point ---


def _forward(fn, point, rng):
    tangents = [_direction(array, rng) for array in point]
    return lambda inputs: mlxffi.jvp(fn, inputs, tangents)[1]


def _reverse(fn, point, rng):
    cotangents = [_direction(array, rng) for array in fn(point)]
    return lambda inputs: mlxffi.vjp(fn, inputs, cotangents)[1]


# --- checks ---


def _check_forward(fn, point, rng, name, tolerance):
    for index, array in enumerate(point):
        direction = _direction(array, rng)
        tangents = [direction if place == index else mlxffi.zeros_like(other) for place, other in enumerate(point)]
        found = _real(mlxffi.jvp(fn, point, tangents)[1])
        _require(found, _difference(fn, point, index, direction), f"{name}, argument {index}", tolerance)


def _check_reverse(fn, point, rng, name, tolerance):
    cotangents = [_direction(array, rng) for array in fn(point)]
    gradients = mlxffi.vjp(fn, point, cotangents)[1]
    for index, gradient in enumerate(gradients):
        direction = _direction(point[index], rng)
        found = _real([gradient]) @ _real([direction])
        terms = _difference(fn, point, index, direction) * _real(cotangents)
        _require(found, terms.sum(), f"{name}, argument {index}", tolerance, np.abs(terms).max(initial=0))


def _require(found, expected, name, tolerance, size=0):
    allowed = ZERO + tolerance * np.maximum(np.abs(expected), max(_size(expected), size))
    worst = np.abs(found - expected).max(initial=0)
    assert (np.abs(found - expected) <= allowed).all(), f"{name}: off by {worst:.3g}; got {found}, expected {expected}"


def _difference(fn, point, index, direction):
    """The derivative of the outputs along a direction of one argument."""
    total = 0.0
    for place, weight in WEIGHTS.items():
        moved = list(point)
        step = Array(STEP * place, direction.dtype)
        moved[index] = mlxffi.add(point[index], mlxffi.multiply(direction, step))
        total = total + weight * _real(fn(moved))
    return total / STEP


def _real(arrays):
    """All elements of arrays in one vector of real numbers."""
    parts = [numbers(array).ravel() for array in arrays]
    return np.concatenate([part.view(np.float64) for part in parts])


def _direction(array, rng):
    """A random direction of about unit length in each element."""
    values = rng.uniform(0.3, 1, array.shape) * rng.choice([-1, 1], array.shape)
    if array.dtype.kind == "c":
        values = values + 1j * rng.uniform(-1, 1, array.shape)
    return Array(values.tolist(), array.dtype)


def _size(values):
    """The root of the mean square."""
    values = np.asarray(values)
    return float(np.sqrt(np.mean(np.abs(values) ** 2))) if values.size else 0.0


NAMES = {"fwd": "JVP", "rev": "VJP"}
DERIVATIVES = {"fwd": _forward, "rev": _reverse}
CHECKS = {"fwd": _check_forward, "rev": _check_reverse}


# --- threads and processes ---

THREADS = 16


def together(work, count=THREADS):
    """Run `work(number)` on so many threads at once; what each raised, if anything."""
    barrier = threading.Barrier(count)
    raised = []

    def run(number):
        barrier.wait()
        try:
            work(number)
        except BaseException as error:
            raised.append(repr(error.with_traceback(None)))

    threads = [threading.Thread(target=run, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


# CPython 3.12 and newer warn of a fork beside other threads, which MLX always has.
FORKS = "ignore:This process (pid=:DeprecationWarning"


def run_python(code, timeout=120):
    """Run a program; its status, its output and what it wrote to stderr."""
    command = [sys.executable, "-W", FORKS, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    return result.returncode, result.stdout, result.stderr
