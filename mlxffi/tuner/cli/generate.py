"""Let a model, with or without an adapter, go on from a prompt, or from each of a file."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ..._errors import ArgumentError
from ..datasets.examples import require_ids
from ..datasets.records import placed
from ..datasets.tokenizers import templated
from ..files import read_text
from ..models.generate import Generation, Session, prompt_ids
from ..models.sampling import Options
from .engine import Base, Model, load_base


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command; see `Command`."""
    parser.add_argument("-p", "--prompt", default="-", help="the prompt; - reads it from the standard input (default)")
    parser.add_argument("--prompts", metavar="FILE", help="a file of prompts: a line each, in .jsonl a JSON value")
    parser.add_argument("--ignore-chat-template", action="store_true", help="take prompts as they are")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each text, a line each")
    parser.add_argument("--quiet", action="store_true", help="print the text and nothing else")
    add_shared_arguments(parser)


def add_shared_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of all commands in which a model writes.

    Args:
      parser: gets them.
    """
    add_model_arguments(parser)
    parser.add_argument("--system-prompt", help="what a chat begins with")
    parser.add_argument("-m", "--max-tokens", type=int, default=256, help="at most so many tokens (default: 256)")
    parser.add_argument("--temp", type=float, default=0.0, help="temperature; 0 takes the likeliest token (default)")
    parser.add_argument("--top-p", type=float, default=1.0, help="draw from what has this probability (default: 1)")
    parser.add_argument("--top-k", type=int, default=0, help="draw from so many tokens; 0 for all (default)")
    about = "draw from what has at least this part of the likeliest one's probability (default: 0)"
    parser.add_argument("--min-p", type=float, default=0.0, help=about)
    about = "make tokens that were there before less likely; 1 for none (default)"
    parser.add_argument("--repetition-penalty", type=float, default=1.0, help=about)
    about = "how many tokens count as those before (default: 20)"
    parser.add_argument("--repetition-context-size", type=int, default=20, help=about)
    about = "a text that ends the output and is not printed; may be given several times"
    parser.add_argument("--stop", action="append", default=[], metavar="TEXT", help=about)
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws (default: 0)")


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say which model runs.

    Args:
      parser: gets them.
    """
    parser.add_argument("--model", required=True, help="folder or GGUF file of the model, or its name on the Hub")
    parser.add_argument("--adapter-path", help="folder of an adapter for it")
    parser.add_argument("--engine", choices=("auto", "own", "mlx_lm"), default="auto", help="whose model runs")
    parser.add_argument("--trust-remote-code", action="store_true", help="let mlx_lm run code of a tokenizer")


def load(arguments: argparse.Namespace) -> tuple[Base, Model]:
    """The model that the options name, with its adapter.

    Args:
      arguments: those of `add_model_arguments`.

    Returns:
      the model before any training, and the one that runs.

    Raises:
      OSError: a file or a folder is missing.
      ValueError: a file is not as it should be.
    """
    base = load_base(arguments.model, arguments.engine, arguments.trust_remote_code)
    if arguments.adapter_path is None:
        return base, base.plain()
    if not arguments.adapter_path:
        raise ArgumentError("adapter_path: expected the folder of an adapter, got an empty path")
    return base, base.with_trained(Path(arguments.adapter_path))


def options_of(arguments: argparse.Namespace) -> Options:
    """How the command's options say that texts are generated.

    Args:
      arguments: those of `add_shared_arguments`.

    Returns:
      the same, as `Session` takes it.

    Raises:
      ValueError: one is out of its range.
    """
    names = ("max_tokens", "top_p", "top_k", "min_p", "repetition_penalty", "repetition_context_size", "seed")
    given = {name: getattr(arguments, name) for name in names}
    return Options(temperature=arguments.temp, stop=tuple(arguments.stop), **given)


def system_messages(arguments: argparse.Namespace) -> list[dict[str, str]]:
    """The messages that a chat begins with.

    Args:
      arguments: those of `add_shared_arguments`.

    Returns:
      the system prompt as a message; [] without one.
    """
    return [{"role": "system", "content": arguments.system_prompt}] if arguments.system_prompt else []


class Prompt(NamedTuple):
    """A prompt.

    Args:
      place: where it is from, for messages.
      tokens: its ids.
    """

    place: str
    tokens: list[int]


