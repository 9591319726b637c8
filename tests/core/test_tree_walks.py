"""Walks over trees, which are in C: what they call, what they raise, and what changes under them."""

import collections
import gc
import sys
import textwrap

import hypothesis.strategies as st
import pytest
from helpers import error_of, run_python
from hypothesis import given

import mlxffi
import mlxffi.core as mx
from mlxffi.core._binding import abi, native
from mlxffi.core._trees import ARRAY, joined, key_of, leaves, split

Pair = collections.namedtuple("Pair", "a b")


class Backwards(list):
    def __iter__(self):
        return iter(list(super().__iter__())[::-1])


class Loud(dict):
    """A dict whose items come from elsewhere."""

    def items(self):
        return [(key.upper(), value) for key, value in super().items()]


class Marked(tuple):
    __slots__ = ()


class Doing(list):
    """A list that does something when it is walked through."""

    def __init__(self, items, action):
        super().__init__(items)
        self.action = action

    def __iter__(self):
        self.action()
        return super().__iter__()


@pytest.fixture(scope="module")
def x():
    return mx.array([1.0, 2.0])


def walks(tree):
    """Every walk over a tree."""
    return [
        lambda: leaves(tree, []),
        lambda: split(tree, []),
        lambda: split(tree, [], True),
        lambda: joined(tree, [mx.array(1.0)] * 9),
        lambda: key_of(tree, []),
    ]


# --- what comes out ---

TREES = st.recursive(
    st.none() | st.integers() | st.text(max_size=2) | st.just(ARRAY),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=2) | st.integers(), inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.tuples(inner, inner).map(lambda items: Pair(*items))
    ),
)


