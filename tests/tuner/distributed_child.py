"""A run of one or several processes, and what it told, for test_tuner_distributed.

usage: mlx.launch -n 2 distributed_child.py FOLDER     writes FOLDER/<size>.<rank>.json
       distributed_child.py FOLDER moved               goes on alone with what two began, and writes FOLDER/moved.json
"""

import json
import shutil
import sys
from pathlib import Path

import training
from training import Recorder, arrays

from mlxffi.tuner.datasets import Example, ExampleGroup
from mlxffi.tuner.distributed import World
from mlxffi.tuner.optimizers import SGD, AdamW
from mlxffi.tuner.preferences import BY_NAME
from mlxffi.tuner.trainer import Callback, Stop, TrainingArgs, train

SHARED = {"batch_size": 4, "steps_per_report": 3, "steps_per_eval": 4, "steps_per_save": 5}
# The stop comes in the middle of a window.
STOPPED = {"steps_per_report": 5, "grad_accumulation_steps": 3}


class StopsOn(Callback):
    """Asks to stop at an iteration, in one process only."""

    def __init__(self, rank, iteration):
        self.is_asking, self.iteration = World().rank == rank, iteration

    def on_step(self, report):
        return Stop(f"rank {World().rank}") if self.is_asking and report.iteration == self.iteration else None


class Saves(Callback):
    def __init__(self):
        self.files = []

    def on_save(self, report):
        self.files += [path.name for path in report.files]


def run(folder, seed, callbacks=(), resume=False, **args):
    """The facts of a run: reports, sums of parameters, saved files, and how it ended."""
    # Each process begins with parameters of its own: those of the first are to be taken.
    model, told, saves = training.model(seed), Recorder(), Saves()
    settings = TrainingArgs(**{**SHARED, "iters": 11, "grad_accumulation_steps": 2, **args})
    result = train(
        model,
        AdamW(0.02),
        training.examples(),
        training.examples(7),
        settings,
        folder=folder,
        resume=resume,
        callbacks=[told, saves, *callbacks],
    )
    return {
        "train": [[report.train_loss, report.trained_tokens, report.grad_norm] for report in told.train],
        "val": [report.val_loss for report in told.val],
        "parameters": {path: item.tolist() for path, item in arrays(model).items()},
        "files": saves.files,
        "end": [result.iteration, result.stop],
    }


def preferred(kind):
    """What a run of preferences tells: of 7 records, so that a validation's last batch does not go round."""
    model, told = training.model(), Recorder()
    records = [
        ExampleGroup((Example(item.tokens, 1), Example(item.tokens[::-1], 1)), index % 2 == 0)
        for index, item in enumerate(training.examples(7))
    ]
    settings = TrainingArgs(**{**SHARED, "iters": 6, "steps_per_eval": 6, "grad_accumulation_steps": 2})
    train(model, SGD(0.5), records, records, settings, loss=BY_NAME[kind](), callbacks=[told])
    return {
        "train": [[report.train_loss, report.trained_tokens, *report.figures.values()] for report in told.train],
        "val": [[report.val_loss, *report.figures.values()] for report in told.val],
        "parameters": {path: item.tolist() for path, item in arrays(model).items()},
    }


def main(folder):
    world = World()
    facts = {"whole": run(folder / f"whole{world.size}", world.rank, **STOPPED)}
    stop = StopsOn(world.size - 1, 4)
    facts["stopped"] = run(folder / f"stopped{world.size}", world.rank, [stop], **STOPPED)
    if world.is_writer:
        shutil.copytree(folder / f"stopped{world.size}", folder / f"moved{world.size}")
    facts["resumed"] = run(folder / f"stopped{world.size}", world.rank, resume=True, **STOPPED)
    facts |= {kind: preferred(kind) for kind in ("dpo", "kto")}
    (folder / f"{world.size}.{world.rank}.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    if sys.argv[2:]:
        facts = run(Path(sys.argv[1]) / "moved2", seed=1, resume=True, **STOPPED)
        Path(sys.argv[1], "moved.json").write_text(json.dumps(facts))
    else:
        main(Path(sys.argv[1]))
