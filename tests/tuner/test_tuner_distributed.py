"""Two processes that train together reach what one alone does."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mlxffi.core as mx
from mlxffi.tuner import distributed

LAUNCH = Path(sys.executable).with_name("mlx.launch")
PROGRAM = Path(__file__).with_name("distributed_child.py")

pytestmark = pytest.mark.skipif(
    not (LAUNCH.exists() and mx.distributed.is_available("ring")), reason="needs mlx.launch and the ring backend"
)


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def launched(*arguments):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([*map(str, arguments)], capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    """What each process tells, by number of processes and rank."""
    folder = tmp_path_factory.mktemp("runs")
    launched(sys.executable, PROGRAM, folder)
    command = [LAUNCH, "-n", 2, "--backend", "ring", "--starting-port", free_port()]
    told = launched(*command, "--", sys.executable, PROGRAM, folder)
    launched(sys.executable, PROGRAM, folder, "moved")
    names = ("1.0", "2.0", "2.1", "moved")
    assert all((folder / f"{name}.json").exists() for name in names), told
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in names}


@pytest.mark.parametrize("part", ["whole", "stopped", "resumed", "dpo", "kto"])
@pytest.mark.parametrize("rank", [0, 1])
def test_two_processes_reach_the_losses_of_one(part, rank, facts):
    one, two = facts["1.0"][part], facts[f"2.{rank}"][part]
    # Rewards are small differences of sums of log-probabilities.
    near = {"rtol": 1e-5, "atol": 5e-5 if part in ("dpo", "kto") else 0}
    np.testing.assert_allclose(two["train"], one["train"], **near)
    np.testing.assert_allclose(two["val"], one["val"], **near)
    for path, item in one["parameters"].items():
        np.testing.assert_allclose(two["parameters"][path], item, rtol=1e-4, atol=1e-5, err_msg=path)


def test_one_process_writes(facts):
    assert facts["2.0"]["whole"]["files"] == facts["1.0"]["whole"]["files"] != []
    assert facts["2.1"]["whole"]["files"] == []


def test_all_stop_where_one_asks_to(facts):
    assert facts["2.1"]["stopped"]["end"] == [4, "rank 1"]
    assert facts["2.0"]["stopped"]["end"] == [4, "another process asked to stop"]


def test_a_run_that_both_stopped_goes_on(facts):
    for name in ("1.0", "2.0", "2.1"):
        whole, resumed = facts[name]["whole"], facts[name]["resumed"]
        assert resumed["end"] == [11, None]
        for path, item in whole["parameters"].items():
            np.testing.assert_allclose(resumed["parameters"][path], item, rtol=1e-4, atol=1e-5, err_msg=path)


def test_one_process_goes_on_with_what_two_began(facts):
    whole, moved = facts["1.0"]["whole"], facts["moved"]
    assert moved["end"] == [11, None]
    for path, item in whole["parameters"].items():
        np.testing.assert_allclose(moved["parameters"][path], item, rtol=1e-4, atol=1e-5, err_msg=path)


def test_arrays_travel_in_buckets_of_one_dtype(monkeypatch):
    monkeypatch.setattr(distributed, "BUCKET", 40)
    sizes = {
        "a": (4, mx.float32),
        "b": (4, mx.float16),
        "c": (6, mx.float32),
        "d": (1, mx.float32),
        "e": (99, mx.float16),
    }
    arrays = {name: mx.zeros([size], dtype) for name, (size, dtype) in sizes.items()}
    assert list(distributed._buckets(arrays)) == [["a", "c"], ["d"], ["b"], ["e"]]
