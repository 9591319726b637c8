"""MLXFFI_TRACE writes down each call of the C ABI, of C programs and of Python ones; `trace diff` compares two runs."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from environment import Site
from helpers import needs_own_mlxc

from mlxffi import _loader
from mlxffi._trace import difference

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="calls are traced on Linux")
pytestmark = [needs_own_mlxc, linux]

PROGRAMS = Path(__file__).parent / "traced"
EXPECTED = (PROGRAMS / "one.txt").read_text()  # but for the last call, which fails


def config(*flags):
    command = [sys.executable, "-m", "mlxffi", "config", *flags]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """The programs, compiled, by name."""
    folder = tmp_path_factory.mktemp("programs")
    for name in ("one", "two", "long"):
        flags = ["-pthread", *config("--cflags", "--libs"), "-lm"]
        subprocess.run(["cc", PROGRAMS / f"{name}.c", *flags, "-o", folder / name], check=True)
    return folder


def traced(program, trace):
    """Run a program with its calls traced into a file, and return the lines of that."""
    environ = {"LD_PRELOAD": config("--tracelib")[0], "MLXFFI_TRACE": str(trace)}
    subprocess.run([program], env=environ, check=True, timeout=60)
    return trace.read_text().splitlines()


def test_a_trace_has_each_call(programs, tmp_path):
    assert traced(programs / "one", tmp_path / "trace")[:-1] == EXPECTED.splitlines()


def test_a_call_that_fails_has_its_text(programs, tmp_path):
    *_, last = traced(programs / "one", tmp_path / "trace")
    call = '[0] mlx_load(res=null, file="/nowhere/100%s \\"x\\".npy", s=null) = 1 "'
    assert last.startswith(f"{call}[mlx_load] argument `s`")


def test_lines_of_json_say_the_same(programs, tmp_path):
    *calls, failure = map(json.loads, traced(programs / "one", tmp_path / "trace.jsonl"))
    assert [line["call"] for line in calls] == re.findall(r"mlx_\w+(?=\()", EXPECTED)
    assert calls[4]["arguments"] == {"res": "array#3", "a": "array#2", "s": "stream#1"}
    assert (calls[4]["thread"], calls[4]["depth"], calls[4]["status"]) == (0, 1, 0)
    assert calls[4]["live"] == {"array": 3, "vector_array": 1, "stream": 1, "closure": 1}
    assert calls[1]["arguments"]["shape"] == [2]
    assert calls[1]["returns"] == "array#1"
    assert failure["arguments"]["file"] == '/nowhere/100%s "x".npy'
    assert (failure["status"], failure["error"][:10]) == (1, "[mlx_load]")


def test_each_thread_has_a_number(programs, tmp_path):
    lines = traced(programs / "two", tmp_path / "trace")
    calls = {n: [re.sub(r"[ #]\d+|\(.*", "", x[4:]) for x in lines if x.startswith(f"[{n}]")] for n in range(3)}
    assert calls[0] == calls[1] == [re.sub(r"[ #]\d+|\(.*", "", x[4:]) for x in EXPECTED.splitlines()[:-1]]
    assert len(calls[2]) == 2
    assert difference(lines, traced(programs / "two", tmp_path / "again")) is None


def test_the_library_has_every_function_of_the_one_it_stands_for():
    def exported(library):
        out = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
        return {line.split()[-1] for line in out.splitlines() if re.match(r"_?mlx", line.split()[-1])}

    assert exported(_loader.TRACER) == exported(_loader.LIBMLXC)


PYTHON = """
import mlxffi
print(mlxffi.grad(lambda x: [mlxffi.square(x[0])])(mlxffi.Array(3.0))[0].item())
print("/lib/trace/" in open("/proc/self/maps").read())
import mlxffi.core as mx
print(mx.grad(lambda x: x * x)(mx.array(3.0)).item())
"""


def test_calls_of_python_are_traced(tmp_path):
    site = Site(tmp_path / "site")
    site.environ["MLXFFI_TRACE"] = str(tmp_path / "trace")
    assert site.output(PYTHON).split() == ["6.0", "True", "6.0"]
    text = (tmp_path / "trace").read_text()
    assert re.search(r"^\[0\]   mlx_square\(res=array#\d+, a=array#\d+, s=\S+\) = 0", text, re.M)
    assert re.search(r"^\[0\] mlx_closure_value_and_grad_apply\(.*\) = 0", text, re.M)


STARTS = """
import subprocess, sys, mlxffi
mlxffi.lib.mlx_random_seed(2)
subprocess.run([sys.executable, "-S", "-c", "import mlxffi; mlxffi.lib.mlx_random_seed(3)"], check=True)
mlxffi.lib.mlx_random_seed(4)
"""


@pytest.mark.parametrize("suffix", ["", ".jsonl"])
def test_a_program_that_is_started_has_a_trace_of_its_own(tmp_path, suffix):
    site = Site(tmp_path / "site")
    site.environ["MLXFFI_TRACE"] = str(tmp_path / f"trace{suffix}")
    site.output(STARTS)
    first, started = sorted(tmp_path.glob("trace*"), key=lambda path: len(path.name))
    assert re.fullmatch(rf"trace\.\d+{suffix}", started.name)
    seeds = [re.findall(r"\bseed\b\W+(\d+)", path.read_text()) for path in (first, started)]
    assert seeds == [["2", "4"], ["3"]]


def test_an_error_of_any_length_is_passed_on(programs, tmp_path):
    lines = traced(programs / "long", tmp_path / "trace")
    assert lines[-1].startswith('[0] _mlx_error(file="long.c", line=1, text="' + "0" * 4999 + '7")')


def test_without_the_variable_nothing_is_in_the_way(tmp_path):
    assert Site(tmp_path / "site").output(PYTHON).split() == ["6.0", "False", "6.0"]


def test_a_preloaded_library_without_the_variable_writes_nothing(programs, tmp_path):
    subprocess.run([programs / "one"], env={"LD_PRELOAD": config("--tracelib")[0]}, check=True, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_where_no_call_can_be_traced_that_is_told(tmp_path):
    site = Site(tmp_path / "site")
    shutil.rmtree(site.copy("mlxffi") / "lib/trace")
    site.environ["MLXFFI_TRACE"] = str(tmp_path / "trace")
    result = site.python("-c", "import mlxffi; print(mlxffi.Array(2.0).item())")
    assert (result.returncode, result.stdout) == (0, "2.0\n")
    assert "RuntimeWarning: MLXFFI_TRACE: calls are traced on Linux alone; nothing is written" in result.stderr
    assert not (tmp_path / "trace").exists()


# --- diff ---


def diff(*traces):
    command = [sys.executable, "-m", "mlxffi", "trace", "diff", *map(str, traces)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.returncode, result.stdout + result.stderr


def test_diff_prints_the_first_difference(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text(EXPECTED)
    second.write_text(EXPECTED)
    assert diff(first, second) == (0, "no difference in 17 calls\n")
    lines = EXPECTED.replace("res=25", "res=26").replace("keepdims=false", "keepdims=true")
    second.write_text(lines)
    status, text = diff(first, second)
    assert status == 1
    assert text == f"{first}:10: {EXPECTED.splitlines()[9]}\n{second}:10: {lines.splitlines()[9]}\n"
    second.write_text("".join(EXPECTED.splitlines(keepends=True)[:5]))
    assert diff(first, second) == (1, f"{first}:6: {EXPECTED.splitlines()[5]}\n{second}: ends\n")
    assert diff(first, tmp_path / "c") == (2, f"mlxffi: {tmp_path / 'c'}: No such file or directory\n")


def test_diff_knows_handles_by_what_they_are():
    lines = EXPECTED.splitlines()
    renumbered = EXPECTED.replace("array#1", "array#7").splitlines()
    assert difference(lines, renumbered) is None
    swapped = EXPECTED.replace("vec=vector_array#2", "vec=vector_array#1").splitlines()
    assert difference(lines, swapped)[0].number == 8


def test_diff_sees_what_is_alive_where_there_is_one_thread():
    lines = EXPECTED.splitlines()
    leaking = EXPECTED.replace("live {closure: 1}", "live {array: 1, closure: 1}").splitlines()
    assert difference(lines, leaking)[0].number == 1


def test_diff_compares_thread_by_thread():
    first = ["[0] mlx_a() = 0  live {}", "[1] mlx_b() = 0  live {x: 1}", "[0] mlx_c() = 0  live {}"]
    second = ["[0] mlx_a() = 0  live {}", "[0] mlx_c() = 0  live {y: 2}", "[1] mlx_b() = 0  live {}"]
    assert difference(first, second) is None
    second[1] = "[0] mlx_c() = 1  live {}"
    one, other = difference(first, second)
    assert (one.number, other.number) == (3, 2)
