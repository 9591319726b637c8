"""A run that goes on where the last one was killed and saves after each step: killed by test_checkpoint_files.

usage: python saving_child.py FOLDER [ITERATIONS]     begins when a line comes in; prints each iteration that was saved
"""

import sys
from pathlib import Path

import training

from mlxffi.tuner.optimizers import AdamW
from mlxffi.tuner.trainer import STATE_FILE, Callback, TrainingArgs, train


class Tells(Callback):
    def on_save(self, report):
        print(report.iteration, flush=True)


def run(folder, iterations, callbacks=(), save=1):
    """The model after a run in a folder, or what is left of it."""
    model = training.model(dropout=0.3)
    args = TrainingArgs(batch_size=3, iters=iterations, steps_per_save=save, grad_accumulation_steps=2)
    resume = folder is not None and (Path(folder) / STATE_FILE).exists()
    train(model, AdamW(1e-3), training.examples(), args=args, folder=folder, resume=resume, callbacks=callbacks)
    return model


if __name__ == "__main__":
    sys.stdin.readline()
    run(sys.argv[1], int(sys.argv[2]), [Tells()])
