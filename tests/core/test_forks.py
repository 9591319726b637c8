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
