"""Backends of `tokenizers` out of vocabularies: byte-level BPE by the way it splits texts, and SentencePiece's.

Vocabularies are those of GGUF files, and of folders without tokenizer.json: tokenizer.model, or vocab.json and
merges.txt.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

from ..._errors import ArgumentError
from ..checks import required
from ..files import read_json, read_text

SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
# Models pad their vocabulary; an id that is farther off is no token's.
MOST_UNUSED = 10**6


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
        """The texts of all tokens of some kinds.

        Args:
          *kinds: at least one.

        Returns:
          Texts, in the order of ids.
        """
        return [text for text, kind in zip(self.texts, self.kinds, strict=True) if kind in kinds]


# --- backends ---


def splits_named(name: str) -> Splits:
    """How a tokenizer splits texts, by its name in llama.cpp.

    Args:
      name: such as "llama-bpe".

    Returns:
      Regular expressions, and how texts are prepared.

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

    Returns:
      A `tokenizers.Tokenizer`.

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
    """A backend that merges whatever forms the piece with the highest score, and writes as bytes what is in no piece.

    Args:
      tokens: the pieces.
      scores: of the pieces.
      prefix: whether a space stands before a text.

    Returns:
      A `tokenizers.Tokenizer`.
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
    """Let a backend write spaces as letters, and perhaps put one before a text.

    Args:
      library: the module `tokenizers`.
      backend: a `tokenizers.Tokenizer`, which is changed.
      prefix: whether a space is put before a text.
    """
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
    """Let a backend find control tokens, and those that its makers defined, in a text before it is split.

    Args:
      library: the module `tokenizers`.
      backend: a `tokenizers.Tokenizer`, which is changed.
      tokens: the vocabulary.
    """
    for special, kinds in ((True, (Kind.CONTROL, Kind.UNKNOWN)), (False, (Kind.USER_DEFINED,))):
        found = [library.AddedToken(text, normalized=False, special=special) for text in tokens.of_kind(*kinds) if text]
        (backend.add_special_tokens if special else backend.add_tokens)(found)


def with_ends(backend: Any, bos: str | None, eos: str | None) -> Any:
    """A backend that puts tokens around a text.

    Args:
      backend: a `tokenizers.Tokenizer`, which is changed.
      bos: the token before a text; None for none.
      eos: the token after a text; None for none.

    Returns:
      `backend`.
    """
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
    """The regular expressions by which a byte-level backend splits texts; None where it splits in another way.

    Args:
      backend: a `tokenizers.Tokenizer`.

    Returns:
      The expressions, in the order in which they are applied; None where it splits in another way.
    """
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


# --- folders without tokenizer.json ---


def from_files(folder: Path, about: Mapping[str, Any]) -> Any:
    """A backend of a folder without tokenizer.json: of tokenizer.model, or of vocab.json and merges.txt.

    Args:
      folder: with the files.
      about: what tokenizer_config.json says.

    Returns:
      A `tokenizers.Tokenizer`.

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
    """What a folder says about tokens beside its vocabulary.

    Args:
      by_id: tokens beside the vocabulary: text and kind.
      special: texts of the vocabulary that are tokens whatever stands around them.
    """

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
    lines = read_text(folder / "merges.txt").split("\n")
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
