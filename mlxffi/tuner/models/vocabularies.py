"""Backends of `tokenizers` out of vocabularies: byte-level BPE by the way it splits texts, and SentencePiece's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from ..._errors import ArgumentError
from ..checks import required

SPACE = "\N{LOWER ONE EIGHTH BLOCK}"


class Kind(IntEnum):
    """What a token is, by SentencePiece's numbers, which are GGUF's, too."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


class Splits(NamedTuple):
    """How a family of byte-level tokenizers splits a text before it merges.

    Args:
      patterns: regular expressions, each of which splits what those before it left.
      ignore_merges: whether a part that is a token as a whole is that token, whatever merges make of it.
      composed: whether texts are brought into Unicode's form NFC.
      adds_bos: whether a text begins with a token of its own, unless a file says otherwise.
    """

    patterns: tuple[str, ...]
    ignore_merges: bool = False
    composed: bool = False
    adds_bos: bool = False


# Source: the regular expressions of the families' tokenizer.json files, by llama.cpp's names of them.
_SUFFIXES = "'s|'t|'re|'ve|'m|'ll|'d"
_GPT2 = rf"{_SUFFIXES}| ?\p{{L}}+| ?\p{{N}}+| ?[^\s\p{{L}}\p{{N}}]+|\s+(?!\S)|\s+"
_LINES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    rf"|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_LINES}"
)


def _cased(digits: str, marks: str = "") -> str:
    letters = rf"[\p{{L}}{marks}]+" if marks else r"\p{L}+"
    rest = rf" ?[^\s\p{{L}}{marks}\p{{N}}]+[\r\n]*"
    return rf"(?i:{_SUFFIXES})|[^\r\n\p{{L}}\p{{N}}]?{letters}|{digits}|{rest}|{_LINES}"


SPLITS = {
    "gpt-2": Splits((_GPT2,)),
    "default": Splits((r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", "[0-9][0-9][0-9]")),
    "smollm": Splits((r"\p{N}", _GPT2)),
    "llama-bpe": Splits((_cased(r"\p{N}{1,3}"),), ignore_merges=True, adds_bos=True),
    "qwen2": Splits((_cased(r"\p{N}"),), composed=True),
    "qwen35": Splits((_cased(r"\p{N}", r"\p{M}"),), composed=True),
    "tekken": Splits((_TEKKEN,), ignore_merges=True, adds_bos=True),
}
ALIASES = {
    **dict.fromkeys(("llama-v3", "llama3", "falcon3", "pixtral"), "llama-bpe"),
    **dict.fromkeys(("starcoder", "refact", "command-r", "codeshell", "exaone"), "smollm"),
    **dict.fromkeys(("phi-2", "mpt", "olmo"), "gpt-2"),
    "deepseek-r1-qwen": "qwen2",
}


class Tokens(NamedTuple):
    """A vocabulary by ids.

    Args:
      texts: of the tokens.
      kinds: of the tokens, `Kind`s.
    """

    texts: Sequence[str]
    kinds: Sequence[int]

    def of_kind(self, *kinds: Kind) -> list[str]:
        """The texts of all tokens of some kinds."""
        return [text for text, kind in zip(self.texts, self.kinds, strict=True) if kind in kinds]


# --- backends ---


def splits_named(name: str) -> Splits:
    """How a tokenizer splits that has this name with llama.cpp.

    Raises:
      ValueError: it is none that is known here.
    """
    found = SPLITS.get(ALIASES.get(name, name))
    if found is None:
        known = ", ".join((*SPLITS, *ALIASES))
        raise ArgumentError(f"tokenizer.ggml.pre: expected one of {known}; got {name!r}")
    return found


def byte_level(tokens: Tokens, merges: Iterable[str], splits: Splits) -> Any:
    """A backend whose letters are bytes, each written as a character.

    Args:
      tokens: the vocabulary.
      merges: pairs of tokens with a space between, the first to be merged first.
      splits: how texts are split before.

    Raises:
      ValueError: a merge is no pair, or of or to a token that is not there.
    """
    library = required("tokenizers", "tune")
    pairs = [tuple(merge.split(" ")) for merge in merges]
    model = _bpe(library, tokens, pairs, ignore_merges=splits.ignore_merges)
    backend = library.Tokenizer(model)
    if splits.composed:
        backend.normalizer = library.normalizers.NFC()
    parts = [
        library.pre_tokenizers.Split(library.Regex(pattern), behavior="isolated", invert=False)
        for pattern in splits.patterns
    ]
    letters = library.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False, trim_offsets=False)
    backend.pre_tokenizer = library.pre_tokenizers.Sequence([*parts, letters])
    backend.decoder = library.decoders.ByteLevel()
    add_tokens(library, backend, tokens)
    return backend


def sentencepiece_bpe(tokens: Tokens, scores: Sequence[float], prefix: bool) -> Any:
    """A backend that merges what gives the piece of the highest score, and writes as bytes what is in no piece.

    Args:
      tokens: the pieces.
      scores: of the pieces.
      prefix: whether a space stands before a text.
    """
    library = required("tokenizers", "tune")
    unknown = next(iter(tokens.of_kind(Kind.UNKNOWN)), None)
    options = {"unk_token": unknown, "fuse_unk": True, "byte_fallback": bool(tokens.of_kind(Kind.BYTE))}
    backend = library.Tokenizer(_bpe(library, tokens, _merges(tokens, scores), **options))
    write_spaces(library, backend, prefix)
    add_tokens(library, backend, tokens)
    return backend


def _bpe(library: Any, tokens: Tokens, pairs: list[Any], **options: Any) -> Any:
    ids = {text: number for number, text in enumerate(tokens.texts)}
    try:
        return library.models.BPE(ids, pairs, **options)
    except Exception as error:  # the library raises nothing more special
        raise ArgumentError(f"merges: expected pairs of tokens whose merged texts are tokens, too: {error}") from None


def write_spaces(library: Any, backend: Any, prefix: bool) -> None:
    """Spaces are letters; one may be put before a text, and taken away again."""
    replace, decoders = library.normalizers.Replace(" ", SPACE), library.decoders
    before = [library.normalizers.Prepend(SPACE)] if prefix else []
    backend.normalizer = library.normalizers.Sequence([*before, replace])
    after = [decoders.Strip(" ", 1, 0)] if prefix else []
    backend.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *after]
    )


