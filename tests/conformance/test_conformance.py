"""The C runner over the vectors and the protocol cases, and what tests/conformance/README.md promises of them."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from schema import problems

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
RUNNER = FOLDER / "runners/c"
SETS = sorted(FOLDER.glob("vectors/*/*.json"))
DOCS = [ROOT / "docs/porting.md", ROOT / "docs/ownership.md"]


def protocol():
    return json.loads((FOLDER / "protocol.json").read_text())


def cases():
    return [case for path in SETS for case in json.loads(path.read_text())["cases"]]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run the C runner, which is built once."""
    build = tmp_path_factory.mktemp("conformance")
    environment = {**os.environ, "PYTHON": sys.executable, "CONFORMANCE_BUILD": str(build)}

    def run(*arguments):
        command = [RUNNER / "run.sh", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)

    return run


def test_the_runner_passes_every_case(run):
    result = run(FOLDER)
    count = len(cases()) + len(protocol())
    assert result.stdout.splitlines()[-1] == f"{count} of {count}", result.stdout + result.stderr
    assert result.returncode == 0


def test_a_case_that_fails_is_named_with_what_came_and_what_is_right(run, tmp_path):
    copy = broken_copy(tmp_path)
    result = run(copy, "batch/")
    assert result.returncode == 1
    assert "failed: batch/one: output 0: element 0: got another integer than is right" in result.stdout


def test_a_case_that_is_expected_to_fail_counts_as_right(run, tmp_path):
    expected = tmp_path / "expected"
    expected.write_text("# not done yet\nbatch/one\n")
    result = run(broken_copy(tmp_path), "--expect", expected, "batch/")
    assert result.returncode == 0, result.stdout


def test_an_unexpected_pass_is_told(run, tmp_path):
    expected = tmp_path / "expected"
    expected.write_text("batch/one\n")
    result = run(FOLDER, "--expect", expected, "batch/")
    assert result.returncode == 1
    assert "unexpected pass: batch/one" in result.stdout


def broken_copy(tmp_path):
    """The suite with another number in what is right of batch/one."""
    copy = tmp_path / "suite"
    shutil.copytree(FOLDER / "vectors", copy / "vectors")
    shutil.copy(FOLDER / "protocol.json", copy)
    (path,) = copy.glob("vectors/*/records.safetensors")
    data = bytearray(path.read_bytes())
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    data[8 + length + header["batch/one/=0"]["data_offsets"][0]] ^= 1
    path.write_bytes(data)
    return copy


def test_frozen_sets_are_as_they_were():
    for folder in {path.parent for path in SETS}:
        frozen = dict(reversed(line.split()) for line in (folder / "FROZEN").read_text().splitlines())
        assert frozen.keys() == {path.name for path in folder.iterdir()} - {"FROZEN"}
        for name, digest in frozen.items():
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.stem)
def test_a_set_fits_the_schema(path):
    schema = json.loads((FOLDER / "schema.json").read_text())
    assert problems(json.loads(path.read_text()), schema, schema) == []


def test_every_tensor_of_a_case_is_there():
    for path in SETS:
        data = path.with_suffix(".safetensors").read_bytes()
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        used = {name for case in json.loads(path.read_text())["cases"] for name in tensors_of(case)}
        assert used == header.keys(), path.name


def tensors_of(case):
    yield from case.get("inputs", []) + case.get("captured", [])
    for transform in case.get("transforms", []):
        yield from transform.get("cotangents", []) + transform.get("tangents", [])
    for right in case["expected"]:
        yield from (output["tensor"] for output in right)
    yield from case.get("contract", {}).get("arguments", {}).get("file", {}).values()


def test_outcomes_have_as_many_lists_as_they_should():
    for case in cases():
        count = len(case["expected"])
        assert {"required": count == 1, "allowed": count > 1, "error": count == 0}[case["outcome"]], case["name"]


def test_names_are_unique():
    names = [case["name"] for case in cases()] + [case["id"] for case in protocol()]
    assert len(set(names)) == len(names)


def test_every_regular_function_has_a_case():
    command = "from vectors import classes, sets; print(*classes.functions()); print(*sets.LEFT_OUT)"
    command = f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r}); {command}"
    printed = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True).stdout
    functions, left_out = (set(line.split()) for line in printed.splitlines())
    called = {step["call"] for case in cases() for step in case.get("steps", [])}
    assert functions - called == left_out


def test_every_protocol_case_names_a_rule_of_the_guide():
    rules = re.findall(r"^- \*\*([a-z0-9-]+)\*\*", "".join(path.read_text() for path in DOCS), flags=re.M)
    assert {case["rule"] for case in protocol()} <= set(rules)


def test_every_protocol_case_has_code_in_the_runner():
    code = "".join(path.read_text() for path in RUNNER.glob("protocol_*.c"))
    ids = re.findall(r'\{"([a-z-]+)", [a-z_]+\}', code)
    assert {case["id"] for case in protocol()} <= set(ids)


def test_the_runner_uses_only_the_headers_of_the_library():
    for path in RUNNER.glob("*.[ch]"):
        includes = re.findall(r'#include "([^"]+)"', path.read_text())
        assert {name for name in includes if not (RUNNER / name).exists()} <= {"mlx/c/mlx.h"}, path.name


def test_the_runner_calls_by_name_what_mlx_c_has_not():
    """So that it can be linked to an mlx-c, over which it leaves out what needs more."""
    functions = json.loads((ROOT / "include/mlxffi/abi.json").read_text())["functions"]
    newer = {row["name"] for row in functions if row["since"] != "mlx-c"}
    for path in RUNNER.glob("*.c"):
        assert not newer & set(re.findall(r"\b(mlx\w*)\(", path.read_text())), path.name


def test_the_readers_of_the_runner_are_small():
    assert max(len((RUNNER / name).read_text().splitlines()) for name in ("json.c", "tensors.c")) < 200


def test_defects_are_planted_in_lines_that_are_there():
    for defect in json.loads((FOLDER / "defects/defects.json").read_text()):
        for file, old, _ in defect["edits"]:
            assert (RUNNER / file).read_text().count(old) == 1, (defect["name"], file)


def test_the_suite_is_ascii_as_its_readers_take_it():
    for path in [*SETS, FOLDER / "protocol.json"]:
        assert path.read_text().isascii()
        assert "\\u" not in path.read_text(), path.name
