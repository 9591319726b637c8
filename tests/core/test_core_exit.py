"""Processes that use mlxffi.core end with their own status and an empty stderr, whatever is alive."""

import signal
import textwrap

import pytest
from helpers import run_python

PRELUDE = """
import os, sys, threading, time
import mlxffi.core as mx

def square(x):
    return mx.square(x).sum()

x = mx.array([1.0, 2.0, 3.0])
"""


def run(code, timeout=120):
    return run_python(PRELUDE + textwrap.dedent(code), timeout)


ALIVE = {
    "a lazy graph": "y = mx.grad(mx.checkpoint(square))(x)",
    "a lazy graph that is being computed": "y = mx.exp(mx.zeros((4000, 4000))); mx.async_eval(y)",
    "a gradient function": "f = mx.value_and_grad(square); f(x)",
    "a compiled function": "f = mx.compile(square); mx.eval(f(x)); f(mx.array([1.0]))",
    "compiled state": "s = {'w': x}; f = mx.compile(lambda: s.update(w=s['w'] + 1), inputs=s, outputs=s); f()",
    "a custom function": "f = mx.custom_function(square); f.vjp(lambda p, c, o: p); y = mx.grad(f)(x)",
    "the random state": "mx.random.seed(1); y = mx.random.normal((3,))",
    "a cycle": """
        def function(x):
            return square(x) if transform else None
        transform = mx.value_and_grad(mx.checkpoint(function))
        transform(x)
    """,
    "a transform in an atexit function": """
        import atexit
        atexit.register(lambda: mx.eval(mx.grad(square)(x)))
    """,
}


@pytest.mark.parametrize("alive", ALIVE)
def test_a_process_ends_with_its_status(alive):
    assert run(f"{textwrap.dedent(ALIVE[alive])}\nprint('done')\nsys.exit(7)") == (7, "done\n", "")


def test_daemon_threads_do_not_disturb_the_end():
    code = """
    compiled = mx.compile(mx.grad(square))
    started = threading.Semaphore(0)

    def work():
        while True:
            mx.eval(mx.value_and_grad(mx.checkpoint(square))(mx.array([1.0, 2.0]))[1], compiled(mx.array([3.0])))
            started.release()

    for _ in range(3):
        threading.Thread(target=work, daemon=True).start()
    started.acquire(); started.acquire()
    sys.exit(7)
    """
    for _ in range(3):
        assert run(code) == (7, "", "")


def test_a_daemon_thread_in_a_callback_does_not_hold_up_the_end():
    # What was registered before mlxffi runs after callbacks are stopped, and lets the threads run into that.
    code = """
    import atexit, sys, threading, time
    atexit.register(time.sleep, 0.3)
    import mlxffi.core as mx
    transforms = [mx.grad(mx.square), mx.vmap(mx.square), mx.checkpoint(mx.square), mx.compile(mx.square)]
    started = threading.Semaphore(0)

    def work(transform):
        for size in range(1, 10**9):
            transform(mx.array(3.0) if transform is transforms[0] else mx.zeros((size % 1000 + 1,)))
            started.release()

    for transform in transforms:
        threading.Thread(target=work, args=[transform], daemon=True).start()
    for _ in range(8):
        started.acquire()
    sys.exit(7)
    """
    assert run_python(textwrap.dedent(code), 60) == (7, "", "")


@pytest.mark.parametrize("nested", ["leave", "mx.checkpoint(leave)", "mx.compile(leave)", "mx.vmap(leave)"])
def test_sys_exit_in_a_callback_ends_the_process(nested):
    code = f"""
    def leave(x):
        sys.exit(9)
    mx.grad(lambda x: {nested}(x))(x)
    """
    assert run(code) == (9, "", "")


def test_an_interrupt_in_a_callback_ends_the_process():
    status, _, stderr = run("""
    import signal
    signal.signal(signal.SIGINT, signal.default_int_handler)
    mx.vjp(lambda x: signal.raise_signal(signal.SIGINT), [x], [x])
    """)
    assert (status, stderr.splitlines()[-1]) == (-signal.SIGINT, "KeyboardInterrupt")


def test_a_forked_child_gets_an_error_and_no_hang():
    status, output, stderr = run(
        """
    mx.eval(mx.grad(square)(x))
    lazy = mx.exp(x)
    calls = [lambda: mx.eval(lazy), lambda: lazy.tolist(), lambda: mx.async_eval(lazy), lambda: str(lazy)]
    for child in [*calls, mx.synchronize]:
        pid = os.fork()
        if pid == 0:
            try:
                child()
            except RuntimeError as error:
                print("spawn" in str(error), flush=True)
                os._exit(8)
            os._exit(1)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    """,
        timeout=60,
    )
    assert (status, output.split(), stderr) == (0, ["True", "8"] * 5, "")
