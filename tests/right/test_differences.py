"""docs/differences.md: every line of it is held by a test that is there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
TEXT = (ROOT / "docs/differences.md").read_text(encoding="utf-8")
# The last cell of a row is the number of a footnote, which names the test.
HELD = re.compile(r" \| (\[\^\d+\]) \|$")
NOTES = {
    note: (file, test) for note, file, test in re.findall(r"^(\[\^\d+\]): `(test_\w+\.py)::(test_\w+)`$", TEXT, re.M)
}


def lines():
    rows = [line for line in TEXT.splitlines() if line.startswith("| ")]
    return [row for row in rows if not row.startswith("| What")]


def names_in(name):
    tree = ast.parse((HERE / name).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_each_line_names_a_test_that_is_there():
    assert [line for line in lines() if not is_held(line)] == []


def is_held(line):
    note = HELD.search(line)
    file, test = NOTES.get(note[1] if note else "", ("", ""))
    return bool(test) and test in names_in(file)


def test_a_line_without_a_test_would_be_noticed():
    row = "| a | b | c | d | 0.1 |"
    assert is_held(f"{row} [^1] |")
    assert not any(is_held(line) for line in (row, f"{row} [^0] |", f"{row} `{NOTES['[^1]'][1]}` |"))


def test_each_footnote_belongs_to_a_line():
    assert sorted(NOTES) == sorted({HELD.search(line)[1] for line in lines()})


def test_each_line_says_what_both_do_and_since_when():
    for line in lines():
        what, theirs, ours, _, since, _ = (cell.strip() for cell in line.strip("|").split(" | "))
        assert all((what, theirs, ours))
        assert re.fullmatch(r"\d+\.\d+", since)
