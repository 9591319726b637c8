#!/usr/bin/env python3
"""Run other packages' own tests under mlx.core and under mlxffi.core, and print what differs, test by test.

usage: python scripts/suites.py FOLDER [NAME ...]     (names: the keys of SUITES; all by default)

FOLDER gets a virtual environment with the packages and this checkout, and what the runs wrote. Tests that need a model
from the network are errors in both.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import venv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Suite:
    """One package's tests: in its source archive, else in the installed package."""

    package: str
    tests: str
    from_source: bool = False
    needs: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


SUITES = {
    "mlx_lm": Suite(
        "mlx-lm==0.32.2", "tests", from_source=True, needs=("datasets", "tqdm", "Pillow", "requests"),
        options=("--ignore=tests/test_evaluate.py",),
    ),
    # A few of its tests need PortAudio and a server's packages. What is left out looks up rows that tables do not have,
    # which ends the process now and then under mlx.core, and is an error under mlxffi.core.
    "mlx_audio": Suite(
        "mlx-audio==0.6.2", "mlx_audio", needs=("pytest-asyncio",),
        options=("-k", "not GenerateICL and not test_eoi_token_embedding_override"),
    ),
    "mlx_lm_lora": Suite("mlx-lm-lora==5.10.2", "tests", from_source=True),
    "mhc_mlx": Suite("mhc-mlx==0.6.3", "tests", from_source=True),
    "einops": Suite("einops==0.8.2", "einops/tests"),
    "mlx3d": Suite("mlx3d==0.3.2", "tests", from_source=True),
    "mlx_embeddings": Suite("mlx-embeddings==0.1.0", "mlx_embeddings/tests", from_source=True, needs=("psutil",)),
    "mlx_snn": Suite("mlx-snn==0.5.0", "tests", from_source=True, needs=("nir",)),
    "mlx_spectro": Suite("mlx-spectro==0.9.9", "tests", from_source=True),
    "mlx_kfac": Suite("mlx-kfac==0.4.0", "tests", from_source=True),
    "mlx_stft": Suite("mlx-stft==0.1.2", "tests", from_source=True),
}  # fmt: skip
ALWAYS = ("mlx==0.32.4", "mlx-cpu==0.32.4", "numpy", "pytest", "cffi", "scipy-openblas32", "ml_dtypes")


@dataclass
class Place:
    """A folder with a virtual environment."""

    folder: Path
    python: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder = self.folder.resolve()
        self.python = self.folder / "venv" / "bin" / "python"
        if not self.python.exists():
            venv.create(self.folder / "venv", with_pip=True)
        packages = next((self.folder / "venv" / "lib").glob("python*")) / "site-packages"
        (packages / "checkout.pth").write_text(f"{ROOT}\n")

    def pip(self, *arguments: str) -> None:
        subprocess.run([self.python, "-m", "pip", "--quiet", *arguments], check=True)

    def tests_of(self, suite: Suite) -> tuple[Path, str]:
        """Where the tests run, and which ones."""
        self.pip("install", *ALWAYS, *suite.needs, suite.package)
        if not suite.from_source:
            return next((self.folder / "venv" / "lib").glob("python*")) / "site-packages", suite.tests
        name, package = suite.package.replace("-", "_").replace("==", "-"), suite.package.partition("==")[0]
        if not (self.folder / name / suite.tests).exists():
            # With :all: for a name, pip would build the build's own tools from source.
            how = ("--no-binary", package, "--no-deps", "--dest", str(self.folder))
            self.pip("download", *how, suite.package)
            with tarfile.open(self.folder / f"{name}.tar.gz") as archive:
                wanted = [one for one in archive if one.name.startswith(f"{name}/{suite.tests}")]
                # Debian 12's Python has no such filter.
                archive.extraction_filter = getattr(tarfile, "data_filter", None)
                archive.extractall(self.folder, wanted)
        return self.folder / name, suite.tests

    def outcomes(self, name: str, library: str, there: Path, tests: str) -> dict[str, str]:
        """Run a suite under a library: what became of each test."""
        report = self.folder / f"{name}.{library}.xml"
        how = ["-m", "pytest"] if library == "mlx" else ["-m", "mlxffi", "run", "-m", "pytest"]
        options = ["-q", "-p", "no:cacheprovider", "--continue-on-collection-errors", f"--junitxml={report}"]
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "EINOPS_TEST_BACKENDS": "numpy,mlx"}
        with (self.folder / f"{name}.{library}.log").open("w") as log:
            command = [str(self.python), *how, tests, *options, *SUITES[name].options]
            subprocess.run(command, cwd=there, env=environment, stdout=log, stderr=log, check=False)
        return dict(_cases(report))


def _cases(report: Path) -> Iterator[tuple[str, str]]:
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = [part.tag for part in case if part.tag in ("failure", "error", "skipped")]
        yield f"{case.get('classname')}::{case.get('name')}", kinds[0] if kinds else "passed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    # Before 3.12 argparse looks for the empty list among the choices too.
    parser.add_argument("names", nargs="*", choices=[*SUITES, []])
    options = parser.parse_args()
    place, differ = Place(options.folder), 0
    for name in options.names or SUITES:
        found = place.tests_of(SUITES[name])
        theirs, ours = (place.outcomes(name, library, *found) for library in ("mlx", "mlxffi"))
        print(name, "mlx", dict(Counter(theirs.values())), "mlxffi", dict(Counter(ours.values())), flush=True)
        if "passed" not in theirs.values():
            sys.exit(f"{name}: no test passed under mlx.core, so nothing was compared; see its log in the folder")
        for test in sorted(theirs.keys() | ours.keys()):
            if theirs.get(test) != ours.get(test):
                differ += 1
                print(f"  {test}: {theirs.get(test)} under mlx.core, {ours.get(test)} under mlxffi.core")
    sys.exit(differ > 0)


if __name__ == "__main__":
    main()
