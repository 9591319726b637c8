"""Pickles and copies of arrays, dtypes and kinds of devices, which read as the library's that a process uses."""

import copy
import pickle
import subprocess
import sys

import mlx.core as theirs
import numpy as np
import pytest

import mlxffi.core as mx

DTYPES = [
    "bool_", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64",
    "bfloat16", "complex64",
]  # fmt: skip
MAKE = "{'a': mx.array([[1.0, 2.5]]), 'half': mx.array([1.5], mx.bfloat16), 'kind': mx.floating, 'device': mx.cpu}"
START = {"ours": "import mlxffi.core as mx", "theirs": "import mlx.core as mx"}
START["installed"] = "import mlxffi.compat; mlxffi.compat.install(); import mlx.core as mx"


def run(start, code, data=b""):
    program = f"import pickle, sys\n{START[start]}\n{code}"
    done = subprocess.run([sys.executable, "-c", program], input=data, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def written(start, protocol=4):
    return run(start, f"sys.stdout.buffer.write(pickle.dumps({MAKE}, {protocol}))")


# Where mlxffi.core reads what names mlx.core, that is loaded: a program asks for one library by its name.
@pytest.mark.parametrize(
    ("writer", "reader"),
    [
        ("ours", "ours"), ("ours", "theirs"), ("ours", "installed"), ("theirs", "theirs"), ("theirs", "installed"),
        ("installed", "installed"), ("installed", "theirs"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("protocol", [2, 5])
def test_a_pickle_is_of_the_library_that_reads_it(writer, reader, protocol):
    code = """
found = pickle.load(sys.stdin.buffer)
assert type(found["a"]) is mx.array and type(found["half"]) is mx.array, type(found["a"])
assert (found["a"].dtype, found["half"].dtype) == (mx.float32, mx.bfloat16)
assert found["kind"] is mx.floating and found["device"] == mx.cpu
assert (found["a"] + 1).tolist() == [[2, 3.5]] and found["half"].tolist() == [1.5]
print(sorted({name.partition(".")[0] + ".core" for name in sys.modules if name in ("mlx.core", "mlxffi.core")}))
"""
    assert run(reader, code, written(writer, protocol)).count(b".core") == (2 if reader == "installed" else 1)


def test_installed_pickles_are_those_of_mlx():
    code = "sys.stdout.buffer.write(b'|'.join(pickle.dumps(mx.array([1.5, 2]), i) for i in range(2, 6)))"
    assert run("installed", code) == run("theirs", code)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_bit_of_every_dtype(dtype, protocol):
    for array in (mx.array([[0, 1], [2, 3]]).astype(getattr(mx, dtype)).T, mx.zeros((0, 3), getattr(mx, dtype))):
        again = pickle.loads(pickle.dumps(array, protocol))
        assert (again.dtype, again.shape, again.tolist()) == (array.dtype, array.shape, array.tolist())
    kind = getattr(mx, dtype)
    assert pickle.loads(pickle.dumps(kind, protocol)) is copy.copy(kind) is copy.deepcopy(kind) is kind


def test_float64_keeps_its_digits():
    """mlx.core's pickles make float32 of it."""
    array = mx.array([0.1, 1e300], mx.float64)
    assert pickle.loads(pickle.dumps(array)).tolist() == [0.1, 1e300]


@pytest.mark.parametrize("name", ["float16", "floating", "cpu", "gpu", "generic"])
def test_constants_are_themselves_again(name):
    value = getattr(mx, name)
    for protocol in range(6):
        assert pickle.loads(pickle.dumps(value, protocol)) is value
    assert copy.copy(value) is copy.deepcopy(value) is value


def test_subclasses_keep_their_class():
    again = pickle.loads(pickle.dumps(Named([1.0, 2.0])))
    assert type(again) is Named
    assert again.tolist() == [1, 2]


class Named(mx.array):
    """An array of a program's own class."""


def test_what_a_state_is():
    for array in (mx.array([1.0, 2.0]), mx.array([1.0], mx.bfloat16)):
        values, number = array.__getstate__()
        wanted, same = theirs.array(array.tolist(), getattr(theirs, array.dtype.name)).__getstate__()
        assert (values.dtype, values.tolist(), number) == (wanted.dtype, wanted.tolist(), same)
        assert isinstance(values, np.ndarray)
