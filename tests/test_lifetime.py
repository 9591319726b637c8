"""Native objects and callbacks die with what owns them. (conftest.py compares their numbers around every test.)"""

import gc
import subprocess
import sys
import threading
import weakref
from collections import deque
from pathlib import Path

import pytest
from helpers import CPYTHON, counts_references, needs_own_mlxc, run_python

import mlxffi as m
from mlxffi import Array, _closures, ffi, lib, memory

SOAK = Path(__file__).resolve().parents[1] / "scripts/soak.py"


def square(x):
    return [m.sum(x[0] * x[0])]


@pytest.fixture
def callbacks():
    """How many callbacks there are more than before the test."""
    before = memory.live_handles()["callbacks"]
    return lambda: memory.live_handles()["callbacks"] - before


@pytest.fixture
def baseline():
    return memory.live_handles()


def test_a_call_leaves_nothing(baseline):
    for _ in range(3):
        m.value_and_grad(square)(Array(3.0))
        m.vjp(square, [Array(3.0)], [Array(1.0)])
        m.jvp(square, [Array(3.0)], [Array(1.0)])
        m.vmap(square)([Array([3.0])])
        m.compile(square)([Array(3.0)])
        m.checkpoint(square)([Array(3.0)])
        m.custom_function(square, vjp=lambda p, c, o: p)([Array(3.0)])
        assert memory.live_handles() == baseline


@pytest.mark.parametrize(
    "call",
    [
        lambda inputs: _closures.python_closure(inputs, 1, -1),
        lambda inputs: _closures.python_closure_kwargs(inputs, 1, 0, -1),
        lambda inputs: _closures.python_closure_custom_vmap(None, inputs, 1, [0], 1, -1),
    ],
)
def test_a_callback_without_a_function_leaves_nothing(call):
    inputs = ffi.new("intptr_t[]", [Array(3.0)._mlxffi_share()])
    with pytest.raises(KeyError):
        call(inputs)


def test_second_order_leaves_nothing(baseline):
    def first(x):
        return m.vjp(m.checkpoint(square), x, [Array(1.0)])[1]

    second = m.vjp(lambda x: m.checkpoint(first)(x), [Array(3.0)], [Array(1.0)])[1]
    assert second[0].item() == 2.0
    del second
    assert memory.live_handles() == baseline


def test_a_failure_leaves_nothing(baseline):
    def fail(x):
        kept.extend(x)
        raise KeyError("mine")

    kept = []
    for transform in (m.value_and_grad(fail), m.compile(fail), m.checkpoint(fail), m.vmap(fail)):
        with pytest.raises(KeyError, match="mine"):
            transform(Array(3.0)) if isinstance(transform, m.GradFn) else transform([Array([3.0])])
    assert len(kept) == 4
    kept.clear()
    del transform
    assert memory.live_handles() == baseline


@needs_own_mlxc
def test_an_exception_holds_what_its_frames_hold_until_it_dies(baseline):
    def fail(x):
        raise KeyError

    try:
        m.vjp(fail, [Array(3.0)], [Array(1.0)])
    except KeyError as error:
        caught = error
    assert memory.live_handles() != baseline
    caught.__traceback__ = None
    assert memory.live_handles() == baseline


def test_a_transform_keeps_its_function(callbacks):
    class Function:
        def __call__(self, x):
            return square(x)

    for make in (m.value_and_grad, m.compile):
        function = Function()
        alive = weakref.ref(function)
        transform = make(function)
        del function
        assert (alive() is not None, callbacks()) == (True, 1)
        transform(Array(3.0)) if make is m.value_and_grad else transform([Array(3.0)])
        transform.free()
        assert (callbacks(), alive()) == (0, None)


def test_a_lazy_graph_keeps_a_checkpointed_function_until_it_is_computed(callbacks):
    calls = []
    result = m.vjp(m.checkpoint(lambda x: calls.append(1) or square(x)), [Array(3.0)], [Array(1.0)])
    assert (len(calls), callbacks()) == (2, 1)
    m.eval(*result[0], *result[1])
    del result
    assert callbacks() == 0


def test_a_graph_that_is_never_computed_lets_go_of_its_functions(callbacks):
    result = m.custom_vjp(square, lambda p, c, o: p)([Array(3.0)])
    assert callbacks() == 2
    result[0].close()
    assert callbacks() == 0


def test_an_argument_that_a_function_keeps_outlives_the_transform():
    kept = []
    m.value_and_grad(lambda x: kept.extend(x) or square(x))(Array(3.0))
    assert kept[0].item() == 3.0


# --- cycles: the collector finds them ---


def cycle_of_grad_fn():
    def function(x):
        assert transform is not None
        return square(x)

    transform = m.value_and_grad(function)
    transform(Array(3.0))


