"""Signal handlers that raise, as that of SIGINT does, may do so after any call of Python's.

What C has made by then has an owner already in mlxffi.core. In the cffi binding an integer is on its way to its owner,
and CPython looks for signals just then: an interrupt may leave one object of C alive there, and no more.
"""

import textwrap
from importlib.util import find_spec

import pytest
from helpers import CPYTHON, run_python

pytestmark = pytest.mark.skipif(not CPYTHON, reason="is about reference counts")

PROGRAM = """
import gc, random, signal
{imports}

class Interrupt(BaseException):
    pass

def interrupt(*_):
    raise Interrupt

def interrupted():
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 1e-3))
        for _ in range(200):
            work()
    except Interrupt:
        return 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return 0

{work}

signal.signal(signal.SIGALRM, interrupt)
random.seed(7)
work(), gc.collect()
before = live_handles()
count = 0
for _ in range({rounds}):
    try:
        count += interrupted()
    except Interrupt:
        count += 1
gc.collect()
after = live_handles()
print(count, sum(after.values()) - sum(before.values()))
"""

CORE = """
from mlxffi.memory import live_handles
import mlxffi.core as mx
a = mx.array([[1.0, 2.0], [3.0, 4.0]])
step = mx.value_and_grad(lambda x: (x * x).sum())
both = mx.compile(lambda x: mx.divmod(x, 2.0))

def work():
    q, r = both(a)
    b = mx.concatenate(mx.split(a[:, ::-1] + q @ r, 2))
    step(b)[1].tolist(), mx.vmap(mx.exp)(b).sum().item()
"""

FLAT = """
from mlxffi.memory import live_handles
import mlxffi as m
a = m.Array([[1.0, 2.0], [3.0, 4.0]])
step = m.value_and_grad(lambda x: [m.sum(x[0] * x[0])])
both = m.compile(lambda x: list(m.divmod(x[0], 2.0)))

def work():
    q, r = both([a])
    b = m.concatenate(m.split(a[:, ::-1] + q @ r, 2, 0))
    step(b)[1][0].tolist(), m.sum(m.vmap(lambda x: [m.exp(x[0])])([b])[0]).item()
"""


def counts_of(layer, rounds=300):
    imports, _, work = layer.partition("\n\ndef")
    code = PROGRAM.format(imports=textwrap.dedent(imports), work=f"def{work}", rounds=rounds)
    status, output, stderr = run_python(code, 120)
    assert status == 0, stderr
    return [int(number) for number in output.split()]


@pytest.mark.skipif(find_spec("mlxffi._native") is None, reason="needs mlxffi.core")
def test_interrupts_leave_nothing_behind_in_core():
    interrupts, left = counts_of(CORE)
    assert interrupts > 100
    assert left == 0


def test_an_interrupt_leaves_at_most_one_object_behind_in_the_cffi_binding():
    interrupts, left = counts_of(FLAT)
    assert interrupts > 100
    assert left <= interrupts
