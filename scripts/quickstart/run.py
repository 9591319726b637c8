"""The run: steps with a progress bar, a report and a checkpoint at each validation, and at the end a sample."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from . import files
from .job import Job
from .sampling import sample

CHECKPOINT = "checkpoint.safetensors"
CURVE = "loss.png"


def run(job: Job, steps: int, evaluate_every: int, sample_length: int, folder: Path) -> None:
    """Take a job to its last step, write its files and print a sample of what it learned.

    Args:
      job: a fresh or a resumed job.
      steps: the number of the last step.
      evaluate_every: how many steps lie between two validations.
      sample_length: how many bytes to write.
      folder: where the files go; it is made.

    Raises:
      UsageError: the folder cannot be written to.
    """
    files.make_folder(folder)
    print(description(job))
    try:
        train(job, steps, evaluate_every, folder)
    finally:
        # An interrupted run leaves what it has, and can be resumed from the very step; one without a step leaves the
        # files of an earlier run alone.
        if job.state.step:
            write(job, folder)
    print(f"\n{sample(job.state.parameters, job.config, sample_length)}")


def write(job: Job, folder: Path) -> None:
    """Write the checkpoint and the loss curve."""
    files.save_checkpoint(folder / CHECKPOINT, job.config, job.state)
    files.draw_curve(folder / CURVE, job.state)
    print(f"checkpoint  {folder / CHECKPOINT}\nloss curve  {folder / CURVE}")


def description(job: Job) -> str:
    """What is being trained, in one line."""
    size = sum(parameter.size for parameter in job.state.parameters)
    config = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in asdict(job.config).items())
    return f"{size:,} parameters, {config}"


def train(job: Job, steps: int, evaluate_every: int, folder: Path) -> None:
    """Alternate between training and validation up to the last step."""
    # disable=None: no bar where stderr is no terminal. The reports are plain lines on stdout either way.
    with tqdm(total=steps, initial=job.state.step, unit="step", disable=None) as bar:
        bar.write(report(job))
        if job.state.step < steps:
            job.compile()
        while job.state.step < steps:
            next_validation = (job.state.step // evaluate_every + 1) * evaluate_every
            speed = advance(job, min(next_validation, steps), bar)
            bar.write(f"{report(job)}, {speed:,.0f} tokens per second")
            files.save_checkpoint(folder / CHECKPOINT, job.config, job.state)


def report(job: Job) -> str:
    """Validate, and tell the result in one line."""
    return f"step {job.state.step:5}  validation loss {job.validate():.4f} nats per byte"


def advance(job: Job, last: int, bar: tqdm[None]) -> float:
    """Do the steps up to `last` and give the speed, in tokens (which are bytes) per second."""
    first, began = job.state.step, time.perf_counter()
    while job.state.step < last:
        bar.set_postfix(loss=f"{job.advance():.3f}", refresh=False)
        bar.update()
    return (last - first) * job.config.batch * job.config.context / (time.perf_counter() - began)
