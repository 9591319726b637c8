"""The command line: options, the loop over the steps, and what the user reads."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from . import files
from .config import Config, UsageError, option
from .job import Job, initial_state
from .sampling import sample

OUTPUT = Path(__file__).resolve().parents[2] / "build" / "quickstart"
CHECKPOINT = "checkpoint.safetensors"
CURVE = "loss.png"
BEST = "best"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and give its exit status: 2 for what the user has to mend, 130 for an interrupted run."""
    options = parser().parse_args(arguments)
    try:
        return run(options)
    except (UsageError, OSError) as error:
        print(f"quickstart: error: {error}", file=sys.stderr)
        return 2


# --- options ---


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one sentence, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}; --help lists the options\n")


def parser() -> argparse.ArgumentParser:
    """The options; those of Config are absent from the result where they were not given."""
    result = Parser(prog="quickstart", description="Train a small byte-level transformer on English prose.")
    add = result.add_argument
    add("--steps", type=count, default=1000, help="train up to this step (default: %(default)s)")
    add("--evaluate-every", type=count, default=100, help="steps between validations (default: %(default)s)")
    add("--sample", type=count, default=500, help="bytes to write at the end (default: %(default)s)")
    add("--output", type=Path, default=OUTPUT, help="folder for checkpoint and curve (default: %(default)s)")
    add("--resume", type=Path, metavar="CHECKPOINT", help="go on from a checkpoint, with its configuration")
    for entry in fields(Config):
        described = f"{entry.metadata['help']} (default: {entry.default})"
        add(option(entry.name), type=type(entry.default), default=argparse.SUPPRESS, help=described)
    return result


def count(value: str) -> int:
    """An int of 1 or more."""
    number = int(value)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {number}")
    return number


def begin(options: argparse.Namespace) -> Job:
    """A job from a checkpoint, or a fresh one."""
    given = {entry.name: getattr(options, entry.name) for entry in fields(Config) if entry.name in options}
    if options.resume is None:
        config = Config(**given)
        return Job(config, initial_state(config))
    config, state = files.load_checkpoint(options.resume)
    for name, value in given.items():
        if value != asdict(config)[name]:
            raise UsageError(f"{option(name)} {value} differs from the checkpoint's {asdict(config)[name]}; leave it out")
    return Job(config, state)


def make_folder(folder: Path) -> None:
    """Make the output folder and see that files can be written to it, before any time is spent on training."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with files.replacing(folder / "writable") as trial:
            trial.touch()
        (folder / "writable").unlink()
    except OSError as error:
        raise UsageError(f"the output folder {folder} cannot be written to: {error.strerror}") from error


# --- the run ---


def run(options: argparse.Namespace) -> int:
    """Train, or go on training; then write the files and a sample."""
    job = begin(options)
    make_folder(options.output)
    describe(job)
    status = 0
    try:
        train(job, options)
    except KeyboardInterrupt:
        status = 130
    checkpoint, curve = write(job, options.output)
    if status:
        print(f"interrupted after step {job.state.step}; go on with --resume {checkpoint}")
        return status
    print(f"checkpoint {checkpoint}\nloss curve {curve}\n")
    print(sample(job.state.parameters, job.config, options.sample))
    return 0


def describe(job: Job) -> None:
    parameters = sum(parameter.size for parameter in job.state.parameters)
    settings = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in asdict(job.config).items())
    print(f"{parameters:,} parameters: {settings}")


def train(job: Job, options: argparse.Namespace) -> None:
    """Take the job to the last step, with a report and a checkpoint at each validation."""
    # disable=None: no bar where stderr is no terminal; the reports are plain lines on stdout anyway.
    with tqdm(total=options.steps, initial=job.state.step, unit="step", disable=None) as bar:
        report(job, bar)
        for step in range(job.state.step + 1, options.steps + 1):
            bar.set_postfix(loss=f"{job.advance():.3f}", refresh=False)
            bar.update()
            if step % options.evaluate_every == 0 or step == options.steps:
                report(job, bar)
                files.save_checkpoint(options.output / CHECKPOINT, job.config, job.state)


def report(job: Job, bar: tqdm) -> None:
    loss = job.validate()
    bar.write(f"step {job.state.step:6,}  validation loss {loss:.4f} nats/byte  {job.speed():9,.0f} bytes/s")
