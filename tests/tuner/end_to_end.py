"""A small model, trained from nothing on the manual of this machine's Python, and data to fine-tune it on."""

import contextlib
import io
import json
import pydoc_data.topics

from lm_models import SHARED, tokenizer

from mlxffi.tuner.cli import main

# Large enough to learn something in seconds.
CONFIG = dict(SHARED, model_type="qwen3", head_dim=16, tie_word_embeddings=True)


def paragraphs():
    """The manual's, of a middling length."""
    texts = (pydoc_data.topics.topics[name] for name in sorted(pydoc_data.topics.topics))
    return [part for text in texts for part in text.split("\n\n") if 100 < len(part) < 240]


def write_data(folder, start=0, counts=(64, 16, 16)):
    folder.mkdir()
    for name, count in zip(("train", "valid", "test"), counts, strict=True):
        lines = (json.dumps({"text": text}) for text in paragraphs()[start : start + count])
        (folder / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines))
        start += count


def write_random_model(folder, **changes):
    """A model directory with random weights."""
    import mlxffi.core as mx
    from mlxffi.tuner.models import DecoderConfig, random_parameters, save_model

    config = {**CONFIG, **changes}
    save_model(folder, random_parameters(DecoderConfig.from_dict(config), mx.random.key(5)), config)
    tokenizer().save(str(folder / "tokenizer.json"))
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))


def command(*words, status=0):
    """Run the command line in this process; what it printed, and its last line on stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([str(word) for word in words])
        except SystemExit as end:
            code = end.code
    assert code == status, out.getvalue() + err.getvalue()
    return out.getvalue(), err.getvalue()


def options(**values):
    """Options by name: True stands for one without a value."""
    for name, value in values.items():
        yield f"--{name.replace('_', '-')}"
        if value is not True:
            yield from value if isinstance(value, list) else [value]