def cycle_of_compiled_function():
    def function(x):
        return transform(x) if x[0].ndim else square(x)

    transform = m.compile(function)
    transform([Array(3.0)])


def cycle_of_method():
    class Model:
        def __init__(self):
            self.weight = Array([1.0, 2.0])
            self.step = m.value_and_grad(self.loss)
            self.forward = m.compile(self.loss)

        def loss(self, x):
            return [m.sum(self.weight * x[0])]

    model = Model()
    model.step(Array(3.0))
    model.forward([Array(3.0)])


def cycle_of_exception():
    def function(x):
        error = KeyError(x)
        raise error

    with pytest.raises(KeyError):
        m.vjp(m.checkpoint(function), [Array(3.0)], [Array(1.0)])


CYCLES = [cycle_of_grad_fn, cycle_of_compiled_function, cycle_of_method, cycle_of_exception]


@counts_references
@pytest.mark.parametrize("make", CYCLES, ids=lambda make: make.__name__)
def test_cycles_are_collected(make, baseline):
    make()
    # Somebody else's mlx-c does not count arrays, and functions that a Python object keeps are not C's.
    assert memory.live_handles() != baseline or "array" not in baseline
    gc.collect()
    assert memory.live_handles() == baseline


def test_a_cycle_through_a_lazy_graph_ends_with_the_computation(baseline):
    holder = []
    holder.extend(m.checkpoint(lambda x: [x[0] * len(holder)])([Array(3.0)]))
    m.eval(*holder)
    holder.clear()
    assert memory.live_handles() == baseline


INTERRUPTED = """
import gc
from mlxffi import Array, _garbage, memory

def arrays_left():
    for _ in range(20):
        Array(1.0)
    for _ in range(5):
        gc.collect()
    return memory.live_handles()["array"]

def interrupted(watched):
    _garbage._free_dead = free_dead
    raise KeyboardInterrupt

before = arrays_left()
free_dead, _garbage._free_dead = _garbage._free_dead, interrupted
gc.collect()
arrays_left()
print(arrays_left() - before)
"""


@pytest.mark.skipif(CPYTHON, reason="CPython frees arrays at once")
def test_freeing_goes_on_after_an_interrupt():
    status, stdout, stderr = run_python(INTERRUPTED)
    assert (status, stdout, "KeyboardInterrupt" in stderr) == (0, "0\n", True), stderr


# --- threads and time ---


def test_transforms_may_die_on_another_thread(baseline):
    def die(transforms):
        transforms.clear()

    transforms = [m.value_and_grad(square), m.compile(square)]
    transforms[0](Array(3.0))
    transforms[1]([Array(3.0)])
    thread = threading.Thread(target=die, args=[transforms])
    thread.start()
    thread.join()
    assert memory.live_handles() == baseline


@counts_references
def test_traces_of_a_living_thread_die_with_the_function():
    constant = Array([0.0] * (1 << 18))
    before = memory.active_memory()
    functions = [m.compile(lambda x: [x + Array([0.0] * (1 << 18))]) for _ in range(3)]
    called, done = threading.Event(), threading.Event()

    def call():
        m.eval(*[function([constant])[0] for function in functions])
        called.set()
        done.wait(60)

    thread = threading.Thread(target=call)
    thread.start()
    called.wait(60)
    assert memory.active_memory() - before == 3 << 20
    functions.clear()
    assert memory.active_memory() == before
    done.set()
    thread.join()


@needs_own_mlxc
@pytest.mark.parametrize(("lasting", "bound"), [(1, 50_000), (10_000, 200_000)], ids=["young", "old"])
def test_dead_arrays_do_not_wait_in_ever_larger_numbers(lasting, bound):
    """Also where nothing counts references: the collector comes in time without being called."""
    a, most, kept = Array(1.0), 0, deque(maxlen=lasting)
    kind = list(memory.live_handles()).index("array")
    for _ in range(30):
        for _ in range(10_000):
            kept.append(a + a)
        most = max(most, lib.mlxffi_live_objects(kind))
    assert most < bound


@pytest.mark.parametrize("make", ["computed", "from_memory"])
def test_memory_of_dead_arrays_does_not_pile_up(make):
    size, most, bound = 1 << 22, 0, memory.active_memory() + 3 * (1 << 28)
    data = bytes(4 * size)
    for _ in range(80):
        if make == "computed":
            m.eval(m.zeros([size], "float32"))
        else:
            Array(memoryview(data).cast("f"))
        most = max(most, memory.active_memory())
    assert most < bound


def test_memory_stays_flat_over_calls_and_failures():
    command = [sys.executable, SOAK, "--count", "2000"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    assert result.stdout.splitlines()[-1] == "soak: memory is flat"
