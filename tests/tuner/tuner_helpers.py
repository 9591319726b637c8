"""Tokenizers and files for the tests of the tuner."""

import functools
import json

import numpy as np
from helpers import error_of

import mlxffi.core as mx
from mlxffi.tuner.datasets import TextDataset
from mlxffi.tuner.models.sampling import sampler

TEMPLATE = (
    "{% if tools %}<s>tools: {{ tools | length }}\n{% endif %}"
    "{% for message in messages %}"
    "{% if message.role == 'banned' %}{{ raise_exception('no such role') }}{% endif %}"
    "<s>{{ message.role }}\n{{ message.content }}</s>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)


class ByteTokenizer:
    """UTF-8, with 256 as the end of a text. Each "<" of a chat is a token of one byte like all else."""

    eos_token_id = 256

    def encode(self, text, add_special_tokens=True):
        return list(text.encode())

    def decode(self, ids):
        return bytes(id for id in ids if id < 256).decode()

    def written(self, messages, tools, add_generation_prompt):
        """A conversation as text."""
        turns = [f"<{message['role']}>{message['content']}</>" for message in messages]
        return "".join([f"<tools {len(tools or [])}>"] * bool(tools) + turns + ["<assistant>"] * add_generation_prompt)

    def apply_chat_template(self, messages, tools=None, add_generation_prompt=False, tokenize=True):
        text = self.written(messages, tools, add_generation_prompt)
        return self.encode(text) if tokenize else text


class Counting(TextDataset):
    """Counts the records that were processed."""

    processed = 0

    def process(self, record):
        self.processed += 1
        return super().process(record)


@functools.cache
def trained_tokenizer(template=TEMPLATE):
    """A tokenizer of transformers with a chat template, trained on Python's manual."""
    from lm_models import tokenizer
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer(), bos_token="<s>", eos_token="</s>", chat_template=template
    )


def chat(*turns, **more):
    """A record of turns: the first letter of the role, then what is said."""
    roles = {"s": "system", "u": "user", "a": "assistant"}
    return {"messages": [{"role": roles[turn[0]], "content": turn[1:]} for turn in turns], **more}


def targets(example):
    """The text of the targets; what is between them as |."""
    mask = example.mask or [index >= example.offset for index in range(len(example.tokens))]
    text = "".join(chr(token) if wanted else "|" for token, wanted in zip(example.tokens, mask, strict=True))
    return "|".join(part for part in text.split("|") if part)


def unique(pairs):
    """The object of a JSON decoder, which has each key once."""
    assert len({key for key, _ in pairs}) == len(pairs)
    return dict(pairs)


def write_jsonl(path, records):
    """A file of records, one a line."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def message_of(call, kind=ValueError):
    """The message of the error that a call raises."""
    return str(error_of(call, kind))


def drawn(logits, count=2000, **options):
    """How often each token is drawn, as a part of all."""
    draw = sampler(**{"temperature": 1.0, **options})
    many = mx.array(np.tile(np.array(logits, np.float32), (count, 1)))
    found = np.array(draw(many, mx.random.key(7)))
    return np.bincount(found, minlength=len(logits)) / count


class Parrot:
    """A model that says what it was told to, whatever it is given."""

    def __init__(self, said):
        self.said = iter(said)

    def new_cache(self):
        return None

    def __call__(self, tokens, cache=None):
        logits = np.zeros((*tokens.shape, 512), np.float32)
        logits[..., next(self.said, 5)] = 9
        return mx.array(logits)
