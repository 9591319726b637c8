"""Graphs deeper than the stack: MLX walks graphs by recursion, and would end the process."""

import subprocess
import sys
import threading

import pytest
from helpers import needs_own_mlxc

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
}


def chain(length):
    """A function that negates its input so many times."""

    def fn(x):
        for _ in range(length):
            x = [m.negative(x[0])]
        return x

    return fn


def on_small_stack(work):
    """What `work` returns or raises on a thread with a stack of one megabyte."""

    def run():
        try:
            found.append(work())
        except Exception as error:
            found.append(error.with_traceback(None))

    found = []
    before = threading.stack_size(1 << 20)
    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    return found[0]


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_graph_too_deep_for_the_stack_is_refused(name):
    error = on_small_stack(lambda: TRANSFORMS[name](chain(20_000), Array(1.0)))
    assert isinstance(error, (m.Error, RuntimeError))
    assert "operations deep, and this thread's stack has room for" in str(error)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_graph_as_deep_as_is_allowed_is_no_danger(name):
    """Just below what the message of the refusal names, MLX's recursion fits."""
    refusal = str(on_small_stack(lambda: TRANSFORMS[name](chain(20_000), Array(1.0))))
    room = int(refusal.partition("has room for ")[2].partition(":")[0])
    found = on_small_stack(lambda: TRANSFORMS[name](chain(room - 100), Array(1.0))[0].size)
    assert found == 1


def test_a_thread_with_a_larger_stack_takes_deeper_graphs():
    before = threading.stack_size(64 << 20)
    found = []
    thread = threading.Thread(target=lambda: found.append(m.grad(chain(20_000))(Array(1.0))[0].item()))
    thread.start()
    thread.join()
    threading.stack_size(before)
    assert found == [1.0]


def test_no_depth_ends_the_process():
    code = (
        "import mlxffi as m\n"
        "def deep(x):\n"
        "    for _ in range(200_000): x = [m.negative(x[0])]\n"
        "    return x\n"
        "x = m.Array(1.0)\n"
        "for transform in (lambda: m.grad(deep)(x), lambda: m.compile(deep)([x])):\n"
        "    try: transform()\n"
        "    except m.Error: print('refused')\n"
        "print(deep([x])[0].item())\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert (result.returncode, result.stderr, result.stdout.splitlines()[-1]) == (0, "", "1.0")
