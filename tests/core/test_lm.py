"""mlx_lm over mlxffi.core: the same words and the same losses as over mlx.core."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mlxffi.core as mx

HERE = Path(__file__).parent
LIBRARIES = {"real": [], "compat": ["-m", "mlxffi", "run"]}
MODELS = ["llama", "qwen3", "gemma3_text"]


def run(*arguments, cwd=HERE):
    """What a Python program prints."""
    environment = dict(os.environ, HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false")
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the models and data."""
    made = tmp_path_factory.mktemp("lm")
    run(HERE / "lm_models.py", made)
    return made


def test_models_generate_alike(folder):
    real, compat = (
        json.loads(run(*prefix, HERE / "lm_generate.py", folder).splitlines()[-1]) for prefix in LIBRARIES.values()
    )
    for name in MODELS:
        assert (real[name]["core"], compat[name]["core"]) == ("mlx.core", "mlxffi.core")
        assert compat[name]["said"] == real[name]["said"]
        np.testing.assert_allclose(compat[name]["logits"], real[name]["logits"], rtol=1e-3, atol=1e-5)


def tuned(prefix, model, kind, folder, adapters):
    """The losses that fine-tuning tells, and the adapters that it writes."""
    options = {
        "data": folder / "data",
        "iters": 4,
        "batch_size": 2,
        "num_layers": 2,
        "steps_per_report": 1,
        "val_batches": 2,
    }
    options |= {
        "model": folder / model,
        "fine_tune_type": kind,
        "adapter_path": adapters,
        "learning_rate": 1e-2,
        "max_seq_length": 64,
    }
    arguments = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]
    said = run(*prefix, "-m", "mlx_lm", "lora", "--train", "--test", "--test-batches", 2, *arguments)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
    # A table since mlx_lm 0.32, which needs CPython 3.11; lines before.
    steps = re.findall(r"(?:^ +\d+ +(?:val +)?|(?:Train|Val|Test) loss )(\d+\.\d+)", plain, re.MULTILINE)
    return [float(loss) for loss in steps], adapters_in(adapters)


def adapters_in(folder):
    return {name: np.array(array) for name, array in mx.load(folder / "adapters.safetensors").items()}


@pytest.mark.parametrize(("model", "kind"), [("llama", "lora"), ("qwen3", "dora"), ("gemma3_text", "lora")])
def test_fine_tuning_is_alike(model, kind, folder, tmp_path):
    (real, weights), (compat, others) = (
        tuned(prefix, model, kind, folder, tmp_path / name) for name, prefix in LIBRARIES.items()
    )
    assert len(real) == 7  # four steps, validation before and after, the test
    # They are printed with three decimals; that of the test is of other records, after the last step,
    # whose rate of 1e-2 makes more of how each library rounds.
    assert compat[:-1] == pytest.approx(real[:-1], abs=0.0011)
    assert compat[-1] == pytest.approx(real[-1], abs=0.01)
    assert len(set(real)) > 1
    assert others.keys() == weights.keys()
    # Adam divides by what gradients came to, which makes much of the last bits in which two BLAS differ.
    for name, array in weights.items():
        assert np.linalg.norm(others[name] - array) <= 0.02 * np.linalg.norm(array), name
