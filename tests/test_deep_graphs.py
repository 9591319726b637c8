"""Graphs deeper than the stack: MLX walks some of them by recursion, and would end the process."""

import io
import subprocess
import sys
import threading

import pytest
from helpers import CPYTHON, needs_own_mlxc

import mlxffi as m
from mlxffi import Array

pytestmark = needs_own_mlxc

TRANSFORMS = {
    "vjp": lambda fn, x: m.vjp(fn, [x], [x])[1],
    "jvp": lambda fn, x: m.jvp(fn, [x], [x])[1],
    "grad": lambda fn, x: m.grad(fn)(x),
    "checkpoint": lambda fn, x: m.vjp(m.checkpoint(fn), [x], [x])[1],
    "custom_vjp": lambda fn, x: m.custom_vjp(fn, lambda primals, cotangents, outputs: primals)([x]),
    "vmap": lambda fn, x: m.vmap(fn)([m.reshape(x, [1])]),
    "compile": lambda fn, x: m.compile(fn)([x]),
    "compiled grad": lambda fn, x: m.compile(lambda inputs: m.grad(fn)(*inputs))([x]),
    "grad of compiled": lambda fn, x: m.grad(m.compile(fn))(x),
}
DEPTH = 20_000

# A file of a function names the stream of the thread that computes first: here the main one, on which it is read.
m.eval(m.negative(Array(1.0)))


def chain(length):
    """A function that negates its input so many times."""

    def fn(x):
        for _ in range(length):
            x = [m.negative(x[0])]
        return x

    return fn


def on_small_stack(work, size=1 << 20):
    """What `work` returns on a thread with a stack of so many bytes."""
    found = []
    before = threading.stack_size(size)
    try:
        thread = threading.Thread(target=lambda: found.append(work()))
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    return found[0]


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_graph_deeper_than_the_stack(name):
    found = on_small_stack(lambda: TRANSFORMS[name](chain(DEPTH), Array(3.0))[0].item())
    assert found == {"grad": 1.0, "compiled grad": 1.0, "grad of compiled": 1.0}.get(name, 3.0)


def test_a_deep_graph_is_exported_and_imported(tmp_path):
    path = str(tmp_path / "deep.mlxfn")
    on_small_stack(lambda: m.export_function(path, chain(DEPTH), [Array(3.0)]))
    assert m.import_function(path)([Array(3.0)])[0].item() == 3.0


def test_a_deep_graph_is_drawn():
    dot = io.StringIO()
    on_small_stack(lambda: m.export_to_dot(dot, chain(DEPTH)([Array(3.0)])))
    assert dot.getvalue().count("Negative") >= DEPTH


def test_an_exporter_goes_on_after_a_function_that_failed(tmp_path):
    calls = []

    def fn(x):
        calls.append(x[0].shape)
        if len(calls) == 1:
            raise KeyError("once")
        return [m.negative(x[0])]

    path = str(tmp_path / "failed.mlxfn")
    with m.exporter(path, fn) as exporter:
        with pytest.raises(KeyError, match="once"):
            exporter([Array(1.0)])
        exporter([Array(1.0)])
    assert calls == [(), ()]
    assert m.import_function(path)([Array(3.0)])[0].item() == -3.0


# Where Python's limit comes first, it may come between a handle and its owner.
@pytest.mark.leaks
@pytest.mark.skipif(not CPYTHON, reason="a callback on a full stack of PyPy loses its arrays")
@pytest.mark.parametrize("size", [1 << 16, 1 << 18, 1 << 20])
@pytest.mark.parametrize("name", ["vjp", "jvp", "grad", "vmap", "compile"])
def test_transforms_nested_deeper_than_the_stack_are_an_error(name, size):
    def nested(x):
        return [TRANSFORMS[name](nested, x[0])[0]]

    def work():
        with pytest.raises(RuntimeError, match=r"nested deeper than the stack|maximum recursion depth"):
            nested([Array(3.0)])
        return m.grad(lambda x: m.grad(chain(3))(x[0]))(Array(3.0))[0].item()

    assert on_small_stack(work, size) == 0.0


def test_no_depth_ends_the_process():
    code = (
        "import mlxffi as m\n"
        "def deep(x):\n"
        "    for _ in range(200_000): x = [m.negative(x[0])]\n"
        "    return x\n"
        "x = m.Array(1.0)\n"
        "print(deep([x])[0].item(), m.grad(deep)(x)[0].item(), m.compile(deep)([x])[0].item())\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert (result.returncode, result.stderr, result.stdout) == (0, "", "1.0 1.0 1.0\n")
