"""A fine-tuning by mlx_lm's trainer, or by ours, of the same model on the same batches; for test_trainer_lm.

usage: python trainer_lm_child.py theirs|ours FILE     ours with python -m mlxffi run
"""

import json
import sys
from pathlib import Path

import mlx.core as mx
import mlx.optimizers
import numpy as np
from lm_models import MODELS
from mlx.utils import tree_flatten, tree_unflatten
from mlx_lm.models import qwen3
from mlx_lm.tuner import trainer
from mlx_lm.tuner.utils import linear_to_lora_layers

ITERATIONS = 8
ROWS, WIDTH = 2, 17
RATE = 1e-2


def model():
    """A frozen model with LoRA factors to train, of numbers that depend on nothing else."""
    made = qwen3.Model(qwen3.ModelArgs.from_dict(MODELS["qwen3"]))
    made.update(numbers(made, made.parameters(), 0.05))
    made.freeze()
    linear_to_lora_layers(made, 2, {"rank": 4, "scale": 10.0, "dropout": 0.0})
    made.update(numbers(made, made.trainable_parameters(), 0.02))
    return made


def numbers(made, tree, size):
    rng = np.random.default_rng(0)
    arrays = sorted(tree_flatten(tree))
    return tree_unflatten(
        [(name, mx.array(rng.normal(0, size, item.shape).astype(np.float32))) for name, item in arrays]
    )


def tokens():
    """Batches without padding, in one order."""
    return list(np.random.default_rng(1).integers(0, 512, (ITERATIONS, ROWS, WIDTH)).astype(np.int32))


def theirs():
    """Losses by mlx_lm's trainer on given batches: without padding, one token of which it would train in each row."""

    def batches(dataset, batch_size, max_seq_length, loop=False, seed=None, comm_group=None):
        lengths = mx.array([[0, WIDTH]] * ROWS)
        yield from ((mx.array(rows), lengths) for rows in dataset)

    class Told:
        train, val = [], {}

        def on_train_loss_report(self, info):
            self.train.append(info["train_loss"])

        def on_val_loss_report(self, info):
            self.val[info["iteration"]] = info["val_loss"]

    made, told = model(), Told()
    args = trainer.TrainingArgs(
        batch_size=ROWS,
        iters=ITERATIONS,
        steps_per_report=1,
        steps_per_eval=4,
        val_batches=-1,
        steps_per_save=100,
        adapter_file=sys.argv[2] + ".safetensors",
    )
    optimizer = mlx.optimizers.AdamW(RATE)
    trainer.train(made, optimizer, tokens(), tokens()[:3], args, iterate_batches=batches, training_callback=told)
    return {"train": told.train, "val": told.val, "weights": weights(made)}


def ours():
    """Losses by our trainer."""
    from training import Recorder

    from mlxffi.tuner.datasets import Batch
    from mlxffi.tuner.models import ModuleModel
    from mlxffi.tuner.optimizers import AdamW
    from mlxffi.tuner.trainer import TrainingArgs, train

    made, told = model(), Recorder()
    batches = [Batch(mx.array(rows), mx.ones([ROWS, WIDTH - 1])) for rows in tokens()]
    args = TrainingArgs(iters=ITERATIONS, steps_per_report=1, steps_per_eval=1, val_batches=-1)
    train(ModuleModel(made), AdamW(RATE), batches, batches[:3], args, callbacks=[told])
    val = {report.iteration: report.val_loss for report in told.val}
    return {"train": [report.train_loss for report in told.train], "val": val, "weights": weights(made)}


def weights(made):
    return {name: np.array(item).tolist() for name, item in tree_flatten(made.trainable_parameters())}


if __name__ == "__main__":
    facts = {"theirs": theirs, "ours": ours}[sys.argv[1]]()
    Path(sys.argv[2]).write_text(json.dumps({"core": mx.__name__, **facts}))
