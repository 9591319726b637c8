"""What a function under a transform sees of the caller's containers, and what is in them afterwards, in both."""

import collections

import mlx.core as theirs
import mlx.nn
import pytest
from both import plain, same

import mlxffi.core as ours

Pair = collections.namedtuple("Pair", "a b")


class Names(dict):
    """A dict that must not be asked to set its items."""

    def __setitem__(self, key, value):
        raise AssertionError("set by name")


class Items(list):
    """A list that must not be asked to set its items."""

    def __setitem__(self, key, value):
        raise AssertionError("set by place")


CONTAINERS = {
    "dict": lambda a: {"a": a},
    "list": lambda a: [a],
    "tuple": lambda a: (a, [a]),
    "Pair": lambda a: Pair(a, [a]),
    "Names": lambda a: Names(a=a),
    "Items": lambda a: Items([a]),
    "OrderedDict": lambda a: collections.OrderedDict(a=a),
    "defaultdict": lambda a: collections.defaultdict(list, a=a),
    "nested": lambda a: {"a": Names(a=a), "b": [Items([a]), Pair(a, (a,))]},
}
TRANSFORMS = {
    "grad": lambda mx, f: mx.grad(f),
    "value_and_grad": lambda mx, f: mx.value_and_grad(f),
    "vmap": lambda mx, f: mx.vmap(f),
    "compile": lambda mx, f: mx.compile(f),
    "checkpoint": lambda mx, f: mx.checkpoint(f),
    "custom_function": lambda mx, f: mx.custom_function(f),
    "custom_vjp": lambda mx, f: mx.custom_function(f).vjp(lambda primals, cotangents, outputs: primals),
}


def first(tree):
    while isinstance(tree, (dict, list, tuple)):
        tree = tree["a"] if isinstance(tree, dict) else tree[0]
    return tree


def types(tree):
    if not isinstance(tree, (dict, list, tuple)):
        return type(tree).__name__
    items = tree.values() if isinstance(tree, dict) else tree
    return type(tree).__name__, [types(item) for item in items]


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("container", CONTAINERS)
def test_the_type_and_identity_that_the_function_sees(transform, container):
    def work(mx):
        tree = CONTAINERS[container](mx.array([3.0]))
        before, seen = first(tree), []

        def function(given):
            seen.append((types(given), given is tree, first(given) is before))
            return (first(given) ** 2).sum()

        result = TRANSFORMS[transform](mx, function)(tree)
        return seen, types(result), first(tree) is before, plain(result)

    same(work)


def test_a_module_is_itself():
    # Its class belongs to mlx.core, which counts arrays of the other library as nothing; types and identity count.
    layer, seen = mlx.nn.Linear(1, 1), []
    layer["weight"], layer["bias"] = ours.array([[2.0]]), ours.array([1.0])

    def loss(model, x):
        seen.append(model is layer)
        return (x @ model["weight"].T + layer["bias"]).sum()

    found = ours.grad(loss)(layer, ours.array([[3.0]]))
    assert seen == [True]
    assert {name: item.tolist() for name, item in found.items()} == {"weight": [[3.0]], "bias": [1.0]}


def test_a_loss_that_closes_over_its_parameters():
    def work(mx):
        p = {"w": mx.array(3.0)}
        nested = mx.grad(lambda q: mx.grad(lambda r: p["w"] ** 3)(q)["w"])(p)["w"]
        return [mx.grad(lambda q: p["w"] ** 2)(p)["w"], nested, p["w"]]

    assert same(work) == plain([theirs.array(6.0), theirs.array(18.0), theirs.array(3.0)])


def replace(q):
    q["w"] = q["w"] * 2
    return q["w"]


def update(q):
    q["w"][0] = q["w"][0] * 2
    return q["w"]


def add(q):
    q["w"] += 1
    return q["w"]


def add_and_fail(q):
    q["w"] += 1
    with pytest.raises(ValueError, match="broadcast"):
        q["w"] += type(q["w"])([1.0, 2.0, 3.0])
    return q["w"]


@pytest.mark.parametrize("change", [replace, update, add, add_and_fail])
def test_what_the_function_replaces_stays_replaced(change):
    def work(mx):
        before, other = mx.array([3.0, 1.0]), mx.array(1.0)
        p = {"w": before, "v": other}
        found = mx.grad(lambda q: (change(q) ** 2).sum())(p)
        return found, p["w"], p["v"] is other, before, p["w"] is before

    same(work)


@pytest.mark.parametrize("change", [replace, update, add])
def test_what_is_not_differentiated_is_lent_too(change):
    def work(mx):
        before, alone = mx.array([3.0, 1.0]), mx.array([3.0, 1.0])
        p, seen = {"w": before, "n": [1, 2]}, []

        def loss(w, q, y, k=None):
            seen.extend((q is p, q["n"] is p["n"], k is p))
            y[0] = 7
            return (w * change(q) * y).sum()

        found = mx.grad(loss)(mx.array([1.0, 2.0]), p, alone)
        named = mx.grad(loss)(before, {"w": before, "n": p["n"]}, alone, k=p)
        return found, named, p["w"], before, alone, seen

    same(work)


def test_one_container_for_two_arguments():
    same(lambda mx: (lambda p: mx.grad(lambda q, r: q["w"] * r["w"] ** 2, argnums=(0, 1))(p, p))({"w": mx.array(3.0)}))
    same(lambda mx: (lambda w: mx.grad(lambda q: q[0] * q[1] ** 2)([w, w]))(mx.array(3.0)))
    p = {"w": ours.array(3.0)}
    before = p["w"]
    ours.grad(lambda q, r: q["w"] * r["w"], argnums=(0, 1))(p, p)
    assert p["w"] is before


def test_an_array_of_a_tuple_that_is_updated():
    def work(mx):
        p = [(mx.array([1.0, 2.0]), mx.array(5.0))]

        def loss(q):
            q[0][0][0] = 9
            return (q[0][0] ** 2).sum()

        return mx.grad(loss)(p), p

    same(work)


def test_containers_that_the_function_shortens():
    a, b = ours.array(2.0), ours.array(3.0)
    names, items = {"a": a, "b": b}, [a, b]
    assert ours.grad(lambda q: q.pop("a") ** 2)(names)["a"].item() == 4
    assert ours.grad(lambda q: q.pop(0) ** 2)(items)[0].item() == 4
    assert list(names) == ["b"]
    assert names["b"] is b
    assert len(items) == 1
    assert items[0] is b
