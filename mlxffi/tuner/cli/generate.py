"""Let a model, with or without an adapter, go on from a prompt."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ..datasets.examples import require_ids
from ..datasets.tokenizers import templated
from ..models.generate import generate, prompt_ids, require_options
from .engine import load_base


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--model", required=True, help="folder or GGUF file of the model")
    parser.add_argument("--adapter-path", help="folder of an adapter for it")
    parser.add_argument("-p", "--prompt", default="-", help="the prompt; - reads it from the standard input (default)")
    parser.add_argument("--system-prompt", help="what a chat begins with")
    parser.add_argument("--ignore-chat-template", action="store_true", help="take the prompt as it is")
    parser.add_argument("-m", "--max-tokens", type=int, default=256, help="at most so many tokens (default: 256)")
    parser.add_argument("--temp", type=float, default=0.0, help="temperature; 0 takes the likeliest token (default)")
    parser.add_argument("--top-p", type=float, default=1.0, help="draw from what has this probability (default: 1)")
    parser.add_argument("--top-k", type=int, default=0, help="draw from so many tokens; 0 for all (default)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws (default: 0)")
    parser.add_argument("--engine", choices=("auto", "own", "mlx_lm"), default="auto", help="whose model runs")
    parser.add_argument("--trust-remote-code", action="store_true", help="let mlx_lm run code of a tokenizer")
    parser.add_argument("--quiet", action="store_true", help="print the text only, no figures")


def prepare(arguments: argparse.Namespace) -> Callable[[], None]:
    """Load the model, and read the prompt."""
    base = load_base(arguments.model, arguments.engine, arguments.trust_remote_code)
    model = base.with_trained(Path(arguments.adapter_path)) if arguments.adapter_path else base.plain()
    prompt = sys.stdin.read() if arguments.prompt == "-" else arguments.prompt
    tokens = _tokens(base.tokenizer, prompt, arguments)
    require_ids(tokens, model.vocab_size)
    options = {
        "max_tokens": arguments.max_tokens,
        "temperature": arguments.temp,
        "top_p": arguments.top_p,
        "top_k": arguments.top_k,
        "seed": arguments.seed,
    }
    require_options(**options)
    return partial(_generate, model, base.tokenizer, tokens, options, arguments.quiet)


def _tokens(tokenizer: Any, prompt: str, arguments: argparse.Namespace) -> list[int]:
    """The prompt's tokens: as a chat, where the tokenizer has a template for one."""
    if arguments.ignore_chat_template or not tokenizer.has_chat_template:
        return prompt_ids(tokenizer, prompt)
    system = [{"role": "system", "content": arguments.system_prompt}] if arguments.system_prompt else []
    messages = [*system, {"role": "user", "content": prompt}]
    return prompt_ids(tokenizer, templated(tokenizer, messages, None, add_generation_prompt=True))


def _generate(model: Any, tokenizer: Any, tokens: list[int], options: dict[str, Any], quiet: bool) -> None:
    found = generate(model, tokenizer, tokens, tell=_say, **options)
    print()
    if not quiet:
        print(f"prompt: {found.prompt_tokens} tokens, {found.prompt_tokens_per_second:.1f} a second")
        print(f"text: {len(found.tokens)} tokens, {found.tokens_per_second:.1f} a second ({found.finish_reason})")


def _say(text: str) -> None:
    print(text, end="", flush=True)
