"""Which records there are: a state is one of its data, and ids are those of the model's tokens."""

import numpy as np
import pytest
from tuner_helpers import ByteTokenizer, message_of, write_jsonl

import mlxffi.core as mx
from mlxffi.tuner.datasets import DatasetConfig, Example, iterate_batches, load_dataset
from mlxffi.tuner.models import DecoderConfig, decoder_model, random_parameters
from mlxffi.tuner.models.generate import generate
from mlxffi.tuner.optimizers import SGD
from mlxffi.tuner.trainer import TrainingArgs, train

TOKENS = [[number] * 40 for number in range(1, 9)]
KINDS = [list, np.array, lambda tokens: (tokens, 1), lambda tokens: Example(np.array(tokens), 1)]


def batches(data, **options):
    return iterate_batches(data, 2, 64, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_is_one_of_these_records(kind):
    """As many others are others, also where they differ in one token of many."""
    state = batches([kind(tokens) for tokens in TOKENS]).state()
    batches([kind(list(tokens)) for tokens in TOKENS]).restore(state)
    others = [kind(tokens) for tokens in [*TOKENS[:-1], [8] * 20 + [9] + [8] * 19]]
    assert "[restore] state: data: expected" in message_of(lambda: batches(others).restore(state))


def test_a_state_is_one_of_this_file_and_of_these_targets(tmp_path):
    def loaded(*prompts, **config):
        records = [{"prompt": prompt, "completion": "b"} for prompt in prompts]
        write_jsonl(tmp_path / "train.jsonl", records)
        return batches(load_dataset(tmp_path, ByteTokenizer(), DatasetConfig(**config)).train)

    state = loaded("a", "b", "c").state()
    loaded("a", "b", "c").restore(state)
    for other in (lambda: loaded("a", "b", "d"), lambda: loaded("a", "b", "c", mask_prompt=True)):
        assert "state: data: expected" in message_of(lambda other=other: other().restore(state))


@pytest.mark.parametrize("wrong", [-1, 10])
def test_ids_that_the_model_does_not_know_are_named_with_their_record(wrong):
    found = message_of(lambda: next(batches([[1, 2], [3, wrong]], vocab_size=10)))
    assert found == f"record 1: tokens: the tokenizer gives the id {wrong}, and the model has 10 tokens, 0 to 9"
    assert next(batches([[0, 9], [1, 2]], vocab_size=10)).tokens.shape == (2, 33)


def test_neither_trains_nor_generates_a_model_with_ids_that_it_does_not_know():
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "intermediate_size": 8, "num_attention_heads": 2}
    config = DecoderConfig.from_dict({"model_type": "llama", "vocab_size": 200, **shape})
    model = decoder_model(config, random_parameters(config, mx.random.key(0)))
    args, good, bad = TrainingArgs(iters=1, batch_size=1), [[1, 2, 3]], [[4, 200]]
    for sets in ((bad,), (good, bad)):
        message = message_of(lambda sets=sets: train(model, SGD(0.1), *sets, args=args))
        assert message.startswith("record 0: tokens: the tokenizer gives the id 200")
    assert "the id 255, and the model has 200" in message_of(lambda: generate(model, ByteTokenizer(), [3, 255]))
