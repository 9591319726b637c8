"""The first real job: a tiny run learns, writes its files, resumes bit for bit, and says what is wrong."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mlxffi import io

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
TINY = "--layers=2 --width=32 --heads=2 --context=32 --batch=8 --learning-rate=0.02 --evaluate-every=5 --sample=40"
STEPS = 30
PNG = b"\x89PNG\r\n\x1a\n"


def command(*arguments):
    return [sys.executable, "-u", "-m", "quickstart", *map(str, arguments)]


# One thread: products this small gain nothing from more, and a busy machine loses by them.
ENVIRON = {**os.environ, "PYTHONPATH": str(SCRIPTS), "OPENBLAS_NUM_THREADS": "1"}


def quickstart(*arguments):
    return subprocess.run(command(*arguments), env=ENVIRON, capture_output=True, text=True, timeout=300, check=False)


def finished(*arguments):
    """What a run prints that must succeed, with nothing on stderr where that is no terminal."""
    result = quickstart(*arguments)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def checkpoint(folder):
    arrays, metadata = io.load_safetensors(folder / "checkpoint.safetensors")
    return {name: array.tolist() for name, array in arrays.items()}, json.loads(metadata["history"])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run from the start to the end: its folder and what it printed."""
    folder = tmp_path_factory.mktemp("unbroken")
    return folder, finished(*TINY.split(), "--steps", STEPS, "--output", folder)


def test_the_loss_falls_from_that_of_a_guess(run):
    losses = [float(loss) for loss in re.findall(r"validation loss ([\d.]+) nats per byte", run[1])]
    assert len(losses) == STEPS // 5 + 1
    assert losses[0] == pytest.approx(5.545, abs=0.05)
    assert losses[-1] < 4
    assert losses == sorted(losses, reverse=True)


def test_each_report_tells_the_speed(run):
    speeds = re.findall(r"([\d,]+) tokens per second", run[1])
    assert len(speeds) == STEPS // 5
    assert all(int(speed.replace(",", "")) > 0 for speed in speeds)


def test_the_folder_holds_a_checkpoint_and_a_curve_and_nothing_else(run):
    assert {path.name for path in run[0].iterdir()} == {"checkpoint.safetensors", "loss.png"}
    assert (run[0] / "loss.png").read_bytes().startswith(PNG)
    arrays, history = checkpoint(run[0])
    assert len(history["training"]) == STEPS
    assert {name.split(".")[0] for name in arrays} == {"parameters", "means", "squares"}


def test_the_run_ends_with_a_sample(run):
    sample = run[1].split("loss.png\n\n")[1]
    assert sample.startswith("The ")
    assert 14 <= len(sample.strip("\n")) <= 44  # a replacement character stands for up to 4 bytes


def test_a_resumed_run_gives_the_numbers_of_an_unbroken_one(run, tmp_path):
    # 13 is no step of a validation: the halves are joined in the middle of an interval.
    finished(*TINY.split(), "--steps", 13, "--output", tmp_path)
    finished("--resume", tmp_path / "checkpoint.safetensors", "--steps", STEPS, "--evaluate-every", 5)
    (arrays, history), (unbroken, whole) = checkpoint(tmp_path), checkpoint(run[0])
    assert history["training"] == whole["training"]
    assert [entry for entry in history["validation"] if entry[0] != 13] == whole["validation"]
    assert arrays == unbroken


def test_an_interrupted_run_can_be_resumed(run, tmp_path):
    endless = command(*TINY.split(), "--steps", 1_000_000, "--output", tmp_path)
    pipe = subprocess.PIPE
    process = subprocess.Popen(endless, env=ENVIRON, stdout=pipe, stderr=pipe, text=True)
    while "tokens per second" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130
    assert error == "quickstart: interrupted; --resume CHECKPOINT goes on from where it stopped\n"
    history = checkpoint(tmp_path)[1]
    finished("--resume", tmp_path / "checkpoint.safetensors", "--steps", len(history["training"]) + 1, "--sample", 1)
    assert len(checkpoint(tmp_path)[1]["training"]) == len(history["training"]) + 1
    common = min(STEPS, len(history["training"]))
    assert history["training"][:common] == checkpoint(run[0])[1]["training"][:common]


# --- what is wrong, in one sentence and with exit status 2 ---


def refusal(*arguments):
    """The sentence with which a run must end that cannot begin."""
    result = quickstart(*arguments)
    assert result.returncode == 2, result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert "tokens per second" not in result.stdout
    return result.stderr.strip()


BAD_OPTIONS = {
    "--steps 0": "quickstart: error: argument --steps: expected 1 or more, got 0; --help lists the options",
    "--steps many": "quickstart: error: argument --steps: invalid count value: 'many'; --help lists the options",
    "--size 3": "quickstart: error: unrecognized arguments: --size 3; --help lists the options",
    "--layers -1": "quickstart: error: --layers must be more than 0, but -1 was given",
    "--learning-rate nan": "quickstart: error: --learning-rate must be more than 0, but nan was given",
    "--seed -1": "quickstart: error: --seed must be from 0 to 4294967295, but -1 was given",
    "--width 36 --heads 4": "quickstart: error: --width must be a multiple of twice --heads, but the width is 36",
    "--batch 64 --context 1024": "quickstart: error: --batch times --context must be less than",
}


@pytest.mark.parametrize("options", BAD_OPTIONS)
def test_a_bad_option_is_refused(options, tmp_path):
    assert refusal(*options.split(), "--output", tmp_path / "run").startswith(BAD_OPTIONS[options])
    assert list(tmp_path.iterdir()) == []


def test_a_missing_checkpoint_is_refused(tmp_path):
    path = tmp_path / "none.safetensors"
    assert refusal("--resume", path) == (
        f"quickstart: error: there is no checkpoint at {path}; leave out --resume to start a new run"
    )


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    path.write_bytes(b"prose")
    assert f"{path} cannot be read as a safetensors file" in refusal("--resume", path)
    io.save_safetensors(path, {"weight": [1.0]})
    assert refusal("--resume", path) == f"quickstart: error: {path} is not a checkpoint that quickstart wrote"


def test_options_that_differ_from_the_checkpoint_are_refused(run):
    path = run[0] / "checkpoint.safetensors"
    message = "--width 64 differs from the checkpoint's 32; leave it out with --resume"
    assert refusal("--resume", path, "--width", 64, "--layers", 2) == f"quickstart: error: {message}"


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path):
    file = tmp_path / "file"
    file.touch()
    folder = file / "run"
    assert refusal(*TINY.split(), "--output", folder) == (
        f"quickstart: error: the output folder {folder} cannot be written to: Not a directory"
    )
