"""mlx.nn and mlx.optimizers over mlxffi.core: the same losses as over mlx.core, step by step."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TRAINING = Path(__file__).with_name("nn_training.py")


@pytest.fixture(scope="module")
def losses():
    """The losses of all trainings, by library."""
    found = {}
    for library in ("real", "compat"):
        done = subprocess.run([sys.executable, TRAINING, library], capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        found[library] = json.loads(done.stdout)
    assert [found[library]["core"] for library in ("real", "compat")] == ["mlx.core", "mlxffi.core"]
    return {library: report["losses"] for library, report in found.items()}


@pytest.mark.parametrize("network", ["convolutional", "transformer", "lstm", "compiled lstm"])
def test_networks_train_alike(network, losses):
    real, compat = losses["real"][network], losses["compat"][network]
    assert compat == pytest.approx(real, rel=1e-5)
    assert real[-1] < real[0]
