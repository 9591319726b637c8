"""No handle is pulled away from under a call: not by Python that runs in it, and not by another thread."""

import contextlib
import sys
import textwrap
import threading

import numpy as np
import pytest
from helpers import run_python

import mlxffi
import mlxffi.core as mx
from mlxffi import _bindings

# This thread's key lives on after the test that first makes it.
mx.random.seed(0)

pytestmark = pytest.mark.usefixtures("threads_alternate")


class Mutating:
    """What changes an array, or a list, whenever Python asks it for a number."""

    def __init__(self, change, value=0):
        self.change, self.value = change, value

    def __index__(self):
        self.change()
        return int(self.value)

    def __bool__(self):
        self.change()
        return bool(self.value)

    def __float__(self):
        self.change()
        return float(self.value)

    __int__ = __index__


def grow(a):
    """Give an array another shape, dtype and memory under the same object."""
    a.__init__(mx.ones((5, 7)) * 3.0)


# Calls with an array `a` [2, 3], a list `arrays` and a number `n` that changes both on the way.
CALLS = {
    "index": lambda a, n, _: a[n],
    "index by two": lambda a, n, _: a[n, n],
    "slice": lambda a, n, _: a[n : Mutating(n.change, 2)],
    "slice with a step": lambda a, n, _: a[:: Mutating(n.change, 1)],
    "list of positions": lambda a, n, _: a[[n, 0]],
    "assign": lambda a, n, _: a.__setitem__(n, 4.0),
    "assign a slice": lambda a, n, _: a.__setitem__(slice(n, None), 4.0),
    "assign a number": lambda a, n, _: a.__setitem__(0, n),
    "update": lambda a, n, _: a.at[n].add(2.0),
    "reshape": lambda a, n, _: a.reshape(Mutating(n.change, -1)),
    "reshape by list": lambda a, n, _: mx.reshape(a, [Mutating(n.change, -1), 1]),
    "reduce": lambda a, n, _: mx.sum(a, axis=n),
    "reduce by list": lambda a, n, _: mx.max(a, axis=[n]),
    "reduce with a flag": lambda a, n, _: mx.mean(a, axis=0, keepdims=n),
    "method": lambda a, n, _: a.min(axis=n),
    "transpose": lambda a, n, _: a.transpose(n, Mutating(n.change, 1)),
    "broadcast": lambda a, n, _: mx.broadcast_to(a, (Mutating(n.change, 4), 2, 3)),
    "operator": lambda a, n, _: a + n,
    "reflected operator": lambda a, n, _: n * a,
    "operator in place": lambda a, n, _: a.__iadd__(n),
    "clip": lambda a, n, _: mx.clip(a, n, 5.0),
    "where": lambda a, n, _: mx.where(a > 1, a, n),
    "pad": lambda a, n, _: mx.pad(a, Mutating(n.change, 1)),
    "concatenate": lambda a, n, arrays: mx.concatenate(arrays, axis=n),
    "stack": lambda a, n, arrays: mx.stack(arrays, axis=n),
    "split": lambda a, n, _: mx.split(a, [Mutating(n.change, 1)], axis=1),
    "take": lambda a, n, _: mx.take(a, n, axis=1),
    "array of": lambda a, n, _: mx.array([n, 1]),
    "full": lambda a, n, _: mx.full((Mutating(n.change, 2),), n),
    "arange": lambda a, n, _: mx.arange(n, 5),
    "as strided": lambda a, n, _: mx.as_strided(a, (2,), (Mutating(n.change, 1),), n),
    "norm": lambda a, n, _: mx.linalg.norm(a, axis=n),
    "fft": lambda a, n, _: mx.fft.fft(a, n=Mutating(n.change, 2), axis=n),
    "random": lambda a, n, _: mx.random.normal((Mutating(n.change, 2), 2), loc=a[0, 0], scale=n),
    "layer norm": lambda a, n, _: mx.fast.layer_norm(a, None, None, Mutating(n.change, 1e-5)),
    "eval": lambda a, n, arrays: mx.eval(arrays, n),
    "depends": lambda a, n, arrays: mx.depends(arrays, a),
}


@pytest.mark.parametrize("name", CALLS)
def test_arguments_may_change_while_they_are_read(name):
    a, b = mx.array([[1.0, 2, 3], [4, 5, 6]]), mx.array([[7.0, 8, 9], [1, 2, 3]])
    arrays = [a, b]

    def change():
        grow(a)
        grow(b)
        arrays[:] = arrays[:1]

    # Some of these arguments are refused.
    with contextlib.suppress(TypeError, ValueError, IndexError, OverflowError, RuntimeError):
        mx.eval(CALLS[name](a, Mutating(change), arrays), a, b)
    assert a.shape in ((2, 3), (5, 7))


