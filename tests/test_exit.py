"""Processes end with their own status and an empty stderr, whatever is alive; a forked child gets an error, no hang."""

import signal
import textwrap

import pytest
from helpers import run_python

PRELUDE = """
import os, sys, threading, time
import mlxffi as m
from mlxffi import Array

def square(x):
    return [m.sum(m.square(x[0]))]

x = Array([1.0, 2.0, 3.0])
"""


def run(code, timeout=120):
    return run_python(PRELUDE + textwrap.dedent(code), timeout)


ALIVE = {
    "nothing": "",
    "a lazy graph": "y = m.vjp(m.checkpoint(square), [x], [Array(1.0)])",
    "a lazy graph that is being computed": "y = m.exp(m.zeros([4000, 4000], 'float32')); m.async_eval(y)",
    "products that are being computed": """
        y = m.ones([500, 500], "float32")
        m.async_eval(*[m.matmul(y, y) for _ in range(40)])
    """,
    "a factorisation that is being computed": "m.async_eval(*m.linalg.qr(m.random.normal([500, 500])))",
    "a GradFn": "f = m.value_and_grad(square); f(x)",
    "a compiled function": "f = m.compile(square); m.eval(*f([x])); f([Array([1.0])])",
    "a compiled function with a checkpoint": "f = m.compile(m.checkpoint(square)); m.eval(*f([x]))",
    "a cycle": """
        def function(x):
            return square(x) if transform else None
        transform = m.value_and_grad(m.checkpoint(function))
        transform(x)
    """,
    "a cycle in builtins": """
        import builtins
        builtins.kept = [m.compile(lambda x: [x[0] * len(builtins.kept)])]
        builtins.kept[0]([x])
    """,
    "arrays in an object that dies late": """
        class Late:
            def __del__(self):
                self.values = m.value_and_grad(square)(x) if m else None
        sys.late = Late()
    """,
    "an exception": """
        def fail(x):
            raise KeyError
        try:
            m.vjp(m.checkpoint(fail), [x], [x])
        except KeyError as error:
            caught = error
    """,
    "a transform in an atexit function": """
        import atexit
        atexit.register(lambda: m.eval(*m.value_and_grad(square)(x)[1]))
    """,
    "arrays of a thread that has ended": """
        made = []
        thread = threading.Thread(target=lambda: made.extend([m.compile(square), *m.vjp(square, [x], [Array(1.0)])[0]]))
        thread.start()
        thread.join()
    """,
}


@pytest.mark.parametrize("alive", ALIVE)
def test_a_process_ends_with_its_status(alive):
    assert run(f"{textwrap.dedent(ALIVE[alive])}\nprint('done')\nsys.exit(7)") == (7, "done\n", "")


THREAD_WORK = {
    "computing": "m.eval(m.exp(m.zeros([300, 300], 'float32')))",
    "differentiating": "m.eval(*m.value_and_grad(m.checkpoint(square))(Array([1.0, 2.0]))[1])",
    "compiled": "m.eval(*compiled([Array([1.0, 2.0])]))",
    "failing": "caught(lambda: m.value_and_grad(fail)(Array(1.0)))",
    "sleeping in a callback": "m.vjp(lambda x: time.sleep(60), [Array(1.0)], [Array(1.0)])",
    "computing in a callback": "m.vjp(lambda x: [m.exp(m.zeros([300, 300], 'float32')).eval()], [x], [x])",
}
THREADS = """
compiled = m.compile(square)

def fail(x):
    raise KeyError

def caught(call):
    try:
        call()
    except KeyError:
        pass

def work(go_on):
    while go_on():
        try:
            {work}
        except ValueError:
            pass
        started.release()

started = threading.Semaphore(0)
"""


@pytest.mark.parametrize("work", [name for name in THREAD_WORK if "sleeping" not in name])
def test_a_process_waits_for_its_threads(work):
    code = THREADS.format(work=THREAD_WORK[work]) + textwrap.dedent("""
        ends = []  # once they have started, so that a busy machine does not end them before
        for _ in range(3):
            threading.Thread(target=work, args=[lambda: not ends or time.monotonic() < ends[0]]).start()
        started.acquire()
        ends.append(time.monotonic() + 0.3)
        sys.exit(7)
    """)
    assert run(code) == (7, "", "")


