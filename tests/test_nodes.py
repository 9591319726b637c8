"""Operations on operands that are alike, whose nodes are made as MLX made the first of them (native/abi/nodes.h)."""

import io
import operator
import threading

import numpy as np
import pytest

import mlxffi as m
from mlxffi import Array

OPERATIONS = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.true_divide, "maximum": np.maximum,
    "minimum": np.minimum, "equal": np.equal, "not_equal": np.not_equal, "greater": np.greater,
    "greater_equal": np.greater_equal, "less": np.less, "less_equal": np.less_equal,
}  # fmt: skip
DTYPES = ["float32", "int32", "uint8", "bool", "float64", "float16", "int64", "complex64"]
ALTERNATELY = [dtype for dtype in DTYPES for _ in range(2)] + DTYPES


def operands(dtype, shape=(2, 3)):
    numbers = np.arange(1, 7).reshape(2, 3), np.array([[6, 2, 3], [1, 5, 9]])
    return [part[tuple(slice(size) for size in shape)].astype(dtype) for part in numbers]


def is_left_out(name, dtype):
    return dtype == "bool" and name == "subtract"  # numpy has none


@pytest.mark.parametrize("name", OPERATIONS)
def test_values_and_dtypes_are_those_of_numpy_however_often(name):
    for dtype in ALTERNATELY:
        if is_left_out(name, dtype):
            continue
        for shape in [(2, 3), (1, 2)]:
            a, b = operands(dtype, shape)
            found, expected = getattr(m, name)(Array(a), Array(b)), OPERATIONS[name](a, b)
            if name == "divide" and np.dtype(dtype).kind in "iub":
                expected = expected.astype(np.float32)
            assert found.dtype.name == expected.dtype.name and found.shape == expected.shape
            np.testing.assert_allclose(np.array(found.tolist()), expected, rtol=1e-3 if dtype == "float16" else 1e-6)


def text_of(array, **names):
    file = io.StringIO()
    m.print_graph([array], names, file=file)
    return file.getvalue()


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_has_the_node_that_the_first_had(name):
    a, b = (Array(part) for part in operands("float32"))
    first, second = (text_of(getattr(m, name)(a, b), a=a, b=b) for _ in range(2))
    assert first == second and "Broadcast" not in first


def test_operands_that_differ_are_promoted_and_broadcast():
    a, b = Array([1.0, 2.0]), Array([3.0, 4.0])
    assert (a + b).tolist() == [4.0, 6.0]
    assert (a + Array([[1, 2], [3, 4]])).tolist() == [[2.0, 4.0], [4.0, 6.0]]
    assert (a + Array([1, 2])).dtype.name == "float32"
    with pytest.raises(ValueError):
        a + Array([1.0, 2.0, 3.0])


def test_a_node_belongs_to_the_stream_that_it_was_asked_for():
    a, b, own = Array(1.0), Array(2.0), m.default_stream()
    made = []

    def work():
        made.extend([a + b, m.add(a, b, stream=own), a + b])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert made[1].item() == 3.0
    for index in (0, 2):
        with pytest.raises(RuntimeError, match="There is no Stream"):
            made[index].eval()


@pytest.mark.parametrize("function", [operator.add, operator.lt])
def test_what_is_traced_for_any_shape_broadcasts(function):
    row, rows = Array([[1.0, 2.0]]), Array([[1.0, 2.0], [3.0, 1.0]])
    function(row, row).eval()
    compiled = m.compile(lambda x: [function(x[0], x[1])], shapeless=True)
    assert compiled([row, row])[0].tolist() == function(row, row).tolist()
    assert compiled([row, rows])[0].tolist() == function(row, rows).tolist()
