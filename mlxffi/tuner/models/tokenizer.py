"""Text to tokens and back, by the files of a Hugging Face directory, through the `tokenizers` library."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..._errors import ArgumentError
from ..checks import required
from ..datasets.fields import require_characters
from ..files import PathLike, read_object, read_text, write_json
from . import chat_template
from .gguf.file import is_gguf
from .gguf.tokenizer import tokenizer_parts
from .vocabularies import from_files


class Tokenizer:
    """What turns text into tokens and back.

    Args:
      backend: a `tokenizers.Tokenizer`.
      special_tokens: tokens by their roles: "eos_token", "bos_token", ...; one that the vocabulary lacks is none.
      templates: chat templates by name; "default" is for all, "tool_use" for those with tools.
      eos_token_ids: what ends a text beside the role "eos_token".

    Raises:
      ValueError: what ends a text is not in the vocabulary, or nothing does.
    """

    def __init__(
        self,
        backend: Any,
        special_tokens: Mapping[str, str],
        templates: Mapping[str, str] | None = None,
        eos_token_ids: Iterable[int] = (),
    ):
        self.backend_tokenizer, self._templates = backend, dict(templates or {})
        known = {role: backend.token_to_id(token) is not None for role, token in special_tokens.items()}
        # The end of a text is wanted; others are said by a template at most, which would then write them as letters.
        self.special_tokens = {
            role: token for role, token in special_tokens.items() if known[role] or role == "eos_token"
        }
        self.bos_token_id = self._special_id("bos_token")
        self.pad_token_id = self._special_id("pad_token")
        eos, ids = self._special_id("eos_token"), list(eos_token_ids)
        if eos is None and not ids:
            raise ArgumentError(
                "[Tokenizer] eos_token: expected it in tokenizer_config.json, or eos_token_id in "
                "generation_config.json or config.json; got neither"
            )
        self.eos_token_id: int = ids[0] if eos is None else eos
        self.eos_token_ids: frozenset[int] = frozenset([self.eos_token_id, *ids])

    @staticmethod
    def from_directory(path: PathLike) -> Tokenizer:
        """The tokenizer of a model's directory, or of a GGUF file.

        It is in tokenizer.json, else in tokenizer.model (SentencePiece) or in vocab.json and merges.txt;
        tokenizer_config.json has special tokens, else special_tokens_map.json, and a chat
        template, which may also stand in chat_template.jinja and additional_chat_templates/*.jinja;
        generation_config.json and config.json tell what else ends a text.

        Args:
          path: of the directory or the file.

        Returns:
          The tokenizer.

        Raises:
          FileNotFoundError: there is none of these files.
          ValueError: a file or a field of it cannot be read; the message names it.
        """
        if is_gguf(path):
            return Tokenizer(*tokenizer_parts(path))
        folder = Path(path)
        about = _optional_json(folder / "tokenizer_config.json")
        special = _special_tokens({**_optional_json(folder / "special_tokens_map.json"), **about})
        return Tokenizer(_backend(folder, about), special, _templates(folder, about), _eos_ids(folder))

    @property
    def vocab_size(self) -> int:
        """How many tokens there are, special ones included."""
        size: int = self.backend_tokenizer.get_vocab_size(with_added_tokens=True)
        return size

    @property
    def chat_template(self) -> str | None:
        """The chat template for conversations without tools."""
        return self._templates.get("default")

    @property
    def chat_templates(self) -> dict[str, str]:
        """The chat templates by name."""
        return dict(self._templates)

    @property
    def has_chat_template(self) -> bool:
        """Whether `apply_chat_template` works."""
        return "default" in self._templates

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """The tokens of a text.

        Args:
          text: what is to be encoded.
          add_special_tokens: whether to add what the model expects around a text, for instance at its beginning.

        Returns:
          Ids, each from 0 to the size of the vocabulary - 1.

        Raises:
          ValueError: the text has half of a surrogate pair, which is no character.
        """
        require_characters("[encode] text", text)
        ids: list[int] = self.backend_tokenizer.encode(text, add_special_tokens=add_special_tokens).ids
        return ids

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """The text of tokens.

        Args:
          ids: tokens.
          skip_special_tokens: leave special tokens out.

        Returns:
          The text; bytes that are no UTF-8 become U+FFFD.
        """
        plain = [int(token) for token in ids]
        text: str = self.backend_tokenizer.decode(plain, skip_special_tokens=skip_special_tokens)
        return text

    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Any] | None = None,
        add_generation_prompt: bool = False,
        tokenize: bool = True,
        return_dict: bool = False,
        return_assistant_tokens_mask: bool = False,
        **variables: Any,
    ) -> Any:
        """A conversation as the model's chat template writes it.

        Args:
          messages: dicts with "role" and "content", and what else the template knows.
          tools: JSON schemas of functions that the assistant may call.
          add_generation_prompt: whether to end where the assistant's answer begins.
          tokenize: whether to give the tokens, not the text.
          return_dict: whether to give the tokens as `input_ids` of a dict.
          return_assistant_tokens_mask: whether that has `assistant_masks`, too: 1 for tokens in generation blocks.
          variables: what else the template knows, for instance `enable_thinking`.

        Returns:
          a list of ids, a str, or a dict with lists.

        Raises:
          ValueError: there is no template, no message, or the template refuses them.
        """
        if not messages:
            raise ArgumentError("[apply_chat_template] messages: expected at least one message, got none")
        template = chat_template.chosen(self._templates, tools)
        known = {
            "messages": messages,
            "tools": tools,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
        }
        text, spans = chat_template.rendered(template, {**self.special_tokens, **known, **variables})
        if not tokenize:
            return text
        require_characters("[encode] text", text)
        found = self.backend_tokenizer.encode(text, add_special_tokens=False)
        mask = {"assistant_masks": _inside(found.offsets, spans)} if return_assistant_tokens_mask else {}
        return {"input_ids": found.ids, **mask} if return_dict else found.ids

    def add_tokens(self, tokens: Sequence[str]) -> list[int]:
        """Make texts tokens of their own.

        Args:
          tokens: texts that are no tokens yet.

        Returns:
          their ids, which are consecutive.

        Raises:
          ValueError: one is a token already, stands twice, or is no text; or ids of the vocabulary have gaps.
        """
        for token in tokens:
            require_characters("[add_tokens] tokens", token)
        odd = next((token for token in tokens if not token.strip() or tokens.count(token) > 1), None)
        known = next((token for token in tokens if self.backend_tokenizer.token_to_id(token) is not None), None)
        wrong = known if odd is None else odd
        if wrong is not None or not tokens:
            raise ArgumentError(
                f"add_tokens: expected different texts that the vocabulary does not have, got {wrong!r}"
            )
        added, taken = required("tokenizers", "tune").AddedToken, max(self.backend_tokenizer.get_vocab().values())
        self.backend_tokenizer.add_tokens([added(token, normalized=False) for token in tokens])
        ids = [self.backend_tokenizer.token_to_id(token) for token in tokens]
        # The library counts the tokens that there are.
        if ids[0] <= taken:
            raise ArgumentError(f"add_tokens: expected a vocabulary without gaps, got one in which {ids[0]} is taken")
        return ids

    def save(self, folder: PathLike) -> None:
        """Write the files that `from_directory` reads; generation_config.json has the tokens that end a text.

        Args:
          folder: which exists; its files of these names are replaced.
        """
        target = Path(folder)
        self.backend_tokenizer.save(str(target / "tokenizer.json"))
        templates = [{"name": name, "template": text} for name, text in self._templates.items()]
        only = self._templates["default"] if list(self._templates) == ["default"] else templates
        about = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
        write_json(
            target / "tokenizer_config.json",
            {**about, **self.special_tokens, **({"chat_template": only} if only else {})},
        )
        write_json(target / "generation_config.json", {"eos_token_id": sorted(self.eos_token_ids)})

    def _special_id(self, role: str) -> int | None:
        token = self.special_tokens.get(role)
        if token is None:
            return None
        found: int | None = self.backend_tokenizer.token_to_id(token)
        if found is None:
            raise ArgumentError(f"[Tokenizer] {role}: {token!r} is not in the vocabulary")
        return found


def _inside(offsets: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]) -> list[int]:
    """1 for each token of which a part is in one of the spans of a text, else 0; both ascend."""
    mask = []
    following = iter([*spans, (sys.maxsize, sys.maxsize)])
    start, stop = next(following)
    for begin, end in offsets:
        while stop <= begin:
            start, stop = next(following)
        mask.append(int(end > start))
    return mask


class TextStream:
    """Text of tokens that come one by one, in pieces that are whole characters.

    Args:
      tokenizer: of the tokens.
      skip_special_tokens: leave special tokens out.
    """

    def __init__(self, tokenizer: Tokenizer, skip_special_tokens: bool = True):
        self._tokenizer, self._skip = tokenizer, skip_special_tokens
        self._tokens: list[int] = []  # from the beginning of the last piece on: how a token reads depends on the last
        self._told = 0  # how many of them were told

    def add(self, token: int) -> str:
        """What a token adds to the text; "" while a character is incomplete.

        Args:
          token: the next one's id.

        Returns:
          The text.
        """
        self._tokens.append(token)
        return self._piece(final=False)

    def finish(self) -> str:
        """The text that is left when no token follows."""
        return self._piece(final=True)

    def _piece(self, final: bool) -> str:
        before, now = self._text(self._tokens[: self._told]), self._text(self._tokens)
        # What is not a whole character yet reads as U+FFFD.
        if len(now) <= len(before) or (now.endswith("\N{REPLACEMENT CHARACTER}") and not final):
            return ""
        self._tokens = self._tokens[self._told :]
        self._told = len(self._tokens)
        return now[len(before) :]

    def _text(self, tokens: list[int]) -> str:
        return self._tokenizer.decode(tokens, skip_special_tokens=self._skip)


# --- files ---


def _optional_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, {} where there is none."""
    return read_object(path) if path.exists() else {}


def _backend(folder: Path, about: Mapping[str, Any]) -> Any:
    path = folder / "tokenizer.json"
    if not path.is_file():
        return from_files(folder, about)
    tokenizers = required("tokenizers", "tune")
    try:
        backend = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more special
        raise ArgumentError(f"{path}: expected a tokenizer, got what `tokenizers` cannot read: {error}") from error
    backend.no_padding()
    backend.no_truncation()
    return backend


def _special_tokens(about: Mapping[str, Any]) -> dict[str, str]:
    """The tokens by role; a token may stand in an object that also tells how it is matched."""
    found = {}
    for role, token in about.items():
        content = token.get("content") if isinstance(token, dict) else token
        if role.endswith("_token") and isinstance(content, str):
            found[role] = content
    return found


def _templates(folder: Path, about: Mapping[str, Any]) -> dict[str, str]:
    """Chat templates by name; files win over tokenizer_config.json."""
    stated = about.get("chat_template") or {}
    found = {"default": stated} if isinstance(stated, str) else {}
    if isinstance(stated, list):
        try:
            found = {str(item["name"]): str(item["template"]) for item in stated}
        except (KeyError, TypeError):
            raise ArgumentError(
                f"{folder / 'tokenizer_config.json'}: chat_template: expected a text, or objects with name and "
                f"template, got {stated!r}"
            ) from None
    files = {path.stem: path for path in sorted(folder.glob("additional_chat_templates/*.jinja"))}
    if (folder / "chat_template.jinja").is_file():
        files["default"] = folder / "chat_template.jinja"
    return found | {name: read_text(path) for name, path in files.items()}


def _eos_ids(folder: Path) -> list[int]:
    """What ends a text by generation_config.json and config.json: a number or several in either."""
    found: list[int] = []
    for name in ("generation_config.json", "config.json"):
        ids = _optional_json(folder / name).get("eos_token_id")
        listed = ids if isinstance(ids, list) else [] if ids is None else [ids]
        if not all(isinstance(token, int) for token in listed):
            raise ArgumentError(f"{folder / name}: eos_token_id: expected integers, got {ids!r}")
        found += listed
    return found
