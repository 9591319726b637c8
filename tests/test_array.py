"""`Array`: what it tells about itself, its operators, its text and its life."""

import copy
import math
import operator
import pickle

import numpy as np
import pytest
from helpers import counts_references, needs_own_mlxc

import mlxffi as m
from mlxffi import Array, memory
from mlxffi import dtype as dtypes

EXTREMES = {
    "bool": [True, False],
    "uint8": [0, 255],
    "uint16": [0, 65535],
    "uint32": [0, 2**32 - 1],
    "uint64": [0, 2**64 - 1],
    "int8": [-128, 127],
    "int16": [-(2**15), 2**15 - 1],
    "int32": [-(2**31), 2**31 - 1],
    "int64": [-(2**63), 2**63 - 1],
    "float16": [65504.0, 2.0**-24, -math.inf],
    "float32": [3.4028234663852886e38, 2.0**-149, 0.10000000149011612],
    "float64": [1.7976931348623157e308, 5e-324, 0.1],
    "bfloat16": [3.3895313892515355e38, 2.0**-133, 0.10009765625],
    "complex64": [complex(0.5, -math.inf), 1 + 2j],
}


def test_an_array_tells_its_shape_and_type():
    array = Array([[1, 2, 3], [4, 5, 6]], "int16")
    assert (array.shape, array.ndim, array.size, array.nbytes, len(array)) == ((2, 3), 2, 6, 12, 2)
    assert array.dtype is dtypes.int16
    scalar = Array(1.5)
    assert (scalar.shape, scalar.ndim, scalar.size, scalar.nbytes) == ((), 0, 1, 4)


# --- values ---


@pytest.mark.parametrize("dtype", EXTREMES)
def test_numbers_come_back_exactly(dtype):
    for number in EXTREMES[dtype]:
        array = Array(number, dtype)
        assert array.item() == number
        assert type(array.item()) is type(number)
        assert Array([[number]], dtype).item() == number
    assert Array(EXTREMES[dtype], dtype).tolist() == EXTREMES[dtype]


def test_an_item_is_read_from_any_view():
    array = m.transpose(Array([[1, 2], [3, 4]]))
    assert [array[0, 1].item(), array[1:, :1].item(), m.broadcast_to(array[1, 1], [1, 1]).item()] == [3, 2, 4]


def test_lists_have_the_shape_of_the_array():
    for shape in ((), (0,), (2, 0), (0, 2), (2, 0, 3), (1, 2, 3), (2, 3, 2, 2)):
        source = np.arange(np.prod(shape, dtype=int)).reshape(shape)
        for dtype in ("int32", "float16", "complex64"):
            assert Array(source, dtype).tolist() == source.tolist()
    rows = Array(np.zeros((2, 0))).tolist()
    assert rows[0] is not rows[1]


@pytest.mark.parametrize("convert", [bool, int, float, complex, operator.index, Array.item, "{:.2f}".format])
def test_one_element_converts_to_a_number_and_more_are_an_error(convert):
    for one in (Array(3), Array([[3]])):
        assert convert(one) == convert(3) if convert is not Array.item else 3
    with pytest.raises(ValueError, match=r"^\[\w+\] expected an Array of one element, got shape \[2\]"):
        convert(Array([1, 2]))
    with pytest.raises(ValueError, match=r"^\[\w+\] expected an Array of one element, got shape \[0\]"):
        convert(Array([], "int32"))


def test_an_array_is_an_index_only_where_it_is_an_integer():
    assert "abc"[Array(1, "uint8")] == "b"
    with pytest.raises(TypeError, match=r"\[index\] expected an Array of integers, got float32"):
        operator.index(Array(1.0))


def test_an_array_with_axes_is_iterated_by_its_first():
    assert [row.tolist() for row in Array([[1, 2], [3, 4]])] == [[1, 2], [3, 4]]
    assert list(Array(np.zeros((0, 3)))) == []
    first, second = Array([1.5, 2.5])
    assert (float(first), float(second)) == (1.5, 2.5)
    for function in (len, iter):
        with pytest.raises(TypeError, match="expected an Array with axes"):
            function(Array(1))


# --- operators ---