@pytest.mark.parametrize("work", THREAD_WORK)
def test_daemon_threads_do_not_disturb_the_end(work):
    wait = "time.sleep(0.2)" if "sleeping" in work else "started.acquire(); started.acquire()"
    code = THREADS.format(work=THREAD_WORK[work]) + textwrap.dedent(f"""
        for _ in range(3):
            threading.Thread(target=work, args=[lambda: True], daemon=True).start()
        {wait}
        sys.exit(7)
    """)
    for _ in range(3):
        assert run(code) == (7, "", "")


# --- the end inside of a callback ---


@pytest.mark.parametrize("nested", ["leave", "m.checkpoint(leave)", "lambda x: m.vjp(m.compile(leave), x, x)[0]"])
def test_sys_exit_in_a_callback_ends_the_process(nested):
    code = f"""
    def leave(x):
        sys.exit(9)
    m.value_and_grad({nested})(x)
    """
    assert run(code) == (9, "", "")


def test_an_exception_in_a_callback_is_printed_once():
    status, _, stderr = run("""
    def fail(x):
        raise KeyError("mine")
    m.value_and_grad(m.checkpoint(fail))(x)
    """)
    assert (status, stderr.count("Traceback"), stderr.splitlines()[-1]) == (1, 1, "KeyError: 'mine'")


def test_os_exit_in_a_callback_ends_the_process():
    assert run("m.vjp(lambda x: os._exit(5), [x], [x])") == (5, "", "")
    assert run("y = m.compile(square)([x]); m.async_eval(*y); os._exit(6)") == (6, "", "")


def test_an_interrupt_in_a_callback_ends_the_process():
    status, _, stderr = run("""
    import signal
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start background jobs with SIGINT ignored
    m.vjp(lambda x: signal.raise_signal(signal.SIGINT), [x], [x])
    """)
    assert (status, stderr.splitlines()[-1]) == (-signal.SIGINT, "KeyboardInterrupt")


# --- forks ---

FORK = """
m.eval(*m.value_and_grad(square)(x)[1], *m.compile(square)([x]))
lazy = m.exp(x)

def child():
    {child}

pid = os.fork()
if pid == 0:
    try:
        child()
    except m.Error as error:
        print(isinstance(error, RuntimeError), error, flush=True)
        {end}
    os._exit(1)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
assert lazy.tolist()[0] == m.exp(x)[0].item()
"""
EVALUATIONS = {
    "eval": "m.eval(lazy)",
    "async_eval": "m.async_eval(lazy)",
    "synchronize": "m.default_stream().synchronize()",
    "Array.eval": "lazy.eval()",
    "item": "m.sum(lazy).item()",
    "tolist": "lazy.tolist()",
    "detach": "lazy.detach()",
    "str": "str(lazy)",
    "numpy": "import numpy; numpy.array(lazy)",
    "saving what is computed": "m.io.save('never.npy', x)",
    "saving what is computed under a name": "m.io.save_safetensors('never.safetensors', dict(x=x))",
    "a gradient": "m.eval(*m.value_and_grad(square)(x)[1])",
    "a compiled function": "m.eval(*m.compile(square)([x]))",
}


@pytest.mark.parametrize("child", EVALUATIONS)
def test_a_forked_child_gets_an_error_and_no_hang(child):
    status, output, stderr = run(FORK.format(child=EVALUATIONS[child], end="os._exit(8)"), timeout=60)
    assert (status, stderr) == (0, "")
    message, code = output.splitlines()
    assert message.startswith("True [")
    assert "forked process; start the process with the 'spawn' method" in message
    assert code == "8"


@pytest.mark.parametrize("end", ["sys.exit(8)", "os._exit(8)"])
def test_a_forked_child_ends_with_its_status(end):
    status, output, stderr = run(FORK.format(child="lazy.eval()", end=end), timeout=60)
    assert (status, output.splitlines()[-1], stderr) == (0, "8", "")


def test_a_forked_child_may_use_what_needs_no_computation():
    code = FORK.format(child="print(lazy.shape, x.dtype, m.exp(lazy).ndim); os._exit(8)", end="pass")
    status, output, stderr = run(code, timeout=60)
    assert (status, output.splitlines()[-1], stderr) == (0, "8", ""), output