def count(tree):
    """How many arrays a structure has."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    return sum(map(count, tree)) if isinstance(tree, (list, tuple)) else int(tree is ARRAY)


@given(TREES)
def test_a_tree_is_its_structure_with_its_arrays(structure):
    arrays = [mx.array(number) for number in range(count(structure))]
    tree = joined(structure, arrays)
    found = []
    assert split(tree, found) == structure
    assert [id(array) for array in found] == [id(array) for array in arrays]
    assert [id(array) for array in leaves(tree, [])] == [id(array) for array in arrays]


def test_classes_derived_from_containers_are_asked_for_their_items(x):
    y = mx.array(3.0)
    assert [item is y for item in leaves(Backwards([x, y]), [])] == [True, False]
    assert split(Loud(a=x, b=[y]), []) == {"A": ARRAY, "B": [ARRAY]}
    for made in (split(Backwards([1, 2]), []), joined(Backwards([1, 2]), [])):
        assert (type(made), made) == (list, [2, 1])
    assert type(split(collections.OrderedDict(a=x), [])) is dict


def test_tuples_keep_their_class(x):
    for tree in (Pair(x, 3), Marked([x, 3]), Pair(Marked([x]), Pair(1, 2))):
        found = []
        structure = split(tree, found)
        assert (type(structure), type(joined(structure, found))) == (type(tree), type(tree))
    assert joined(Pair(ARRAY, 3), [x]).a is x


def test_a_class_derived_from_array_is_an_array(x):
    class Child(mx.array):
        pass

    child = Child(3.0)
    found = []
    assert split([child, x], found) == [ARRAY, ARRAY]
    assert found[0] is child


# --- what a function is traced for ---

CONSTANTS = [
    1,
    True,
    1.0,
    "1",
    None,
    0,
    False,
    0.0,
    -0.0,
    2**62,
    -(2**63),
    "",
    "nan",
    [],
    (),
    {},
    [1],
    (1,),
    Pair(1, 2),
]


def test_every_constant_has_a_key_of_its_own(x):
    keys = [key_of([constant], []) for constant in [*CONSTANTS, x, [x]]]
    assert len(set(keys)) == len(keys)
    assert key_of({"a": x, "b": 2}, []) == key_of({"a": x * 2, "b": 2}, [])
    assert key_of({"a": x}, []) != key_of({"b": x}, [])
    assert key_of([float("nan")], []) == key_of([-float("nan")], [])


@pytest.mark.parametrize(("leaf", "error"), [(object(), ValueError), ({1}, ValueError), (2**63, RuntimeError)])
def test_what_is_no_constant_has_no_key(leaf, error):
    with pytest.raises(error, match="compile"):
        key_of([leaf], [])


# --- what goes wrong ---


def test_an_exception_on_the_way_arrives_as_it_is(x):
    error = ZeroDivisionError("mine")

    def fail():
        raise error

    for tree in ([x, Doing([x], fail)], {"a": (x, Doing([], fail))}):
        for walk in walks(tree):
            assert error_of(walk, ZeroDivisionError) is error
        assert error_of(lambda tree=tree: mx.grad(lambda t: x.sum())(tree), ZeroDivisionError) is error
    error.__traceback__ = None


def test_items_must_be_pairs():
    class Odd(dict):
        def items(self):
            return [1] if self else [(1, 2, 3)]

    for tree in (Odd(), Odd(a=1)):
        for walk in walks(tree)[:3]:
            with pytest.raises(TypeError):
                walk()


def test_values_must_suffice(x):
    with pytest.raises(IndexError):
        joined([ARRAY, ARRAY], [x])


def test_a_walk_takes_a_tree_and_a_list(x):
    for walk in (leaves, split, joined, key_of):
        for arguments in ((), (x,), (x, ()), (x, [], None, True, True)):
            with pytest.raises(TypeError):
                walk(*arguments)


@pytest.mark.parametrize("make", [lambda: [], lambda: {}], ids=["list", "dict"])
def test_a_tree_that_contains_itself_is_an_error(make):
    tree = make()
    tree.append(tree) if isinstance(tree, list) else tree.update(a=tree)
    for walk in walks(tree):
        with pytest.raises(RecursionError):
            walk()
    for work in (mx.eval, mx.async_eval, mx.grad(lambda t: t), mx.vmap(lambda t: t), mx.compile(lambda t: t)):
        with pytest.raises(RecursionError):
            work(tree)
    with pytest.raises(RecursionError):
        mx.checkpoint(lambda a: tree)(mx.array(1.0))
    tree.clear()


def test_no_limit_of_python_lets_a_deep_tree_end_the_process():
    code = """
    import sys, mlxffi.core as mx
    sys.setrecursionlimit(10**8)
    tree = []
    for _ in range(10**5):
        tree = [tree]
    for work in (mx.eval, mx.grad(lambda t: t), mx.compile(lambda t: t), mx.vmap(lambda t: t)):
        try:
            work(tree)
        except RecursionError:
            print("refused")
    while tree:
        tree = tree[0]
    """
    assert run_python(textwrap.dedent(code), 60) == (0, "refused\n" * 4, "")


# --- what changes on the way ---


def test_a_list_that_shrinks_ends_early(x):
    tree = [x]
    tree += [Doing([], tree.clear), x, x]
    assert leaves(tree, []) == [x]
    tree += [x, Doing([], lambda: tree.__delitem__(slice(1, None))), x]
    assert split(tree, []) == [ARRAY, []]


def test_a_dict_that_changes_its_size_is_an_error(x):
    tree = {"a": x, "b": Doing([], lambda: tree.setdefault(len(tree), x)), "c": x}
    for walk in walks(tree):
        with pytest.raises(RuntimeError, match="changed size"):
            walk()
    tree.clear()


def test_a_walk_may_start_others(x):
    def inner():
        assert mx.grad(lambda t: t["w"].sum())({"w": x})["w"].tolist() == [1.0, 1.0]

    found = mx.grad(lambda t: (t[0] * t[1][0]).sum())([x, Doing([x], inner)])
    assert [found[0].tolist(), found[1][0].tolist()] == [[1.0, 2.0], [1.0, 2.0]]


def test_a_function_may_change_the_tree_that_it_was_called_with(x):
    tree = {"w": [x, x]}

    def work(given):
        tree["w"].clear()
        tree["extra"] = x
        given["w"].append(3)
        return (given["w"][0] * given["w"][1]).sum(), given

    mx.checkpoint(work)(tree)
    assert list(tree) == ["w", "extra"]
    value, grads = mx.value_and_grad(work)({"w": [x, x]})
    assert (value[0].item(), [item.tolist() for item in grads["w"]]) == (5.0, [[1.0, 2.0]] * 2)


def test_walks_keep_no_references(x):
    leaf, tree = object(), {"a": [x, (x, {"b": x})], "c": Pair(x, Marked([x]))}
    before = [sys.getrefcount(item) for item in (x, tree, ARRAY)]
    for _ in range(100):
        found = []
        joined(split(tree, found), found)
        leaves(tree, [])
        key_of(tree, [])
        for walk in walks([tree, leaf])[2::2]:
            with pytest.raises(ValueError, match="rrays"):
                walk()
    del found, walk
    gc.collect()
    assert [sys.getrefcount(item) for item in (x, tree, ARRAY)] == before


# --- calls of C that take lists of arrays ---


@pytest.mark.parametrize("name", ["value_and_grad", "vmap", "apply", "checkpoint", "custom_function"])
def test_calls_refuse_what_they_cannot_take(name, x):
    call = getattr(native, name)
    for arguments in ((), (3,), (3, 4), (3, 4, 5), (3, 4, 5, 6), (3,) * 5, (3,) * 6, (abs, 3.5), (abs, 3.5, [x])):
        with pytest.raises((TypeError, ValueError)):
            call(*arguments)


def test_arrays_in_calls_are_arrays_with_a_value(x):
    for wrong in ([3], (x, None), [mlxffi.Array(1.0)], 3, None):
        with pytest.raises(TypeError):
            mx.vjp(mx.square, wrong, [x])
        with pytest.raises(TypeError):
            abi.depends([x], wrong)
    with pytest.raises(ValueError, match="never given a value"):
        native.eval([mx.array.__new__(mx.array)])
