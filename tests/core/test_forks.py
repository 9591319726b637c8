"""In a forked child every public function works or raises: none waits for threads that the parent has."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers import FORKS, run_python

PROGRAM = Path(__file__).with_name("forked.py")


@pytest.mark.parametrize("layer", ["mlxffi", "mlxffi.core"])
def test_no_function_hangs_or_dies_in_a_forked_child(layer, tmp_path):
    command = [sys.executable, "-W", FORKS, PROGRAM, layer]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False)
    assert (result.returncode, result.stdout) == (0, ""), result.stdout + result.stderr


MEMORY = ["clear_cache()", "set_cache_limit(10**9)", "synchronize()"]


@pytest.mark.parametrize("call", MEMORY)
def test_what_waits_for_streams_is_refused(call):
    status, output, stderr = run_python(f"""
import os, mlxffi.core as mx
mx.eval(mx.exp(mx.ones(3)))
if os.fork() == 0:
    try:
        mx.{call}
    except RuntimeError as error:
        print("forked process; start the process with the 'spawn' method" in str(error), flush=True)
    os._exit(0)
os.wait()
""")
    assert (status, output, stderr) == (0, "True\n", "")


def test_a_child_of_a_process_that_has_computed_nothing_computes():
    status, output, stderr = run_python("""
import os, mlxffi.core as mx
if os.fork() == 0:
    print(mx.sum(mx.matmul(mx.ones((300, 300)), mx.ones((300, 300)))).item(), flush=True)
    mx.clear_cache()
    os._exit(0)
os.wait()
""")
    assert (status, output, stderr) == (0, "27000000.0\n", "")


# A thread that is inside MLX's allocator when the process forks leaves its lock to nobody.
WHILE_THREADS_ALLOCATE = """
import os, signal, threading, mlxffi.core as mx
mx.eval(mx.exp(mx.ones(3)))
busy = True
def work():
    while busy:
        mx.async_eval([mx.ones((50, 50)) + number for number in range(30)])
threads = [threading.Thread(target=work) for _ in range(3)]
[thread.start() for thread in threads]
made = set()
for _ in range(100):
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        made = [mx.array([1.0, 2.0]) for _ in range(10)]
        os._exit(0 if made[-1].tolist() == [1.0, 2.0] else 1)
    made.add(os.waitpid(child, 0)[1])
busy = False
[thread.join() for thread in threads]
print(made)
"""


def test_children_make_arrays_whatever_other_threads_did_when_they_came():
    assert run_python(WHILE_THREADS_ALLOCATE) == (0, "{0}\n", "")
