"""ModuleModel: modules of mlx.nn and mlx_lm over mlxffi.core, checked in a process of their own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlxffi.tuner.models import ModuleModel

HERE = Path(__file__).parent
CHECKS = re.findall(r"@check\ndef (\w+)", (HERE / "module_checks.py").read_text())


@pytest.fixture(scope="module")
def outcomes():
    """What went wrong, by check."""
    paths = os.pathsep.join(map(str, [HERE.parent / "core", HERE]))
    done = subprocess.run(
        [sys.executable, "-m", "mlxffi", "run", HERE / "module_checks.py"],
        capture_output=True,
        text=True,
        timeout=300,
        env=dict(os.environ, PYTHONPATH=paths),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("check", CHECKS)
def test_module(check, outcomes):
    assert outcomes[check] == ""
    assert len(outcomes) == len(CHECKS) > 5


def test_a_module_over_the_real_core_is_refused():
    import mlx.nn as nn

    with pytest.raises(ValueError, match=r"mlxffi\.compat\.install\(\)"):
        ModuleModel(nn.Linear(2, 2))