NUMBERS = {
    "bool": ([True, False, True], [True, True, True]),
    "uint8": ([7, 9, 250], [2, 4, 3]),
    "uint32": ([7, 9, 2**32 - 1], [2, 4, 3]),
    "int8": ([-7, 9, -100], [2, -4, -3]),
    "int32": ([-7, 9, 5], [2, -4, -3]),
    "int64": ([-7, 2**40, 5], [2, -4, -3]),
    "float16": ([-7.5, 9, 0.25], [2, -4, 3]),
    "float32": ([-7.5, 9, 0.25], [2, -4, 3]),
    "float64": ([-7.5, 9, 0.25], [2, -4, 3]),
    "complex64": ([1 + 2j, -1j, 3], [2, 1j, 1 - 1j]),
}
ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv]
FLOORED = [operator.floordiv, operator.mod]
COMPARISONS = [operator.eq, operator.ne]
ORDER = [operator.lt, operator.le, operator.gt, operator.ge]
BITS = [operator.and_, operator.or_, operator.xor]


def supported(function, dtype):
    kind = np.dtype(dtype).kind
    if function in FLOORED + ORDER:
        return kind in "uif"
    if function in BITS:
        return kind in "bui"
    return not (kind == "b" and function is operator.sub)


def cases(functions):
    return [(function, dtype) for function in functions for dtype in NUMBERS if supported(function, dtype)]


@pytest.mark.parametrize(
    ("function", "dtype"),
    cases(ARITHMETIC + FLOORED + COMPARISONS + ORDER + BITS),
    ids=lambda part: getattr(part, "__name__", part),
)
def test_operators_give_what_numpy_gives(function, dtype):
    left, right = (np.array(numbers, dtype) for numbers in NUMBERS[dtype])
    if function is operator.truediv and left.dtype.kind in "bui":
        left, right = left.astype("f4"), right.astype("f4")
    with np.errstate(all="ignore"):
        wanted = function(left, right)
    a, b = Array(left), Array(right)
    for result in (function(a, b), function(a, right), function(left, b)):
        assert type(result) is Array
        assert result.dtype.name == wanted.dtype.name
        np.testing.assert_allclose(np.array(result), wanted, rtol=1e-6)


def test_powers_shifts_and_products_give_what_numpy_gives():
    left, right = np.array([1, 2, 3]), np.array([3, 0, 2])
    a, b = Array(left), Array(right)
    for function in (operator.pow, operator.lshift, operator.rshift):
        assert function(a, b).tolist() == function(left, right).tolist()
        assert function(left, b).tolist() == function(left, right).tolist()
        assert function(3, b).tolist() == function(3, right).tolist()
    rows = np.array([[1.5, 2, 3], [4, 5, 6]])
    for product in (Array(rows) @ Array(rows.T), rows @ Array(rows.T), Array(rows) @ rows.T):
        assert product.tolist() == (rows @ rows.T).tolist()
    assert [part.tolist() for part in divmod(a, b + 1)] == [part.tolist() for part in divmod(left, right + 1)]
    assert [part.tolist() for part in divmod(7, b + 1)] == [part.tolist() for part in divmod(7, right + 1)]


def test_unary_operators_give_what_numpy_gives():
    source = np.array([-1.5, 2.5, 0.125])
    array = Array(source)
    for function in (operator.neg, operator.pos, abs):
        assert function(array).tolist() == function(source).tolist()
    assert round(array).tolist() == [-2, 2, 0]
    assert round(Array([0.16, -2.34]), 1).tolist() == pytest.approx([0.2, -2.3])
    assert (~Array([0, 5], "int8")).tolist() == [-1, -6]
    assert (~Array([True, False])).tolist() == [False, True]


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float16", "bfloat16", "float32", "complex64"])
def test_a_number_takes_the_dtype_of_the_array_on_either_side(dtype):
    array = Array([1, 2], dtype)
    for result in (array + 1, 1 + array, 3 - array, array * 2, 2 * array):
        assert result.dtype.name == dtype
    assert (5 - array).tolist() == [4, 3]
    assert (2**array).tolist() == [2, 4]
    assert (array - [1, 1]).tolist() == [0, 1]


def test_augmented_assignment_makes_a_new_array():
    array = other = Array([1, 2])
    array += 1
    array *= Array([2, 3])
    assert array.tolist() == [4, 9]
    assert other.tolist() == [1, 2]


class Scaled:
    """A type of somebody else that knows how to work with arrays."""

    def __radd__(self, other):
        return "mine"

    def __rmatmul__(self, other):
        return "mine"

    def __eq__(self, other):
        return "mine"

    __hash__ = None


def test_other_types_are_asked_before_an_operator_fails():
    array = Array([1, 2])
    assert array + Scaled() == "mine"
    assert array @ Scaled() == "mine"
    assert (array == Scaled()) == "mine"
    assert (array == None) is False  # noqa: E711
    assert (array != "text") is True
    for function in (operator.add, operator.lt, divmod, operator.lshift):
        with pytest.raises(TypeError, match=r"unsupported operand|not supported between"):
            function(array, "text")
        with pytest.raises(TypeError, match=r"unsupported operand|not supported between"):
            function(None, array)


