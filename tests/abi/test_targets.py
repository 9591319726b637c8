"""The headers say the same for every platform, but for the half types, which they have where the compiler has them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

INCLUDE = Path(__file__).resolve().parents[2] / "include"
CLANG = shutil.which("clang") or next((str(path) for path in sorted(Path("/usr/bin").glob("clang-[0-9]*"))), None)
# Targets with the half types that their compilers have scalars of.
TARGETS = {
    "x86_64-linux-gnu": set(),
    "aarch64-linux-gnu": set(),
    "aarch64-linux-gnu -march=armv8.2-a+fp16": {"FLOAT16"},
    "aarch64-linux-gnu -march=armv8.2-a+fp16+bf16": {"FLOAT16", "BFLOAT16"},
    "arm64-apple-macos13": {"FLOAT16"},
}
# As much of a C library as the headers use: those of other systems are not here.
STANDARD = {
    "stdio.h": "typedef struct FILE FILE;",
    "stdlib.h": "",
    "complex.h": "#define complex _Complex",
}
HALVES = {"FLOAT16": "__ARM_FEATURE_FP16_SCALAR_ARITHMETIC", "BFLOAT16": "__ARM_FEATURE_BF16"}
PROGRAM = '#include "mlx/c/mlx.h"\n#include "mlxffi/mlxffi.h"\n'


@pytest.fixture(scope="module")
def standard(tmp_path_factory):
    folder = tmp_path_factory.mktemp("standard")
    for name, text in STANDARD.items():
        (folder / name).write_text(text + "\n")
    return folder


def preprocessed(*command):
    words = [*command, f"-I{INCLUDE}", "-std=c11", "-x", "c", "-"]
    result = subprocess.run([*map(str, words)], input=PROGRAM, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def halves_of(text):
    return set(re.findall(r"#define HAS_(\w*FLOAT16)", text))


def declarations(text):
    """What the headers declare, without the half types' functions."""
    kept, keep = [], False
    for line in text.splitlines():
        marker = re.match(r'# \d+ "(.*?)"', line)
        if marker:
            keep = marker[1].startswith(str(INCLUDE))
        elif keep:
            kept.append(line)
    statements = (" ".join(statement.split()) for statement in "\n".join(kept).split(";"))
    return [statement for statement in statements if statement and "float16" not in statement]


@pytest.fixture(scope="module")
def flags_of(standard):
    return lambda target: [f"--target={target}", "-nostdlibinc", "-isystem", standard]


@pytest.mark.skipif(not CLANG, reason="clang, which has all targets, is not installed")
@pytest.mark.parametrize("target", TARGETS)
def test_headers_on_each_platform(target, flags_of):
    name, *processor = target.split()
    flags = [*flags_of(name), *processor]
    preprocessed(CLANG, *flags, "-fsyntax-only", "-Wall", "-Wextra", "-Werror")
    assert halves_of(preprocessed(CLANG, *flags, "-E", "-dM")) == TARGETS[target]
    declared, elsewhere = (declarations(preprocessed(CLANG, *of, "-E")) for of in (flags, flags_of("x86_64-linux-gnu")))
    assert len(declared) > 700
    assert declared == elsewhere


@pytest.mark.parametrize("half", HALVES)
def test_each_half_type_comes_with_the_compilers_own(half, tmp_path):
    for name in ("arm_fp16.h", "arm_bf16.h"):
        (tmp_path / name).write_text(f"typedef unsigned short {'b' * ('b' in name)}float16_t;\n")
    flags = ["-E", "-dM", "-isystem", tmp_path]
    assert halves_of(preprocessed("cc", *flags)) == set()
    assert halves_of(preprocessed("cc", *flags, f"-D{HALVES[half]}")) == {half}
    assert halves_of(preprocessed("cc", *flags, f"-D{HALVES[half]}", "-DMLX_NO_HALF")) == set()
