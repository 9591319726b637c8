"""A machine without g++: compiled functions, training and generation work there.

What `doctor` says of it stands in test_config.py.
"""

import os
import re
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="MLX uses g++ on Linux")

BROKEN = '#!/bin/sh\n[ "$1" = --version ] || { echo "no cc1plus" >&2; exit 1; }\necho g++ of no use\n'
COMPILED = """
import math
import mlxffi.core as mx
f = mx.compile(mx.value_and_grad(lambda x: (mx.exp(mx.sin(x)) + 1).sum()))
value, gradient = f(mx.array([0.5, 1.25]))
print(value.item() - sum(math.exp(math.sin(x)) + 1 for x in (0.5, 1.25)))
print(max(abs(g - math.cos(x) * math.exp(math.sin(x))) for g, x in zip(gradient.tolist(), (0.5, 1.25))))
"""
LORA = "import sys, mlxffi.tuner.cli; sys.exit(mlxffi.tuner.cli.main())"


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A folder with a model and data."""
    end_to_end = pytest.importorskip("end_to_end", reason="transformers is not installed")
    folder = tmp_path_factory.mktemp("job")
    end_to_end.write_random_model(folder / "model")
    end_to_end.write_data(folder / "data", counts=(8, 4, 4))
    return folder


@pytest.fixture
def python(tmp_path):
    """Runs a Python that finds no program but sh, and no kernel that MLX compiled earlier."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sh").symlink_to("/bin/sh")
    environ = {**os.environ, "PATH": str(tmp_path / "bin"), "TMPDIR": str(tmp_path)}

    def run(*arguments):
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    return run


def test_a_compiled_function_gives_the_right_value_and_gradient(python):
    result = python("-c", COMPILED)
    assert result.returncode == 0, result.stderr
    assert all(abs(float(error)) < 1e-6 for error in result.stdout.split())


def test_it_trains_and_generates(python, job):
    where = ("--model", job / "model", "--adapter-path", job / "adapters")
    trained = python("-c", LORA, *where, "--train", "--data", job / "data", "--iters", 2, "--batch-size", 2)
    assert trained.returncode == 0, trained.stdout + trained.stderr
    said = python("-c", LORA, "generate", *where, "--prompt", "Once", "--max-tokens", 4)
    assert said.returncode == 0, said.stdout + said.stderr


def test_a_compiler_that_does_not_work_is_not_asked(python, tmp_path):
    (tmp_path / "bin/g++").write_text(BROKEN)
    (tmp_path / "bin/g++").chmod(0o755)
    result = python("-m", "mlxffi", "doctor")
    assert result.returncode == 0
    assert re.search(r"^compile +a function of three operations runs", result.stdout, re.M)
