"""A tokenizer as the metadata of a GGUF file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...._errors import ArgumentError
from ..vocabularies import SPACE, SPLITS, Kind, patterns_of
from .tokenizer import PREFIX, ROLES, TEMPLATE, TEMPLATES

if TYPE_CHECKING:
    from ..tokenizer import Tokenizer


def metadata_of(tokenizer: Tokenizer, size: int) -> dict[str, Any]:
    """The metadata of a tokenizer.

    Args:
      tokenizer: byte-level BPE whose way to split texts llama.cpp has a name for, or BPE as SentencePiece has it.
      size: of the vocabulary, as the model's embedding has it: ids without a token get an unused one.

    Raises:
      ValueError: llama.cpp has no such tokenizer; the message says why.
    """
    stated = json.loads(tokenizer.backend_tokenizer.to_str())
    model = stated["model"]
    if model["type"] != "BPE":
        raise ArgumentError(f"tokenizer: GGUF files of these families have BPE, got {model['type']}")
    if tokenizer.vocab_size > size:
        raise ArgumentError(
            f"tokenizer: expected at most {size} tokens, as the embedding has, got {tokenizer.vocab_size}"
        )
    _require_letters(stated["normalizer"])
    pieces = model.get("byte_fallback") or not stated["pre_tokenizer"]
    about = _pieces(tokenizer, model, size) if pieces else _bytes(tokenizer, model, stated, size)
    about |= {f"{name}_token_id": number for name, number in _special_ids(tokenizer).items()}
    return {**{f"{PREFIX}{key}": value for key, value in about.items()}, **_templates(tokenizer)}


def _require_letters(normalizer: Mapping[str, Any] | None) -> None:
    """Raise where a text is changed before it is split, but for spaces and the form of Unicode."""
    parts = [] if normalizer is None else normalizer.get("normalizers", [normalizer])
    odd = [part["type"] for part in parts if part["type"] not in ("NFC", "Prepend", "Replace")]
    if odd:
        raise ArgumentError(f"tokenizer: llama.cpp changes no text before it splits it; got {', '.join(odd)}")


def _bytes(tokenizer: Tokenizer, model: Mapping[str, Any], stated: Mapping[str, Any], size: int) -> dict[str, Any]:
    """Of a tokenizer whose letters are bytes."""
    patterns, ignores = patterns_of(tokenizer.backend_tokenizer), model.get("ignore_merges", False)
    # Without merges that are ignored, the families that ignore them find the same tokens all the same.
    found = [name for name, splits in SPLITS.items() if splits.patterns == patterns and splits.ignore_merges >= ignores]
    if not found:
        raise ArgumentError(f"tokenizer: llama.cpp has no name for this way to split texts: {patterns}")
    texts, kinds = _tokens(tokenizer, stated, size, model)
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"]]
    return {
        "model": "gpt2",
        "pre": found[0],
        "tokens": texts,
        "token_type": kinds,
        "merges": merges,
        **_ends_added(tokenizer),
    }


def _pieces(tokenizer: Tokenizer, model: Mapping[str, Any], size: int) -> dict[str, Any]:
    """Of a tokenizer of SentencePiece, whose scores follow from the order of merges."""
    texts, kinds = _tokens(tokenizer, json.loads(tokenizer.backend_tokenizer.to_str()), size, model)
    scores = dict.fromkeys(texts, 0.0)
    for rank, pair in enumerate(reversed(model["merges"])):
        left, right = pair if isinstance(pair, list) else pair.split(" ")
        scores[left + right] = float(rank - len(model["merges"]))
    first = tokenizer.backend_tokenizer.encode("a", add_special_tokens=False).tokens[:1]
    return {
        "model": "llama",
        "pre": "default",
        "tokens": texts,
        "token_type": kinds,
        "scores": [scores[text] for text in texts],
        "add_space_prefix": bool(first) and first[0].startswith(SPACE),
        **_ends_added(tokenizer),
    }


def _tokens(
    tokenizer: Tokenizer, stated: Mapping[str, Any], size: int, model: Mapping[str, Any]
) -> tuple[list[str], list[int]]:
    """The text and the kind of each id."""
    backend = tokenizer.backend_tokenizer
    added = {token["id"]: token for token in stated["added_tokens"]}
    texts, kinds = [], []
    for number in range(size):
        text = backend.id_to_token(number)
        texts.append(f"[PAD{number}]" if text is None else text)
        kinds.append(int(_kind(text, added.get(number), model)))
    return texts, kinds


def _kind(text: str | None, added: Mapping[str, Any] | None, model: Mapping[str, Any]) -> Kind:
    if text is None:
        return Kind.UNUSED
    if text == model.get("unk_token"):
        return Kind.UNKNOWN
    if added is not None:
        return Kind.CONTROL if added["special"] else Kind.USER_DEFINED
    is_byte = model.get("byte_fallback") and len(text) == 6 and text.startswith("<0x") and text.endswith(">")
    return Kind.BYTE if is_byte else Kind.NORMAL


def _ends_added(tokenizer: Tokenizer) -> dict[str, bool]:
    """Whether a text gets a beginning and an end of its own."""
    bare, whole = (tokenizer.encode("a", add_special_tokens=added) for added in (False, True))
    begins = whole[0] != bare[0] and whole[0] == tokenizer.bos_token_id
    return {"add_bos_token": begins, "add_eos_token": whole[-1] != bare[-1] and whole[-1] == tokenizer.eos_token_id}


def _special_ids(tokenizer: Tokenizer) -> dict[str, int]:
    """Tokens by their roles, and another than the end of a text that ends turns."""
    known = {
        name: tokenizer.backend_tokenizer.token_to_id(tokenizer.special_tokens.get(role, ""))
        for name, role in ROLES.items()
    }
    found = {**known, "eos": tokenizer.eos_token_id}
    others = sorted(tokenizer.eos_token_ids - {tokenizer.eos_token_id})
    found |= {"eot": others[0]} if others else {}
    return {name: number for name, number in found.items() if number is not None}


def _templates(tokenizer: Tokenizer) -> dict[str, Any]:
    templates = tokenizer.chat_templates
    found: dict[str, Any] = {f"{TEMPLATE}.{name}": text for name, text in templates.items() if name != "default"}
    if found:
        found[TEMPLATES] = [name for name in templates if name != "default"]
    return found | ({TEMPLATE: templates["default"]} if "default" in templates else {})