@pytest.mark.parametrize(
    "name", ["__iadd__", "__isub__", "__imul__", "__itruediv__", "__ifloordiv__", "__imod__", "__ipow__"]
)
@pytest.mark.parametrize("wrong", [1.5, 3, None, "text", [1.0]], ids=repr)
def test_operators_in_place_are_for_arrays(name, wrong):
    with pytest.raises((TypeError, ValueError)):
        getattr(mx.array, name)(wrong, mx.array([1.0]))


@pytest.mark.parametrize(
    "name", ["__iand__", "__ior__", "__ixor__", "__ilshift__", "__irshift__", "__imatmul__", "__setitem__"]
)
def test_other_changes_in_place_are_for_arrays(name):
    for wrong in (1, 1.5, None, mlxffi.Array([1])):
        with pytest.raises((TypeError, ValueError, AttributeError)):
            getattr(mx.array, name)(wrong, mx.array([1]), *([1] if name == "__setitem__" else []))


def test_a_change_in_place_is_seen_through_every_name_and_keeps_the_handle():
    a = mx.array([1.0, 2])
    view, other = memoryview(a), [a]
    a += 1
    a[0] = 7
    assert other[0].tolist() == [7, 3]
    assert view.tolist() == [1, 2]


def test_callbacks_may_change_what_is_differentiated():
    a = mx.array([1.0, 2, 3])

    def loss(x):
        grow(a)
        return (x * a.sum()).sum()

    assert mx.grad(loss)(a).tolist() == [105.0] * 3
    assert a.shape == (5, 7)


# --- other threads ---


def reading(a):
    """One way after the other to read an array of one element."""
    yield lambda: float(a)
    yield lambda: a.item()
    yield lambda: mx.eval(a)
    yield lambda: np.array(a)
    yield lambda: a.tolist()
    yield lambda: repr(a)
    yield lambda: memoryview(a).tobytes()
    yield lambda: (a * 2).item()
    yield lambda: np.from_dlpack(a)


def writing(a):
    yield lambda: a.__setitem__(0, 3.0)
    yield lambda: a.__iadd__(1.0)
    yield lambda: a.__init__(mx.zeros((1,)) + 1.0)
    yield lambda: a.__imul__(mx.ones((1,)))


def in_threads(functions, calls):
    """Call each function so many times on a thread of its own; whatever one of them raises is raised."""
    errors = []
    start = threading.Barrier(len(functions))

    def run(function):
        start.wait()
        try:
            for _ in range(calls):
                function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=[function]) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("number", range(9))
def test_threads_read_an_array_that_others_change(number):
    a = mx.array([1.0])
    # Whatever is lazy belongs to the thread that built it, so writers compute what they wrote.
    writers = [lambda write=write: (write(), mx.eval(a)) for write in writing(mx.array([1.0]))]
    write = [lambda: a.__setitem__(slice(None), mx.array([2.0])), lambda: a.__init__([4.0])]
    read = list(reading(a))[number]

    def tried():
        # What another thread has not computed yet cannot be computed here.
        with contextlib.suppress(RuntimeError):
            read()

    in_threads([tried, write[0], write[1], tried, *writers], 200)
    a.__init__([5.0])
    assert a.item() == 5.0


def test_eight_threads_save_and_load_one_array(tmp_path):
    a = mx.array([1.0, 2.0])

    def save(number):
        path = str(tmp_path / f"{number}.npy")
        mx.save(path, a)
        assert mx.load(path).shape == (2,)

    def change():
        a.__init__([3.0, 4.0])

    in_threads([*(lambda number=number: save(number) for number in range(6)), change, change], 20)


def test_an_object_that_a_thread_waits_for_may_die():
    for _ in range(20):
        a = mx.full((150, 150), 0.5) @ mx.full((150, 150), 2.0)
        found = []
        thread = threading.Thread(target=lambda one=[a], found=found: found.append(np.array(one.pop()).sum()))
        mx.eval(a)
        thread.start()
        a.__init__(0.0)
        del a
        thread.join()
        assert found[0] in (0.0, 150.0**3)


# --- between the layers ---


def test_arrays_cross_without_a_copy_and_keep_their_graphs():
    flat = mlxffi.Array([1.0, 2.0])
    ours = mx.array(flat)
    assert type(ours) is mx.array
    assert ours.tolist() == [1, 2]
    back = mlxffi.Array(ours)
    assert type(back) is mlxffi.Array
    assert back.tolist() == [1, 2]
    assert np.asarray(ours).ctypes.data == np.asarray(back).ctypes.data

    def loss(x):
        return mx.array(mlxffi.Array(x * 3.0)).sum()

    assert mx.grad(loss)(mx.array([1.0, 2.0])).tolist() == [3, 3]


class LentMemory(bytearray):
    """An array of the other layer as it is from CPython 3.12 on, with memory that any consumer of buffers may read."""

    def __init__(self, a):
        bytearray.__init__(self, bytes(a))
        self.a = a

    def _mlxffi_share(self):
        return self.a._mlxffi_share()

    def __dlpack__(self, **_):
        raise AssertionError("memory has no graph")


