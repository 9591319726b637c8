"""The runners in Go, LuaJIT and Rust, each where its tools are installed."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_conformance import FOLDER, broken_copy, cases, protocol

RUNNERS = FOLDER / "runners"
# What each language cannot express; the runner says why.
LEFT_OUT = {"go": {"protocol/fork-child"}, "lua": {"protocol/thread-gradients"}, "rust": set()}
NOT_INSTALLED = 77


@pytest.fixture(scope="module", params=LEFT_OUT)
def run(request, tmp_path_factory):
    """Run the runner of a language, which is built once."""
    build = tmp_path_factory.mktemp(request.param)
    environment = {**os.environ, "PYTHON": sys.executable, "CONFORMANCE_BUILD": str(build)}

    def run(*arguments):
        command = [RUNNERS / request.param / "run.sh", *map(str, arguments)]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, env=environment)
        if result.returncode == NOT_INSTALLED:
            pytest.skip(result.stderr.strip())
        return result

    run.language = request.param
    return run


def test_the_runner_passes_every_case_but_those_that_it_names(run):
    result = run(FOLDER)
    left_out = set(re.findall(r"^left out: (\S+): \S", result.stdout, flags=re.M))
    assert left_out == LEFT_OUT[run.language], result.stdout + result.stderr
    count = len(cases()) + len(protocol()) - len(left_out)
    assert result.stdout.splitlines()[-1] == f"{count} of {count}", result.stdout + result.stderr
    assert result.returncode == 0


def test_a_case_that_fails_is_named_with_what_came_and_what_is_right(run, tmp_path):
    result = run(broken_copy(tmp_path), "batch/")
    assert result.returncode == 1
    assert re.search(r"^failed: batch/one: output 0: got .*right", result.stdout, flags=re.M), result.stdout


def test_a_case_that_is_expected_to_fail_counts_as_right(run, tmp_path):
    expected = tmp_path / "expected"
    expected.write_text("# not done yet\nbatch/one\n")
    result = run(broken_copy(tmp_path), "--expect", expected, "batch/")
    assert result.returncode == 0, result.stdout
    result = run(FOLDER, "--expect", expected, "batch/")
    assert result.returncode == 1
    assert "unexpected pass: batch/one" in result.stdout


def test_a_folder_that_cannot_be_read_is_told(run, tmp_path):
    result = run(tmp_path)
    assert result.returncode == 2
    assert str(tmp_path) in result.stderr


# Mistakes of a binding: the file of the LuaJIT runner, what stands there, what takes its place, the case that tells.
MISTAKES = {
    "wrong-loss": ("mlx.lua", "ops.mean(ops.square(", "ops.sum(ops.square(", "composed/mse"),
    "gradients-as-they-come": ("mlx.lua", "ascending[rank]", "ascending[i]", "protocol/argnums-order"),
    "leak": ("closures.lua", "closure, keep(fn), destroy", "closure, keep(fn), nil", "protocol/destructor-once"),
    "lost-error": ("closures.lua", "  abi.raised = raised\n", "", "protocol/fails-at-first"),
    "raw-strides": ("handles.lua", "handles.ops.contiguous(self, false):eval()", "self:eval()", "protocol/views"),
    "ignored-status": ("handles.lua", "      check(fn(res, ", "      tostring(fn(res, ", "protocol/status-of-build"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_of_a_binding_is_told_by_the_case_that_is_about_it(mistake, tmp_path):
    file, right, wrong, case = MISTAKES[mistake]
    copy = Path(shutil.copytree(RUNNERS / "lua", tmp_path / "lua"))
    text = (copy / file).read_text()
    assert text.count(right) == 1
    (copy / file).write_text(text.replace(right, wrong))
    command = ["bash", copy / "run.sh", FOLDER, case]
    environment = {**os.environ, "PYTHON": sys.executable}
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)
    if result.returncode == NOT_INSTALLED:
        pytest.skip(result.stderr.strip())
    assert result.returncode == 1
    assert f"failed: {case}: " in result.stdout, result.stdout + result.stderr


def test_rust_knows_every_class():
    text = (RUNNERS / "rust/call.rs").read_text()
    listed = re.findall(r"\[((?:[A-Za-z] )*[A-Za-z])\]", text[text.rindex("classes! {") :])
    known = {letters.replace(" ", "").replace("nN", "n").replace("qQ", "q") for letters in listed}
    assert known == json.loads((FOLDER / "classes.json").read_text()).keys()


def test_runners_need_nothing_but_their_language_and_the_library():
    assert "require" not in (RUNNERS / "go/go.mod").read_text()
    imports = set(re.findall(r'^\t"([^"]+)"$', "".join(sources("go", "*.go")), flags=re.M))
    assert not {name for name in imports if "." in name}
    modules = set(re.findall(r'require\("(\w+)"\)', "".join(sources("lua", "*.lua"))))
    assert modules == {path.stem for path in (RUNNERS / "lua").glob("*.lua")} - {"run"} | {"ffi"}
    crates = set(re.findall(r"^use (\w+)", "".join(sources("rust", "*.rs")), flags=re.M))
    assert crates <= {"std", "crate", "super", "mlx", "json"}


def sources(language, pattern):
    return [path.read_text() for path in sorted((RUNNERS / language).rglob(pattern))]


def test_files_of_the_runners_are_short():
    for pattern in ("go/**/*.go", "lua/*.lua", "rust/**/*.rs"):
        for path in RUNNERS.glob(pattern):
            assert len(path.read_text().splitlines()) < 500, path
