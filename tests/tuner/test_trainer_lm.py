"""Loss by step equals mlx_lm's trainer over mlx.core, where its defects do not reach."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAM = Path(__file__).with_name("trainer_lm_child.py")


def told(kind, prefix, folder):
    file = folder / f"{kind}.json"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TRANSFORMERS_VERBOSITY": "error"}
    # Kernels for the CPU would be built with a C++ compiler first.
    environment["MLX_DISABLE_COMPILE"] = "1"
    command = [sys.executable, *prefix, str(PROGRAM), kind, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(file.read_text())


def test_losses_are_those_of_mlx_lm(tmp_path):
    theirs, ours = told("theirs", [], tmp_path), told("ours", ["-m", "mlxffi", "run"], tmp_path)
    assert (theirs["core"], ours["core"]) == ("mlx.core", "mlxffi.core")
    # Adam divides by what gradients came to, which makes much of the last bits in which two BLAS differ.
    np.testing.assert_allclose(ours["train"], theirs["train"], rtol=1e-4)
    assert len(set(theirs["train"])) == len(theirs["train"]) == 8
    # Theirs come before the update of an iteration, and are labelled with the one before it.
    assert sorted(theirs["val"]) == ["0", "3", "7"]
    for iteration, loss in theirs["val"].items():
        assert ours["val"][iteration] == pytest.approx(loss, rel=1e-4)
    assert ours["weights"].keys() == theirs["weights"].keys()
    for name, item in theirs["weights"].items():
        assert np.linalg.norm(np.subtract(ours["weights"][name], item)) <= 0.01 * np.linalg.norm(item), name
