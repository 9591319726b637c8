"""Every function of the C ABI, called with one bad argument at a time, gives an error; none ends the process."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from badargs.child import make_files
from badargs.mutations import FORMAT
from badargs.parent import run
from badargs.rules import accepted, beyond, refused
from badargs.table import functions

# Not in the cffi module: declared only for compilers that have the half types.
NAMES = [name for name in functions() if "float16" not in name]
# After this one a process has no streams to evaluate on.
LAST = "mlx_clear_streams"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """How every call went, made by two processes side by side."""
    names = [name for name in NAMES if name != LAST]
    halves = [[*names[start::2], *([LAST] if start else [])] for start in range(2)]
    folders = [tmp_path_factory.mktemp("calls") for _ in halves]
    for folder in folders:
        make_files(folder)
    with ThreadPoolExecutor(len(halves)) as pool:
        return [outcome for part in pool.map(run, halves, folders) for outcome in part]


def test_every_function_is_called(outcomes):
    assert {outcome.case.function for outcome in outcomes} == set(NAMES)
    assert len(outcomes) > 5000


def test_no_call_ends_the_process(outcomes):
    ended = [outcome for outcome in outcomes if re.match("signal|exit|hang", outcome.told)]
    assert [f"{outcome.case.name}: {outcome.told}" for outcome in ended if not beyond(outcome.case)] == []


def test_valid_calls_succeed(outcomes):
    """Without a flaw the same calls work, but for what this machine lacks: the flaws are what is refused."""
    failed = [o.case.function for o in outcomes if o.case.flaw == "valid" and o.failed]
    assert [name for name in failed if not re.search("cuda|metal|gpu|distributed|_mlx_error", name)] == []


def test_bad_arguments_are_refused_with_a_text(outcomes):
    flawed = [outcome for outcome in outcomes if refused(outcome.case) and not accepted(outcome.case)]
    assert len(flawed) > 1500
    assert [outcome.case.name for outcome in flawed if not outcome.failed] == []
    assert [outcome.case.name for outcome in flawed if not outcome.text] == []


def test_the_argument_at_fault_is_named(outcomes):
    """An empty handle and a missing result slot: the text names the function and the parameter."""
    for outcome in outcomes:
        if outcome.case.flaw == "empty handle" and outcome.failed and "argument `" in outcome.text:
            assert outcome.case.function in outcome.text or "data" in outcome.text, outcome.text
            assert "expected" in outcome.text, outcome.text


def test_a_file_name_is_never_a_format(outcomes):
    """`%s%n%d` in a path arrives in the error as it is."""
    files = [outcome for outcome in outcomes if outcome.case.parameter == "file"]
    failed = [outcome for outcome in files if outcome.failed and FORMAT in str(outcome.case.arguments)]
    assert failed
    assert [outcome.case.name for outcome in failed if FORMAT not in outcome.text] == []


def test_nothing_leaks_on_the_way(outcomes):
    assert [outcome.case.name for outcome in outcomes if outcome.leaked] == []
