"""The tokenizer in the metadata of a GGUF file: out of it, and into it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...._errors import ArgumentError
from ...files import PathLike
from .. import vocabularies
from ..vocabularies import SPACE, SPLITS, Kind, Tokens, patterns_of
from .file import read_header

if TYPE_CHECKING:
    from ..tokenizer import Tokenizer

PREFIX = "tokenizer.ggml."
ROLES = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}
# Ends of turns, as llama.cpp finds them: by roles of their own, and by their texts, whoever has them.
ENDS = ("eos", "eot", "eom")
ENDING_TEXTS = ("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|eom_id|>", "<EOT>")
TEMPLATE, TEMPLATES = "tokenizer.chat_template", "tokenizer.chat_templates"


def tokenizer_parts(path: PathLike) -> tuple[Any, dict[str, str], dict[str, str], list[int]]:
    """The parts of a `models.Tokenizer`, from a GGUF file.

    Args:
      path: of the file.

    Returns:
      (a backend, tokens by their roles, chat templates by name, the ids that end a text).

    Raises:
      ValueError: the file has no vocabulary, or one of a kind that is not supported; the message says which.
    """
    metadata = read_header(path).metadata
    about = {key.removeprefix(PREFIX): value for key, value in metadata.items() if key.startswith(PREFIX)}
    try:
        tokens = _stated_tokens(about)
        special = {role: text for name, role in ROLES.items() if (text := _text(about, tokens, name)) is not None}
        backend = _backend(about, tokens, special)
    except ArgumentError as error:
        raise ArgumentError(f"{os.fspath(path)}: {error}") from None
    return backend, special, _stated_templates(metadata), _ends(about, tokens)


def _stated_tokens(about: Mapping[str, Any]) -> Tokens:
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


def _stated_templates(metadata: Mapping[str, Any]) -> dict[str, str]:
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


# --- to a file ---


def tokenizer_metadata(tokenizer: Tokenizer, size: int) -> dict[str, Any]:
    """The metadata of a tokenizer.

    Args:
      tokenizer: byte-level BPE whose way to split texts llama.cpp has a name for, or BPE as SentencePiece has it.
      size: of the vocabulary, as the model's embedding has it: ids without a token get an unused one.

    Returns:
      Numbers, texts and lists of them by key.

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
