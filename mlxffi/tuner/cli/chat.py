"""Talk with a model: a line is a turn; Ctrl-C stops an answer, /reset begins anew, and Ctrl-D ends."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from ..._errors import ArgumentError
from ..datasets.tokenizers import templated
from ..models.generate import Session
from ..models.sampling import Options
from .generate import add_shared_arguments, as_json, load, options_of, say, system_messages

RESET = "/reset"

Messages = list[dict[str, str]]
# Prints an answer to these tokens, and gives its text.
Answer = Callable[[Session, list[int], Options], str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command; see `Command`."""
    parser.add_argument("--json", action="store_true", help="print a JSON object for each answer, a line each")
    add_shared_arguments(parser)


def prepare(arguments: argparse.Namespace) -> Callable[[], None]:
    """Load the model; see `Command`."""
    options = options_of(arguments)
    base, model = load(arguments)
    if not base.tokenizer.has_chat_template:
        raise ArgumentError(
            f"{arguments.model}: a chat needs a chat template, and the tokenizer has none; see generate"
        )
    answer = _answer_as_json if arguments.json else _answer
    return partial(_chat, Session(model, base.tokenizer), base.tokenizer, system_messages(arguments), options, answer)


def _chat(session: Session, tokenizer: Any, system: Messages, options: Options, answer: Answer) -> None:
    """Answer turn by turn; the session reads what is new in each."""
    messages = list(system)
    for turn, line in enumerate(_lines()):
        if line == RESET:
            messages = list(system)
            continue
        messages.append({"role": "user", "content": line})
        tokens = templated(tokenizer, messages, None, add_generation_prompt=True)
        # Other draws for each turn.
        text = answer(session, tokens, replace(options, seed=options.seed + turn))
        messages.append({"role": "assistant", "content": text})


def _lines() -> Iterator[str]:
    """What is typed, without empty lines."""
    while True:
        try:
            line = input("> " if sys.stdin.isatty() else "").strip()
        except EOFError:
            return
        if line:
            yield line


def _answer(session: Session, tokens: list[int], options: Options) -> str:
    """Print an answer; Ctrl-C ends it where it is."""
    told: list[str] = []
    try:
        for piece in session.stream(tokens, options):
            told.append(piece.text)
            say(piece.text)
    except KeyboardInterrupt:
        pass
    print()
    return "".join(told)


def _answer_as_json(session: Session, tokens: list[int], options: Options) -> str:
    """Print an answer as `generate --json` does; of one that Ctrl-C ends, what there is."""
    told: list[str] = []
    try:
        found = as_json(session.generate(tokens, options, told.append))
    except KeyboardInterrupt:
        found = {"text": "".join(told), "finish_reason": "interrupted", "prompt_tokens": len(tokens)}
    print(json.dumps(found), flush=True)
    return "".join(told)