def prepare(arguments: argparse.Namespace) -> Callable[[], None]:
    """Load the model, and encode the prompts; see `Command`."""
    options = options_of(arguments)
    if arguments.prompts and arguments.prompt != "-":
        raise ArgumentError("prompt, prompts: expected one of them, got both")
    base, model = load(arguments)
    if arguments.system_prompt and (arguments.ignore_chat_template or not base.tokenizer.has_chat_template):
        raise ArgumentError("system_prompt: expected with a chat template, got it without one")
    found = list(_prompts(arguments, base.tokenizer))
    for prompt in found:
        require_ids(prompt.tokens, model.vocab_size)
    write = _write_json if arguments.json else _write_quiet if arguments.quiet else _write
    return partial(_generate, Session(model, base.tokenizer), found, options, write)


# --- prompts ---


def _prompts(arguments: argparse.Namespace, tokenizer: Any) -> Iterator[Prompt]:
    if not arguments.prompts:
        text = sys.stdin.read() if arguments.prompt == "-" else arguments.prompt
        yield Prompt("", _tokens(tokenizer, text, arguments))
        return
    lines = read_text(arguments.prompts).splitlines()
    for number, line in enumerate(lines, 1):
        place = f"{arguments.prompts}:{number}"
        if line.strip():
            prompt = _of_json(place, line) if arguments.prompts.endswith(".jsonl") else line
            yield Prompt(place, _tokens(tokenizer, prompt, arguments, place))


def _of_json(place: str, line: str) -> Any:
    """A text, or messages, of a line of JSON: itself, or the field `prompt` or `messages` of an object."""
    try:
        found = json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        found = None
    if isinstance(found, dict):
        found = found.get("prompt", found.get("messages"))
    is_chat = isinstance(found, list) and found and all(isinstance(message, dict) for message in found)
    if not (is_chat or isinstance(found, str)):
        raise ArgumentError(f"{place}: expected a text, or an object with prompt or messages, got {line[:80]!r}")
    return found


def _tokens(
    tokenizer: Any, prompt: str | Sequence[Mapping[str, Any]], arguments: argparse.Namespace, place: str = "prompt"
) -> list[int]:
    """The prompt's tokens: as a chat, where the tokenizer has a template for one."""
    if isinstance(prompt, str):
        if arguments.ignore_chat_template or not tokenizer.has_chat_template:
            return prompt_ids(tokenizer, prompt)
        prompt = [*system_messages(arguments), {"role": "user", "content": prompt}]
    with placed(place):
        return prompt_ids(tokenizer, templated(tokenizer, prompt, None, add_generation_prompt=True))


# --- texts ---


def _generate(
    session: Session, prompts: Sequence[Prompt], options: Options, write: Callable[[Session, Prompt, Options], None]
) -> None:
    for prompt in prompts:
        write(session, prompt, options)


def _write(session: Session, prompt: Prompt, options: Options) -> None:
    """The text, as it is made, and how long it took."""
    if prompt.place:
        print(f"== {prompt.place}")
    found = session.generate(prompt.tokens, options, say)
    print(f"\nprompt: {found.prompt_tokens} tokens, {found.prompt_tokens_per_second:.1f} a second")
    print(f"text: {len(found.tokens)} tokens, {found.tokens_per_second:.1f} a second ({found.finish_reason})")


def _write_quiet(session: Session, prompt: Prompt, options: Options) -> None:
    session.generate(prompt.tokens, options, say)
    print()


def _write_json(session: Session, prompt: Prompt, options: Options) -> None:
    found = session.generate(prompt.tokens, options)
    place = {"prompt": prompt.place} if prompt.place else {}
    print(json.dumps({**place, **as_json(found)}), flush=True)


def as_json(found: Generation) -> dict[str, Any]:
    """A text, and what is known about it, as JSON.

    Args:
      found: what was generated.

    Returns:
      the text, its tokens, why it ended, and counts and tokens per second of prompt and text.
    """
    return {
        "text": found.text,
        "tokens": found.tokens,
        "finish_reason": found.finish_reason,
        "prompt_tokens": found.prompt_tokens,
        "generated_tokens": len(found.tokens),
        "prompt_tokens_per_second": found.prompt_tokens_per_second,
        "tokens_per_second": found.tokens_per_second,
    }


def say(text: str) -> None:
    """Print a part of a text immediately.

    Args:
      text: the part; no line ends after it.
    """
    print(text, end="", flush=True)