def _merges(tokens: Tokens, scores: Sequence[float]) -> list[tuple[str, str]]:
    """Every pair of pieces that makes a piece, that of the highest score first."""
    ids = {text: number for number, text in enumerate(tokens.texts)}
    found = []
    for number in sorted(range(len(scores)), key=lambda number: -scores[number]):
        if tokens.kinds[number] != Kind.NORMAL:
            continue
        text = tokens.texts[number]
        halves = [(text[:cut], text[cut:]) for cut in range(1, len(text))]
        pairs = [(left, right) for left, right in halves if left in ids and right in ids]
        found += sorted(pairs, key=lambda pair: (ids[pair[0]], ids[pair[1]]))
    return found


def add_tokens(library: Any, backend: Any, tokens: Tokens) -> None:
    """What is found in a text before it is split: what controls, which is not told, and what its makers defined."""
    for special, kinds in ((True, (Kind.CONTROL, Kind.UNKNOWN)), (False, (Kind.USER_DEFINED,))):
        found = [library.AddedToken(text, normalized=False, special=special) for text in tokens.of_kind(*kinds) if text]
        (backend.add_special_tokens if special else backend.add_tokens)(found)


def with_ends(backend: Any, bos: str | None, eos: str | None) -> Any:
    """The backend that puts tokens around a text."""
    library = required("tokenizers", "tune")
    named = [(token, backend.token_to_id(token)) for token in (bos, eos) if token is not None]
    before, after = [bos] if bos else [], [eos] if eos else []
    if named:
        single, second = [*before, "$A", *after], [*before, "$B:1", *after]
        backend.post_processor = library.processors.TemplateProcessing(
            single=single, pair=[*single, *second], special_tokens=named
        )
    return backend


# --- what a backend says of itself ---


def patterns_of(backend: Any) -> tuple[str, ...] | None:
    """The regular expressions by which a byte-level backend splits texts; None where it splits in another way."""
    stated = json.loads(backend.to_str())["pre_tokenizer"] or {}
    found: list[str] = []
    for part in stated.get("pretokenizers", [stated]):
        kind = part.get("type")
        if kind == "Split" and "Regex" in part["pattern"] and part["behavior"] == "Isolated":
            found.append(part["pattern"]["Regex"])
        elif kind == "Digits" and part["individual_digits"]:
            found.append(r"\p{N}")
        elif kind == "ByteLevel" and not part["add_prefix_space"]:
            found += [_GPT2] if part["use_regex"] else []
        else:
            return None
    return tuple(found)
