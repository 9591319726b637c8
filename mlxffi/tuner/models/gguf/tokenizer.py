"""The tokenizer in the metadata of a GGUF file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ...._errors import ArgumentError
from ...files import PathLike
from .. import vocabularies
from ..vocabularies import Kind, Tokens
from .header import read_header

PREFIX = "tokenizer.ggml."
ROLES = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}
# Ends of turns, as llama.cpp finds them: by roles of their own, and by their texts, whoever has them.
ENDS = ("eos", "eot", "eom")
ENDING_TEXTS = ("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|eom_id|>", "<EOT>")
TEMPLATE, TEMPLATES = "tokenizer.chat_template", "tokenizer.chat_templates"


def tokenizer_parts(path: PathLike) -> tuple[Any, dict[str, str], dict[str, str], list[int]]:
    """What `models.Tokenizer` is made of, out of a GGUF file.

    Returns:
      (a backend, tokens by their roles, chat templates by name, the ids that end a text).

    Raises:
      ValueError: the file has no vocabulary, or one of a kind that is not supported; the message says which.
    """
    metadata = read_header(path).metadata
    about = {key.removeprefix(PREFIX): value for key, value in metadata.items() if key.startswith(PREFIX)}
    try:
        tokens = _tokens(about)
        special = {role: text for name, role in ROLES.items() if (text := _text(about, tokens, name)) is not None}
        backend = _backend(about, tokens, special)
    except ArgumentError as error:
        raise ArgumentError(f"{os.fspath(path)}: {error}") from None
    return backend, special, _templates(metadata), _ends(about, tokens)


def _tokens(about: Mapping[str, Any]) -> Tokens:
    texts = _listed(about, "tokens", str, [])
    if not texts:
        raise ArgumentError(f"{PREFIX}tokens: expected the vocabulary, got none")
    return Tokens(texts, _for_each(about, "token_type", int, [Kind.NORMAL] * len(texts)))


def _listed(about: Mapping[str, Any], name: str, kind: type, default: list[Any]) -> list[Any]:
    found = about.get(name, default)
    if not isinstance(found, list) or not all(isinstance(item, kind) for item in found):
        raise ArgumentError(f"{PREFIX}{name}: expected a list of {kind.__name__}, got another value")
    return found


def _for_each(about: Mapping[str, Any], name: str, kind: type, default: list[Any]) -> list[Any]:
    """A list with an item for each token."""
    found = _listed(about, name, kind, default)
    if len(found) != len(default):
        raise ArgumentError(f"{PREFIX}{name}: expected one for each of {len(default)} tokens, got {len(found)}")
    return found


def _text(about: Mapping[str, Any], tokens: Tokens, name: str) -> str | None:
    number = about.get(f"{name}_token_id")
    if number is None:
        return None
    if not isinstance(number, int) or not 0 <= number < len(tokens.texts):
        raise ArgumentError(f"{PREFIX}{name}_token_id: expected an id below {len(tokens.texts)}, got {number!r}")
    return tokens.texts[number]


def _backend(about: Mapping[str, Any], tokens: Tokens, special: Mapping[str, str]) -> Any:
    kind = about.get("model")
    if kind == "gpt2":
        splits = vocabularies.splits_named(about.get("pre", "default"))
        merges = _listed(about, "merges", str, [])
        backend, adds_bos = vocabularies.byte_level(tokens, merges, splits), splits.adds_bos
    elif kind == "llama":
        scores = _for_each(about, "scores", float, [0.0] * len(tokens.texts))
        backend = vocabularies.sentencepiece_bpe(tokens, scores, about.get("add_space_prefix", True))
        adds_bos = True
    else:
        raise ArgumentError(f"{PREFIX}model: expected gpt2 or llama, got {kind!r}")
    bos = special.get("bos_token") if about.get("add_bos_token", adds_bos) else None
    eos = special.get("eos_token") if about.get("add_eos_token", False) else None
    return vocabularies.with_ends(backend, bos, eos)


def _templates(metadata: Mapping[str, Any]) -> dict[str, str]:
    names = metadata.get(TEMPLATES, [])
    found = {name: metadata.get(f"{TEMPLATE}.{name}") for name in (names if isinstance(names, list) else [])}
    found["default"] = metadata.get(TEMPLATE)
    return {name: text for name, text in found.items() if isinstance(text, str)}


def _ends(about: Mapping[str, Any], tokens: Tokens) -> list[int]:
    stated = [about[key] for name in ENDS if isinstance(about.get(key := f"{name}_token_id"), int)]
    texts = zip(tokens.texts, tokens.kinds, strict=True)
    return [*stated, *(number for number, (text, kind) in enumerate(texts) if _ends_turns(text, kind))]


def _ends_turns(text: str, kind: int) -> bool:
    return kind in (Kind.CONTROL, Kind.USER_DEFINED) and text in ENDING_TEXTS
