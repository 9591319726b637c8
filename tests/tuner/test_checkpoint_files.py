"""Files of a run whose process is killed while it saves: the last complete ones are intact."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import saving_child
from training import arrays

import mlxffi.core as mx
from mlxffi.tuner.trainer import ADAPTER_FILE, STATE_FILE

KILLS = 16


def started(folder):
    """A process that has imported all it needs and waits for its turn."""
    command = [sys.executable, saving_child.__file__, str(folder), str(10**6)]
    path = os.pathsep.join(sys.path)
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )


def killed(child, pause):
    """The last iteration of which a process said that it had been saved, before it was killed."""
    child.stdin.write("\n")
    child.stdin.flush()
    first = child.stdout.readline()
    time.sleep(pause)
    child.kill()
    # Not communicate(), which passes over what readline() has taken in beyond the first line.
    rest = child.stdout.read()
    child.stdout.close()
    child.stdin.close()
    assert child.wait() == -9
    assert first, "the process did not get as far as its first save"
    return int((first + rest).split("\n")[-2])


def saved_iteration(folder):
    found, metadata = mx.load(str(folder / STATE_FILE), return_metadata=True)
    mx.eval(found)
    return json.loads(metadata["progress"])["iteration"]


def test_a_killed_process_leaves_its_last_checkpoint_whole(tmp_path):
    rng, ahead = random.Random(0), started(tmp_path)
    last = unfinished = kills = 0
    # On a busy machine, few kills come in the middle of a save.
    while kills < KILLS or (not unfinished and kills < 8 * KILLS):
        kills += 1
        child, ahead = ahead, started(tmp_path)
        told = killed(child, rng.uniform(0, 0.02))
        iteration = saved_iteration(tmp_path)
        assert told > last
        assert told <= iteration <= told + 1
        assert whole_parameters(tmp_path / ADAPTER_FILE)
        last = iteration
        unfinished += bool(list(tmp_path.glob(f".{child.pid}.*")))
    ahead.kill()
    ahead.communicate()
    # Kills do come in the middle of saves.
    assert unfinished > 0
    assert_as_if_never_killed(tmp_path, last + 3)
    assert not list(tmp_path.glob(".*"))


def whole_parameters(path):
    found = {name: np.array(item) for name, item in mx.load(str(path)).items()}
    return found.keys() == arrays(saving_child.training.model()).keys() and all(
        map(np.all, map(np.isfinite, found.values()))
    )


def assert_as_if_never_killed(folder, iterations):
    resumed, whole = saving_child.run(folder, iterations), saving_child.run(None, iterations)
    for path, item in arrays(whole).items():
        np.testing.assert_array_equal(arrays(resumed)[path], item, err_msg=path)


@pytest.mark.parametrize("name", [STATE_FILE, ADAPTER_FILE, f"0000002_{ADAPTER_FILE}"])
def test_a_save_that_fails_leaves_what_was_there(name, tmp_path, monkeypatch):
    saving_child.run(tmp_path, 1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    replace = os.replace

    def refuse(source, target):
        if Path(target).name == name:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="No space left"):
        saving_child.run(tmp_path, 2)
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert after.get(name) == before.get(name)
    assert not [other for other in after if other.startswith(".")]
