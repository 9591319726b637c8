"""The C programs of tests/abi/c, which use nothing but the public headers, compile and run as C and as C++."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "c"
SOURCES = sorted(path for path in PROGRAMS.glob("*.c") if path.name != "live.c")
# Programs about what stands in include/mlxffi; all others use mlx/c/mlx.h alone.
ADDITIONS = dict.fromkeys(("added", "event", "fused", "guide", "losses"), "mlxffi/mlxffi.h")
# Programs for other editions of mlx-c.
ADDITIONS |= {"compat_0_6": "mlxffi/compat/mlxc_0_6.h", "compat_ollama": "mlxffi/compat/ollama.h"}
COMPILERS = {"c": ["cc", "-std=c11"], "c++": ["c++", "-std=c++17", "-x", "c++"]}


@pytest.fixture(scope="module")
def flags():
    """What `python -m mlxffi config` tells a compiler."""
    command = [sys.executable, "-m", "mlxffi", "config"]
    cflags = subprocess.run([*command, "--cflags"], capture_output=True, text=True, check=True).stdout
    libs = subprocess.run([*command, "--libs"], capture_output=True, text=True, check=True).stdout
    return shlex.split(cflags), shlex.split(libs)


@pytest.mark.parametrize("language", COMPILERS)
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_program_runs_and_frees_everything(source, language, flags, tmp_path):
    cflags, libs = flags
    program = tmp_path / source.stem
    command = [*COMPILERS[language], "-Wall", "-Wextra", "-Werror", "-pthread", *cflags]
    command += [str(source), str(PROGRAMS / "live.c")]
    command += [*(["-x", "none"] if language == "c++" else []), *libs, "-lm", "-o", str(program)]
    compiled = subprocess.run(command, capture_output=True, text=True, check=False)
    assert compiled.returncode == 0, compiled.stderr
    result = subprocess.run([program], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1].startswith("ok:")


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_program_is_strict_c99(source, flags):
    command = ["cc", "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-D_POSIX_C_SOURCE=200809L", *flags[0]]
    compiled = subprocess.run([*command, "-fsyntax-only", source], capture_output=True, text=True, check=False)
    assert compiled.returncode == 0, compiled.stderr


def test_programs_use_the_public_header_only():
    for source in SOURCES:
        includes = [line.split()[1] for line in source.read_text().splitlines() if line.startswith("#include")]
        ours = [name for name in includes if name.startswith('"')]
        public = {'"check.h"', '"tempdir.h"', '"mlx/c/mlx.h"'}
        if source.stem in ADDITIONS:
            public.add(f'"{ADDITIONS[source.stem]}"')
        assert set(ours) <= public, source.name


def test_programs_cover_every_header():
    """Each header has a function that some program calls."""
    text = "".join(path.read_text() for path in PROGRAMS.iterdir())
    include = Path(__file__).resolve().parents[2] / "include/mlx/c"
    for header in include.glob("*.h"):
        names = re.findall(r"\b(_?mlx_\w+)\((?!\*)", header.read_text())
        if header.name not in ("mlx.h", "half.h", "optional.h"):
            assert any(re.search(rf"\b{name}\(", text) for name in names), f"no program uses {header.name}"
