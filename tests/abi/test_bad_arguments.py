"""Every function of the C ABI, called with bad arguments, gives an error; none ends the process or hangs."""

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from badargs import rules
from badargs.child import make_files
from badargs.mutations import FORMAT
from badargs.parent import run
from badargs.table import functions

from mlxffi import lib

# Declared only for compilers that have the half types, which cffi has not: tests/abi/c/array.c calls them.
NAMES = [name for name in functions() if "float16" not in name]
# After this one a process has no streams to evaluate on.
LAST = "mlx_clear_streams"
DTYPE = re.compile(r"dtype|integer|complex|floating|bool|float\d|uint\d")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = [tmp_path_factory.mktemp("calls") for _ in range(2)]
    for folder in made:
        make_files(folder)
    return made


@pytest.fixture(scope="module")
def outcomes(folders):
    """How every call went, made by two processes side by side."""
    names = [name for name in NAMES if name != LAST]
    halves = [names[0::2], [*names[1::2], LAST]]
    with ThreadPoolExecutor(len(halves)) as pool:
        return [outcome for part in pool.map(run, halves, folders) for outcome in part]


def names_of(outcomes):
    return [f"{outcome.case.name} {outcome.told}: {outcome.text[:200]}" for outcome in outcomes]


def test_every_function_is_called(outcomes):
    assert {outcome.case.function for outcome in outcomes} == set(NAMES)
    assert [name for name in NAMES if not hasattr(lib, name)] == []


def test_valid_calls_succeed(outcomes):
    """The same calls without a flaw work: it is the flaw that is refused."""
    failed = [o for o in outcomes if o.case.flaw == "valid" and o.refused]
    assert names_of(o for o in failed if not rules.matches(o.case, rules.UNAVAILABLE)) == []


def test_no_call_ends_the_process_or_hangs(outcomes):
    assert names_of(outcome for outcome in outcomes if outcome.ended) == []


def test_bad_arguments_are_refused(outcomes):
    """Empty handles, NULL pointers, impossible lengths and enums at the call, negative sizes there or at evaluation."""
    flawed = [outcome for outcome in outcomes if rules.refused(outcome.case)]
    assert len(flawed) > 3000
    late = re.compile(rules.NEGATIVE)
    assert names_of(o for o in flawed if not (o.refused if late.fullmatch(o.case.flaw) else o.failed)) == []


def test_every_error_has_a_text(outcomes):
    """A status tells of an error exactly where the thread's last error does."""
    assert names_of(o for o in outcomes if bool(o.text) != (o.kind != 0) and not o.ended) == []
    assert names_of(o for o in outcomes if o.told == "error" and not o.text) == []
    assert names_of(o for o in outcomes if o.told in ("ok", "nothing") and o.kind) == []


def test_no_other_status_comes(outcomes):
    """Than those of abi.json."""
    words = {0: "ok", 1: "error", 2: "nothing"}
    described = json.loads((Path(__file__).resolve().parents[2] / "include/mlxffi/abi.json").read_text())["functions"]
    told = {row["name"]: {words[status] for status in row["status"]} for row in described if row["status"]}
    came = [o for o in outcomes if o.case.function in told and not o.ended]
    assert len(came) > 3000
    assert names_of(o for o in came if o.told not in told[o.case.function]) == []


def test_the_argument_at_fault_is_named(outcomes):
    for outcome in outcomes:
        case = outcome.case
        if outcome.failed and rules.refused(case) and not rules.matches(case, rules.UNNAMED):
            if re.fullmatch(rules.NEGATIVE, case.flaw):
                continue
            name = "res" if case.flaw in ("NULL slot", "slot of no handle") else case.parameter
            assert f"argument `{name}`" in outcome.text, f"{case.name}: {outcome.text}"
            assert outcome.text.startswith(f"[{case.function}"), f"{case.name}: {outcome.text}"


def test_a_file_name_is_never_a_format(outcomes):
    """An error of a file names the file, `%s%n%d` and all."""
    files = [o for o in outcomes if o.case.parameter == "file" and FORMAT in str(o.case.arguments["file"]) and o.failed]
    assert {o.case.function for o in files} >= {
        name for name in NAMES if re.match(r"mlx_(load|save)(_\w+)?(?<!er)$", name)
    }
    assert names_of(o for o in files if FORMAT not in o.text) == []


def test_wrong_dtypes_are_refused_as_documented(outcomes):
    """A function refuses dtypes exactly if its documentation speaks of those that it refuses."""
    tried = [o for o in outcomes if o.case.flaw.startswith("dtype") and "," not in o.case.parameter]
    tried = [o for o in tried if not rules.matches(o.case, [*rules.UNAVAILABLE, *rules.DTYPES_IN_PASSING])]
    refusing = {o.case.function for o in tried if o.refused}
    told = {o.case.function for o in tried if DTYPE.search(functions()[o.case.function].errors)}
    assert told - refusing == set()
    assert {name for name in refusing - told if not DTYPE.search(functions()[name].doc)} == set()


def test_nothing_leaks_on_the_way(outcomes):
    assert names_of(outcome for outcome in outcomes if outcome.leaked) == []


@pytest.mark.parametrize("table", ["ACCEPTED", "UNAVAILABLE", "UNNAMED", "DTYPES_IN_PASSING"])
def test_every_exemption_is_needed(outcomes, table):
    for rule in getattr(rules, table):
        assert any(rules.matches(outcome.case, [rule]) for outcome in outcomes), f"{table}: {rule}"


def test_failing_evaluations_leave_later_ones_running():
    """MLX forgets to count tasks that a failed one takes with it: some hundred failures later nothing ran any more."""
    command = [sys.executable, "-m", "badargs.failures", "20000"]
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parent, check=False
    )
    assert (result.returncode, result.stdout) == (0, "20000\n"), result.stderr


def test_a_crash_and_a_hang_are_told_with_their_calls(folders):
    outcomes = run(["mlx_add"], folders[0], patience=3, child="badargs.broken")
    ended = {number: outcome.told for number, outcome in enumerate(outcomes) if outcome.ended}
    assert ended == {1: "signal 6", 3: "hang"}
    assert len(outcomes) > 50
