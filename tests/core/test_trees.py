"""Trees of arguments and results, in both libraries."""

import collections

import mlx.core as theirs
import pytest
from both import alike, outcome, plain, same

import mlxffi.core as ours

Pair = collections.namedtuple("Pair", "a b")


class Triple(tuple):
    pass


class Box(dict):
    pass


class Row(list):
    pass


def x(mx):
    return mx.array([1.0, 2.0])


def y(mx):
    return mx.array([3.0, 4.0])


TREES = [
    x,
    lambda mx: [x(mx)],
    lambda mx: (x(mx), y(mx)),
    lambda mx: {"b": x(mx), "a": [y(mx), (x(mx), {})]},
    lambda mx: [],
    lambda mx: {},
    lambda mx: [[], x(mx), ()],
    lambda mx: Pair(x(mx), [y(mx)]),
    lambda mx: Triple((x(mx), y(mx))),
    lambda mx: Box(k=x(mx)),
    lambda mx: Row([x(mx), y(mx)]),
    lambda mx: collections.OrderedDict(z=x(mx), a=y(mx)),
    lambda mx: {1: x(mx), None: y(mx), (2, 3): x(mx)},
    lambda mx: [x(mx), None],
    lambda mx: [x(mx), 3],
    lambda mx: {"a": "text"},
    lambda mx: range(3),
    lambda mx: {x(mx).shape},
    lambda mx: None,
]


def total(tree):
    """A scalar of all arrays of a tree."""
    if hasattr(tree, "tolist"):
        return (tree * tree).sum()
    items = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, (list, tuple)) else []
    return sum((total(item) for item in items), 0)


def with_zero(mx, tree):
    return mx.array(0.0) + total(tree)


@pytest.mark.parametrize("tree", TREES)
def test_grad(tree):
    same(lambda mx: mx.grad(lambda t: with_zero(mx, t))(tree(mx)))


@pytest.mark.parametrize("tree", TREES)
def test_value_and_grad_passes_the_rest_through(tree):
    same(lambda mx: mx.value_and_grad(lambda a, t: (a.sum(), t))(x(mx), tree(mx)))
    same(lambda mx: mx.value_and_grad(lambda t, a: (with_zero(mx, t), t, a))(tree(mx), y(mx)))


@pytest.mark.parametrize("tree", TREES)
def test_vmap(tree):
    same(lambda mx: mx.vmap(lambda a, t: (a, t))(x(mx), tree(mx)))


@pytest.mark.parametrize("tree", [tree for tree in TREES if tree is not TREES[16]])
def test_compile(tree):
    same(lambda mx: mx.compile(lambda t: (t, with_zero(mx, t)))(tree(mx)))
    same(lambda mx: mx.compile(lambda a: (tree(mx), a))(x(mx)))


@pytest.mark.parametrize("tree", TREES)
def test_checkpoint(tree):
    same(lambda mx: mx.checkpoint(lambda t: (t, with_zero(mx, t)))(tree(mx)))
    same(lambda mx: mx.checkpoint(lambda a: (tree(mx), a))(x(mx)))


@pytest.mark.parametrize("tree", TREES)
def test_eval_takes_anything(tree):
    for function in ("eval", "async_eval"):
        same(lambda mx, name=function: getattr(mx, name)(tree(mx), tree(mx), 3))


def test_eval_computes_what_is_deep_inside():
    a = ours.array(1.0) + 1
    ours.eval({"k": [(a,)]})
    assert a.item() == 2


def test_dtypes_and_classes_survive():
    found = ours.grad(lambda pair: pair.a.sum() + pair.b.sum())(Pair(x(ours), y(ours).astype(ours.float16)))
    assert type(found) is Pair
    assert found.b.dtype == ours.float16


def test_results_are_new_containers():
    tree = [x(ours)]
    assert ours.grad(lambda t: t[0].sum())(tree) is not tree
    assert plain(tree) == plain([x(theirs)])


def test_a_name_that_the_function_adds_stays():
    state = {"a": x(ours)}

    def work(tree):
        tree["b"] = tree["a"] * 2
        return tree["b"].sum()

    assert plain(ours.grad(work)(state)) == plain({"a": theirs.array([2.0, 2.0])})
    assert list(state) == ["a", "b"]
    assert plain(state["b"]) == plain(theirs.array([2.0, 4.0]))


def test_trees_of_axes():
    trees = [
        (
            lambda mx: {"a": x(mx), "b": y(mx)},
            [{"a": 0, "b": None}, {"a": 0}, {"a": 0, "b": 0, "c": 0}, 0, [0, 0], "a"],
        ),
        (
            lambda mx: [x(mx), (y(mx),)],
            [[0, (0,)], [0, 0], (0, 0), [0], [0, [0]], [None, None], [0, (None,)], 1, -1, -2],
        ),
    ]
    for tree, choices in trees:
        for axes in choices:
            same(lambda mx, tree=tree, axes=axes: mx.vmap(total, in_axes=(axes,))(tree(mx)))
            same(lambda mx, tree=tree, axes=axes: mx.vmap(lambda t: t, out_axes=axes)(tree(mx)))


def test_outcomes_tell_results_from_exceptions():
    made, refused = outcome("mx.array([1])", theirs), outcome(lambda mx: mx.grad(abs, argnums=-1), theirs)
    assert (made.dtype, made.shape, made.numbers().tolist()) == ("int32", (1,), [1])
    assert refused is ValueError
    assert not alike(made, refused)
    assert not alike(refused, made)
    assert alike(UnicodeError, ValueError)
    assert not alike(ValueError, UnicodeError)


@pytest.mark.parametrize("other", ["[1, 3]", "[[1, 2]]", "[1, 2], mx.int8", "[1., 2]", "[1, 2, 2]"])
def test_outcomes_tell_arrays_apart(other):
    first, second = outcome("[mx.array([1, 2])]", theirs), outcome(f"[mx.array({other})]", theirs)
    assert alike(first, first)
    assert not alike(first, second)
    assert not alike(second, first, exact=False)
