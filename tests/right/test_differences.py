"""docs/differences.md: every line of it is held by a test that is there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
HELD = re.compile(r"`(test_\w+\.py)::(test_\w+)` \|$")


def lines():
    text = (ROOT / "docs/differences.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    return [row for row in rows if not row.startswith("| What")]


def names_in(name):
    tree = ast.parse((HERE / name).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_each_line_names_a_test_that_is_there():
    missing = []
    for line in lines():
        held = HELD.search(line)
        if not held or held[2] not in names_in(held[1]):
            missing.append(line)
    assert missing == []


def test_each_line_says_what_both_do_and_since_when():
    for line in lines():
        what, theirs, ours, _, since, _ = (cell.strip() for cell in line.strip("|").split(" | "))
        assert all((what, theirs, ours))
        assert re.fullmatch(r"\d+\.\d+", since)
