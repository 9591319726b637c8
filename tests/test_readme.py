"""What README tells a user to run is what CI and scripts/check_fresh.sh run, word for word."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
PACKAGES = re.search(r"`apt-get install (.*?)`", README)[1]


def commands_under(heading):
    """The commands of the first sh block under a heading, without their comments."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return without_comments(re.search(r"```sh\n(.*?)\n```", section, re.DOTALL)[1])


def without_comments(text):
    return [re.sub(r"\s+#.*", "", line).strip() for line in text.splitlines()]


COMMANDS = [*commands_under("Install"), *commands_under("Tests")]


def test_ci_runs_it_before_all_else():
    lines = (ROOT / ".ci/run").read_text().splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith("step ")) + 1
    ran = [line.strip() for line in lines[first:] if line not in ("(", ")")]
    assert ran[: len(COMMANDS) + 1] == [f"packages {PACKAGES}", *COMMANDS]


def test_the_check_on_a_bare_debian_runs_it():
    script = [ROOT / "scripts/check_fresh.sh", "--commands"]
    printed = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    assert without_comments(printed) == [PACKAGES, *COMMANDS]