def test_an_operand_that_fails_is_no_foreign_type():
    with pytest.raises(ValueError, match="value: expected nested lists of equal length"):
        Array([1, 2]) * [[1], [1, 2]]
    with pytest.raises(ValueError, match=r"\[add\]|broadcast"):
        Array([1, 2]) + Array([1, 2, 3])


def test_an_array_is_a_key_by_what_it_is_and_not_by_its_values():
    first, second = Array([1, 2]), Array([1, 2])
    names = {first: "first", second: "second"}
    assert (names[first], names[second]) == ("first", "second")


# --- copies and life ---


def test_a_copy_keeps_its_values_when_the_original_gets_new_ones():
    array = Array([[1, 2], [3, 4]])
    copies = [copy.copy(array), copy.deepcopy(array), copy.deepcopy([array])[0], +array]
    array[0] = 0
    assert [other.tolist() for other in copies] == [[[1, 2], [3, 4]]] * 4


@pytest.mark.parametrize("dtype", EXTREMES)
def test_a_pickle_keeps_shape_dtype_and_every_bit(dtype):
    for array in (Array([EXTREMES[dtype]] * 2, dtype), Array(EXTREMES[dtype][0], dtype), Array([], dtype)):
        again = pickle.loads(pickle.dumps(m.transpose(array)))
        assert again.dtype is array.dtype
        assert again.tolist() == m.transpose(array).tolist()


@needs_own_mlxc
def test_eval_async_eval_and_detach_return_the_array():
    array = Array([1.0, 2]) + 1
    assert array.async_eval() is array
    assert array.eval() is array
    assert array.detach() is array
    assert array.tolist() == [2, 3]


@needs_own_mlxc
@counts_references
def test_detach_lets_go_of_the_inputs():
    big = m.zeros([1 << 20], "float32").eval()
    total = m.sum(big)
    held = memory.active_memory()
    total.detach()
    del big
    assert memory.active_memory() <= held - (4 << 20) + 4096
    assert total.item() == 0


@needs_own_mlxc
def test_close_lets_go_of_the_values_and_any_use_after_it_is_an_error():
    array = m.zeros([1 << 20], "float32").eval()
    memory.live_handles()  # lets PyPy's collector free what only it holds
    held = memory.active_memory()
    array.close()
    array.close()
    assert memory.active_memory() <= held - (4 << 20)
    uses = [
        lambda: array.shape, lambda: array.dtype, lambda: array.size, array.tolist, array.item, array.eval,
        array.detach, array.async_eval, lambda: array + 1, lambda: 1 + array, lambda: array + array, lambda: array[0],
        lambda: array.__setitem__(0, 1), lambda: m.sum(array), lambda: copy.copy(array), lambda: np.asarray(array),
        lambda: bool(array), lambda: Array(array), array.__dlpack__, lambda: m.eval(array),
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(m.Error, match="this Array has been closed"):
            use()
    assert repr(array) == "Array(closed)"


@needs_own_mlxc
@counts_references
def test_an_array_needs_no_collector_to_be_freed():
    before = memory.live_handles()["array"]
    for _ in range(100):
        array = Array([[1, 2], [3, 4]])
        array[0, [1]] = array[1][::-1][:1] + 1
        assert "[1, 5]" in str(array)
    del array
    assert memory.live_handles()["array"] == before


def test_a_shape_that_memory_cannot_hold_is_refused_at_once():
    with pytest.raises(MemoryError):
        m.reshape(Array([1, 2]), range(2**62))


# --- text ---


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (Array([[1, 2], [3, 4]]), "Array([[1, 2],\n       [3, 4]], dtype=int32)"),
        (Array(True), "Array(True, dtype=bool)"),
        (Array([0.1, 1e20, float("nan")]), "Array([0.1, 1e+20, nan], dtype=float32)"),
        (Array([]), "Array([], dtype=float32)"),
        (Array(np.arange(4000)), "Array([0, 1, 2, ..., 3997, 3998, 3999], dtype=int64)"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_text_is_that_of_mlx(array, text):
    assert str(array) == repr(array) == text


def test_a_format_applies_to_the_one_element():
    assert f"{Array(1.23456):.2f} {Array([[7]]):>3} {Array([1, 2])}" == "1.23   7 Array([1, 2], dtype=int32)"
