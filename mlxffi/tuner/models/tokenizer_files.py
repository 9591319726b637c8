"""Tokenizers of folders without tokenizer.json: of SentencePiece's tokenizer.model, or of vocab.json and merges.txt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..._errors import ArgumentError
from ..checks import required
from ..files import read_json
from .vocabularies import (
    SPACE,
    SPLITS,
    Kind,
    Tokens,
    add_tokens,
    byte_level,
    sentencepiece_bpe,
    with_ends,
    write_spaces,
)  # fmt: skip

# Models pad their vocabulary; an id that is farther off is no token's.
MOST_UNUSED = 10**6


def from_files(folder: Path, about: Mapping[str, Any]) -> Any:
    """A backend of a folder without tokenizer.json: of tokenizer.model, or of vocab.json and merges.txt.

    Args:
      folder: with the files.
      about: what tokenizer_config.json says.

    Raises:
      FileNotFoundError: neither is there.
      ValueError: a file is not as it should be; the message names it.
    """
    added = Added(_added(folder, about), _special(about))
    if (folder / "tokenizer.model").is_file():
        return _from_sentencepiece(folder / "tokenizer.model", about, added)
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        return _from_pair(folder, about, added)
    raise FileNotFoundError(
        f"{folder / 'tokenizer.json'}: no such file; the tokenizer is read from it, or from tokenizer.model, or from "
        "vocab.json and merges.txt"
    )


class Added(NamedTuple):
    """Tokens beside a vocabulary, by id, and texts of it that are tokens whatever stands around them."""

    by_id: Mapping[int, tuple[str, Kind]]
    special: frozenset[str]


def _special(about: Mapping[str, Any]) -> frozenset[str]:
    """The tokens that have a role in tokenizer_config.json."""
    roles = [value for name, value in about.items() if name.endswith("_token")]
    stated = [*roles, *(about.get("additional_special_tokens") or [])]
    texts = (value.get("content") if isinstance(value, dict) else value for value in stated)
    return frozenset(text for text in texts if isinstance(text, str))


def _added(folder: Path, about: Mapping[str, Any]) -> dict[int, tuple[str, Kind]]:
    """Tokens beside a vocabulary, by id."""
    path = folder / "added_tokens.json"
    older = read_json(path) if path.is_file() else {}
    if not _are_ids(older):
        raise ArgumentError(f"{path}: expected ids by token, got {older!r}")
    listed = about.get("added_tokens_decoder") or {}
    try:
        found = {int(number): (str(token["content"]), bool(token.get("special"))) for number, token in listed.items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        where = folder / "tokenizer_config.json"
        raise ArgumentError(f"{where}: added_tokens_decoder: expected tokens by id, got {listed!r}") from None
    kinds = {True: Kind.CONTROL, False: Kind.USER_DEFINED}
    return {
        **{number: (text, Kind.CONTROL) for text, number in older.items()},
        **{number: (text, kinds[special]) for number, (text, special) in found.items()},
    }


def _with_added(tokens: Tokens, added: Added) -> Tokens:
    texts = list(tokens.texts)
    kinds = [
        Kind.CONTROL if text in added.special and kind == Kind.NORMAL else kind
        for text, kind in zip(*tokens, strict=True)
    ]
    for number in sorted(added.by_id):
        if not 0 <= number < len(texts) + MOST_UNUSED:
            raise ArgumentError(f"added tokens: expected ids near the {len(texts)} of the vocabulary, got {number}")
        while len(texts) <= number:
            kinds.append(Kind.UNUSED)
            texts.append(f"[PAD{len(texts)}]")
        texts[number], kinds[number] = added.by_id[number]
    return Tokens(texts, kinds)


def _from_pair(folder: Path, about: Mapping[str, Any], added: Added) -> Any:
    ids = read_json(folder / "vocab.json")
    texts = sorted(ids, key=ids.get) if _are_ids(ids) else []
    if [ids[text] for text in texts] != list(range(len(texts))) or not texts:
        raise ArgumentError(f"{folder / 'vocab.json'}: expected ids from 0 on by token, each once")
    lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
    merges = [line.rstrip("\r") for line in lines if line.strip() and not line.startswith("#version")]
    tokens = _with_added(Tokens(texts, [Kind.NORMAL] * len(texts)), added)
    # Of the families whose tokenizers come as such a pair, Qwen's alone splits in another way than GPT-2's.
    splits = SPLITS["qwen2" if "qwen" in str(about.get("tokenizer_class")).lower() else "gpt-2"]
    return _ended(byte_level(tokens, merges, splits), about, adds_bos=False)


def _are_ids(found: Any) -> bool:
    return isinstance(found, dict) and all(isinstance(number, int) for number in found.values())


def _from_sentencepiece(path: Path, about: Mapping[str, Any], added: Added) -> Any:
    model = required("sentencepiece.sentencepiece_model_pb2", "sentencepiece").ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except Exception as error:  # protobuf's own class
        raise ArgumentError(f"{path}: expected a model of SentencePiece, got what is none: {error}") from None
    tokens = Tokens([piece.piece for piece in model.pieces], [piece.type for piece in model.pieces])
    scores = [piece.score for piece in model.pieces]
    prefix = model.normalizer_spec.add_dummy_prefix and about.get("add_prefix_space") is not False
    if model.trainer_spec.model_type == model.trainer_spec.BPE:
        spaced = [
            text.replace(SPACE, " ") if kind == Kind.USER_DEFINED else text for text, kind in zip(*tokens, strict=True)
        ]
        backend = sentencepiece_bpe(_with_added(Tokens(spaced, tokens.kinds), added), scores, prefix)
    else:
        backend = _unigram(_with_added(tokens, added), scores, model, prefix)
    return _ended(backend, about, adds_bos=True)


def _unigram(tokens: Tokens, scores: Sequence[float], model: Any, prefix: bool) -> Any:
    """A backend that takes the likeliest of all ways to divide a text into pieces."""
    library = required("tokenizers", "tune")
    scored = [*scores, *[0.0] * (len(tokens.texts) - len(scores))]
    vocabulary = list(zip(tokens.texts, scored, strict=True))
    unknown = next((number for number, kind in enumerate(tokens.kinds) if kind == Kind.UNKNOWN), None)
    backend = library.Tokenizer(library.models.Unigram(vocabulary, unknown, bool(tokens.of_kind(Kind.BYTE))))
    write_spaces(library, backend, prefix)
    if model.normalizer_spec.precompiled_charsmap:
        table = library.normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap)
        backend.normalizer = library.normalizers.Sequence([table, backend.normalizer])
    add_tokens(library, backend, tokens)
    return backend


def _ended(backend: Any, about: Mapping[str, Any], adds_bos: bool) -> Any:
    """The backend with what tokenizer_config.json puts around a text."""

    def token(role: str, default: bool) -> str | None:
        stated = about.get(f"add_{role}_token")
        found = about.get(f"{role}_token") if (default if stated is None else stated) else None
        return found.get("content") if isinstance(found, dict) else found

    return with_ends(backend, token("bos", adds_bos), token("eos", False))
