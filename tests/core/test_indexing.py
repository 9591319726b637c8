"""`array[key]`, `array[key] = value` and `array.at[key]` against mlx.core and numpy, over generated keys."""

import contextlib
import random

import mlx.core
import numpy as np
import pytest
from both import alike, outcome

import mlxffi.core
from mlxffi._errors import ArgumentError
from mlxffi.core._arguments import BoundsError

SHAPES = [(), (1,), (3,), (7,), (0,), (2, 3), (1, 4), (3, 0), (4, 1, 3), (2, 3, 4), (2, 1, 2, 3)]
ROUNDS = 12
KEYS = 25
UPDATES = ["add", "subtract", "multiply", "divide", "maximum", "minimum"]


class Keys:
    """Random keys, as text, for arrays of some shape. Positions lie inside of their axes."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def key(self, shape):
        """A key, and whether an int stands before an array, which writing in MLX does not count as one."""
        self.picked = self.random.choice([(), (2,), (3, 2), (0,)]) if self.random.random() < 0.5 else None
        count = self.random.randint(0, len(shape))
        ellipsis = self.random.random() < 0.3
        place = self.random.randint(0, count)
        items = []
        for index in range(count):
            axis = index if not ellipsis or index < place else len(shape) - count + index
            if ellipsis and index == place:
                items.append("...")
            items += ["None"] * (self.random.random() < 0.15)
            items.append(self.item(shape[axis]))
        if ellipsis and "..." not in items:
            items.append("...")
        if self.random.random() < 0.1:
            items.append("None")
        if len(items) == 1 and self.random.random() < 0.7:
            return items[0]
        return f"({', '.join(items)}{',' if items else ''})"

    def item(self, size):
        kind = self.random.random()
        if size and kind < 0.3:
            return str(self.random.randrange(-size, size))
        if self.picked is not None and kind < 0.65 and (size or self.picked == (0,)):
            return self.positions(size)
        return self.slice(size)

    def positions(self, size):
        shape = tuple(self.random.choice([axis, 1]) if axis else axis for axis in self.picked)
        values = [self.random.randrange(-size, size) for _ in range(int(np.prod(shape)))]
        dtype = self.random.choice(["mx.int32", "mx.int64", "mx.int8"])
        text = str(np.array(values, dtype=int).reshape(shape).tolist())
        if shape and values and self.random.random() < 0.4:
            return text
        return f"mx.array({text}, {dtype})"

    def slice(self, size):
        parts = [self.random.choice(["", str(self.random.randint(-size - 2, size + 2))]) for _ in range(2)]
        step = self.random.choice(["", "", "1", "2", "3", "-1", "-2"])
        start, stop = (part or "None" for part in parts)
        return f"slice({start}, {stop}, {step or None})"

    def value(self, shape):
        """The shape of values that broadcast to a shape."""
        sizes = [size if self.random.random() < 0.7 else 1 for size in shape]
        sizes = sizes[self.random.randint(0, len(sizes)) :] if self.random.random() < 0.4 else sizes
        return tuple([1] * (self.random.random() < 0.2) + sizes)


def cases(seed):
    keys = Keys(seed)
    for shape in SHAPES:
        for _ in range(KEYS):
            yield keys, shape, keys.key(shape)


def numbers(mx, shape, start=0):
    values = np.arange(start, start + int(np.prod(shape)), dtype=np.int32).reshape(shape)
    return values if mx is np else mx.array(values)


def read(mx, shape, key):
    return outcome(lambda mx: listed(numbers(mx, shape)[eval(key, {"mx": mx})]), mx)


def write(mx, shape, key, values):
    def work(mx):
        array = numbers(mx, shape)
        array[eval(key, {"mx": mx})] = 77 if values is None else numbers(mx, values, 100)
        return listed(array)

    return outcome(work, mx)


def listed(value):
    """An array of any of the three libraries."""
    return np.array(value).tolist(), tuple(value.shape)


def refused(found):
    return isinstance(found, type)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_reading(seed):
    for _, shape, key in cases(seed):
        ours = read(mlxffi.core, shape, key)
        assert alike(ours, read(mlx.core, shape, key)), f"shape {shape}, key {key}"
        assert refused(ours) or ours == read(np, shape, key), f"numpy: shape {shape}, key {key}"


def selection(shape, key):
    """The shape that a key picks in numpy, None where numpy refuses it."""
    with contextlib.suppress(Exception):
        return numbers(np, shape)[eval(key, {"mx": np})].shape


def updates(seed):
    """Keys with the shape of a value for each, None for a number."""
    for keys, shape, key in cases(seed):
        selected = selection(shape, key)
        known = selected is not None
        # mlx.core divides by zero where arrays pick nothing.
        if not known or not ("[" in key or "array" in key) or np.prod(selected):
            yield shape, key, keys.value(selected) if known and keys.random.random() < 0.8 else None


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_writing(seed):
    for shape, key, values in updates(1000 + seed):
        ours, theirs, numpys = (write(mx, shape, key, values) for mx in (mlxffi.core, mlx.core, np))
        right = alike(ours, theirs) or excused(ours, theirs, numpys, values)
        assert right, f"shape {shape}, key {key}, values {values}: {ours}, mlx.core: {theirs}"


def excused(ours, theirs, numpys, values):
    """Values with axes of one element in front mlx.core refuses or misplaces at times, and what is done to nothing."""
    in_front = values is not None and values[:1] == (1,)
    return (theirs is ValueError and (in_front or ours == numpys)) or (in_front and ours == numpys)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_writing_as_numpy_does(seed):
    for shape, key, values in updates(2000 + seed):
        ours, numpys = (write(mx, shape, key, values) for mx in (mlxffi.core, np))
        if not refused(ours) and not refused(numpys) and not moved_by_ints(key):
            assert ours == numpys, f"shape {shape}, key {key}, values {values}"


def moved_by_ints(key):
    """Whether an int and an array stand apart: numpy, and MLX in reading, then move the picked axes to the front."""
    items = eval(key, {"mx": np})
    kinds = [type(item) for item in items] if isinstance(items, tuple) else []
    return int in kinds and any(isinstance(item, (list, np.ndarray)) for item in items)


@pytest.mark.parametrize("how", UPDATES)
def test_updates(how):
    for shape, key, values in updates(3000 + UPDATES.index(how)):
        ours, theirs, numpys = (update(mx, how, shape, key, values) for mx in (mlxffi.core, mlx.core, np))
        right = alike(ours, theirs) or excused(ours, theirs, numpys, values)
        assert right, f"shape {shape}, key {key}, values {values}: {ours}, mlx.core: {theirs}"


def update(mx, how, shape, key, values):
    array = numbers(mx, shape, 2).astype(mx.float32)
    value = 2 if values is None else numbers(mx, values, 1)
    if values is not None and how == "divide":
        # A power of two, by which numpy divides to the bit as MLX multiplies by its inverse.
        value = (value * 0 + 4).astype(mx.float32)
    key = eval(key, {"mx": mx})

    def work(mx):
        if mx is np:
            getattr(np, how).at(array, key, value)
        return listed(array if mx is np else getattr(array.at[key], how)(value))

    return outcome(work, mx)


def test_gradients_of_indexing():
    def loss(mx):
        # None twice: of two values at one place MLX gives both the gradient.
        positions = mx.array([0, 2])

        def of(a):
            b = a * 2
            b[1] = a[0] * a[2]
            b[:, positions] = a[:, :1]
            return (b[::-1, None] * a.at[mx.array([0, 2, 0]), 1].add(b[:, 0]) + a[..., -1:] ** 2).sum()

        return mx.grad(of)(mx.arange(9.0).reshape(3, 3)).tolist()

    assert loss(mlxffi.core) == loss(mlx.core)


@pytest.mark.parametrize(
    "text",
    [
        "mx.arange(3)[5]",
        "mx.arange(3)[-4]",
        "mx.arange(3)[::0]",
        "mx.zeros((2, 2))[2]",
        "mx.arange(3).at[[True, False, True]].add(1)",
        "mx.arange(3).at[mx.array([True, False, True])].add(1)",
        "a = mx.zeros((2, 2));; a[mx.array([True, False]), 0] = 1;; a",
    ],
)
def test_what_mlx_does_not_check(text):
    """mlx.core reads or writes foreign memory here, ends the process, or raises SystemError."""
    assert outcome(text, mlxffi.core) in (BoundsError, ArgumentError)


def test_errors_are_of_both_kinds():
    for kind in (IndexError, ValueError):
        with pytest.raises(kind, match="positions from -3 to 2"):
            mlxffi.core.arange(3)[3]


def test_indexing_under_transforms():
    def results(mx):
        def of(x):
            y = x * 1
            y[1:3] = x[0]
            y[mx.array([0, 0])] = y[-1]
            return y.at[mx.array([2, 2])].add(x[:2])[::-1] + x[None, :, None][0, :, 0]

        a = mx.arange(24.0).reshape(4, 6)
        return mx.vmap(of)(a).tolist(), mx.compile(of)(a[0]).tolist()

    assert results(mlxffi.core) == results(mlx.core)


@pytest.mark.parametrize("how", ["add", "subtract", "multiply", "divide", "maximum", "minimum"])
@pytest.mark.parametrize("key", [0, (slice(None), 1), (None, slice(None, None, -2)), slice(None), (0, 1)])
def test_updates_of_a_batch_are_those_of_each_one(how, key):
    batch, value = mlxffi.core.arange(1.0, 13).reshape(2, 2, 3), mlxffi.core.array(2.0)

    def updated(array, values):
        return getattr(array.at[key], how)(values)

    wanted = [updated(array, value).tolist() for array in batch]
    assert mlxffi.core.vmap(updated, in_axes=(0, None))(batch, value).tolist() == wanted
    wanted = [updated(batch[0], values).tolist() for values in (value, value + 1)]
    assert mlxffi.core.vmap(updated, in_axes=(None, 0))(batch[0], mlxffi.core.array([2.0, 3])).tolist() == wanted


def test_keys_and_arrays_have_bounds():
    mx = mlxffi.core
    assert mx.array(1)[(None,) * 64].ndim == 64
    with pytest.raises(BoundsError, match="at most 64 entries"):
        mx.array(1)[(None,) * 65]
    with pytest.raises(BoundsError, match="at most 64 axes"):
        mx.zeros((1,) * 65)[0]
    with pytest.raises(BoundsError, match=r"Shapes \[\(2,\), \(3,\)\]"):
        mx.zeros((3, 3))[mx.array([0, 1]), mx.array([0, 1, 2])]


class Exchanging:
    """A position that puts another array in the place of the one that is updated."""

    def __init__(self, part):
        self.part = part

    def __index__(self):
        self.part._array = mlxffi.core.zeros(7)
        return 1


def test_what_a_key_does_meanwhile_changes_nothing():
    part = mlxffi.core.zeros(3).at[0]
    part._key = Exchanging(part)
    assert part.add(5).tolist() == [0, 5, 0]
    part._key = 0  # the part and its key refer to each other