class MlxArray(bytearray):
    """One of any other library that says what array of ours it stands for."""

    __init__, __dlpack__ = LentMemory.__init__, LentMemory.__dlpack__

    def __mlx_array__(self):
        return self.a


def initialised(x):
    a = mx.zeros(1)
    a.__init__(x)
    return a


CROSSINGS = {
    "array": mx.array,
    "array of a dtype": lambda x: mx.array(x, mx.float32),
    "init": initialised,
    "asarray": mx.asarray,
    "copy": lambda x: mx.asarray(x, copy=True),
    "from_dlpack": mx.from_dlpack,
    "the other layer": lambda x: mx.array(mlxffi.Array(x)),
}


@pytest.mark.parametrize("kind", [LentMemory, MlxArray, mlxffi.Array])
@pytest.mark.parametrize("name", CROSSINGS)
def test_arrays_that_lend_their_memory_keep_their_graphs(name, kind, monkeypatch):
    monkeypatch.setattr(_bindings, "array_classes", (*_bindings.array_classes, LentMemory))
    gradient = mx.grad(lambda x: CROSSINGS[name](kind(x * 3.0)).sum())(mx.array([1.0, 2.0]))
    assert gradient.tolist() == [3, 3]


def test_a_shared_handle_belongs_to_its_receiver():
    a = mx.array([1.0, 2.0])
    handle = a._mlxffi_share()
    b = mx.array._own(handle)
    a += 1
    assert b.tolist() == [1, 2]
    with pytest.raises(TypeError):
        mx.array._own("handle")


def test_references_are_back():
    a, b = mx.array([1.0]), mx.array([2.0])
    before = sys.getrefcount(a), sys.getrefcount(b)
    for _ in range(50):
        a += b
        a[0] = b
        mx.eval(a)
        a = a.__iadd__(1.0)
    assert (sys.getrefcount(a), sys.getrefcount(b)) == before


# --- what core stands on ---

ALONE = """
    import sys
    sys.modules["_cffi_backend"] = sys.modules["cffi"] = None
    import mlxffi.core as mx
    assert mx.grad(lambda x: (x * x).sum())(mx.array([1.0, 2.0])).tolist() == [2, 4]
    ground = "_backend _bindings _build_info _dynamic _elements _errors _exporters _files _loader _native _pickles"
    loaded = {name.split(".")[1] for name in sys.modules if name.startswith("mlxffi.")}
    print(sorted(loaded - {*ground.split(), "core"}))
"""


def test_core_needs_neither_cffi_nor_the_other_layer():
    assert run_python(textwrap.dedent(ALONE)) == (0, "[]\n", "")


# Each of these takes a tenth of the import or more; annotations, errors, files and numpy's arrays do without them.
IMPORTS = """
    import sys
    before = set(sys.modules)
    import mlxffi.core
    heavy = "asyncio cffi ctypes importlib.metadata inspect json numpy pathlib re subprocess tempfile typing zipfile"
    print(sorted({*heavy.split()} & {*sys.modules} - before))
"""


def test_import_loads_little():
    assert run_python(textwrap.dedent(IMPORTS)) == (0, "[]\n", "")


DOCUMENTED = """
    import sys
    import pickle, threading
    import mlxffi.core as mx
    module = "mlxffi.core.generated.documented.ops"
    mx.add(mx.array(1.0), 2)
    print(module in sys.modules)
    assert pickle.loads(pickle.dumps(mx.add)) is mx.add
    threads = [threading.Thread(target=lambda: mx.subtract.__doc__) for _ in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    print(module in sys.modules, mx.subtract.__doc__.splitlines()[0], mx.subtract.__module__)
"""


def test_documentation_is_loaded_when_somebody_asks_for_it():
    printed = "False\nTrue Subtract `b` from `a` element by element. mlxffi.core.generated.ops\n"
    assert run_python(textwrap.dedent(DOCUMENTED)) == (0, printed, "")


class Falsy:
    def __init__(self, call):
        self.call = call

    def __bool__(self):
        return False

    def __call__(self, *args):
        return self.call(*args)


def test_functions_that_are_false_are_functions():
    function = mx.custom_function(Falsy(lambda x: x * x))
    function.vjp(Falsy(lambda primal, cotangent, output: cotangent * 10.0))
    assert mx.grad(lambda x: function(x).sum())(mx.array([1.0, 2.0])).tolist() == [10, 10]
    assert mx.checkpoint(Falsy(lambda x: x + 1))(mx.array(1.0)).item() == 2
    assert mx.vmap(Falsy(lambda x: x + 1))(mx.array([1.0])).tolist() == [2]


def test_only_arrays_share_handles():
    """The name of a method is no promise about what it returns."""

    class Stranger:
        def _mlxffi_share(self):
            return 12345

    for call in (mx.array, mx.exp, mx.asarray):
        with pytest.raises((TypeError, ValueError)):
            call(Stranger())
