"""The API called wrongly: an error that names the argument, what it should be and what came."""

import re

import pytest
import training

import mlxffi.core as mx
from mlxffi.tuner.datasets import Example, create_dataset, iterate_batches, load_dataset
from mlxffi.tuner.lora import attach, create_adapter, merge, save_adapter
from mlxffi.tuner.models import DecoderConfig, decoder_model
from mlxffi.tuner.optimizers import Adam
from mlxffi.tuner.trainer import Callback, TrainingArgs, evaluate, train

ARGS = TrainingArgs(iters=1, batch_size=2)


def trained(**changed):
    given = {"model": training.model(), "optimizer": Adam(0.1), "train_set": training.examples(), "args": ARGS}
    return train(**(given | changed))


CALLS = {
    "no model": (lambda: trained(model={}), "[train] model: expected one with trainable and update and logits, got {}"),
    "the class of an optimizer": (lambda: trained(optimizer=Adam), "[train] optimizer: expected one with init "),
    "settings in a dict": (lambda: trained(args={"iters": 1}), "[train] args: expected an instance of TrainingArgs"),
    "no loss": (lambda: trained(loss=3), "[train] loss: expected one with __call__, got 3"),
    "a callback alone": (lambda: trained(callbacks=Callback()), "[train] callbacks: expected one with __iter__ "),
    "a function among callbacks": (
        lambda: trained(callbacks=[print]),
        "[train] callbacks[0]: expected an instance of Callb",
    ),
    "nothing that writes": (lambda: trained(write="x"), "[train] write: expected one with __call__, got 'x'"),
    "nothing to validate on": (lambda: trained(valid_set=3), "[train] valid_set: expected one with __len__ "),
    "numbers for records": (lambda: trained(train_set=[3] * 4), "tokens: expected a sequence of ints, got 3"),
    "texts for records": (lambda: trained(train_set=["abc"] * 4), "tokens: expected a sequence of ints, got 'abc'"),
    "tokens that are no ints": (
        lambda: trained(train_set=[Example([1.5, 2])] * 4),
        "tokens: expected ints of 32 bits: 'float' object",
    ),
    "a loss without a count": (
        lambda: trained(loss=lambda *_: mx.array(1.0)),
        "loss: expected a sum and the number of targets, as arrays, got",
    ),
    "records in the place of batches": (
        lambda: evaluate(training.model(), training.examples()),
        "[evaluate] batches: expected an instance of Batch, got Example",
    ),
    "nothing to evaluate": (lambda: evaluate(None, training.batches()), "[evaluate] model: expected one"),
    "an adapter's settings in a dict": (
        lambda: create_adapter(training.decoder()[1], {"rank": 8}),
        "[create_adapter] config: expected an instance of LoRAConfig",
    ),
    "no adapter to attach": (
        lambda: attach(training.decoder()[1], 3),
        "[attach] adapters: expected an instance of Adapter, got 3",
    ),
    "paths to merge": (
        lambda: merge(["a", "b"], [1, 1]),
        "[merge] adapters[0]: expected an instance of Adapter, got 'a'",
    ),
    "no adapter to save": (
        lambda: save_adapter("x", None),
        "[save_adapter] adapter: expected an instance of Adapter, got None",
    ),
    "no configuration": (
        lambda: DecoderConfig.from_dict([]),
        "[DecoderConfig.from_dict] config: expected an instance of Mapping",
    ),
    "no decoder": (
        lambda: decoder_model(None, {}),
        "[decoder_model] config: expected an instance of DecoderConfig, got None",
    ),
    "no data": (lambda: load_dataset(3, None), "data: expected a path, a mapping, a Source or a list of such, got 3"),
    "no records": (lambda: create_dataset(None, None), "[create_dataset] data: expected one with __len__"),
    "nothing to batch": (lambda: iterate_batches(None, 2, 8), "[iterate_batches] dataset: expected one with __len__"),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_wrong_argument_is_named(call):
    wrong, told = CALLS[call]
    with pytest.raises(ValueError, match=re.escape(told)):
        wrong()
