"""Models and datasets by their names on the Hub: in the cache of huggingface_hub, or fetched into it.

What is in the cache is read without that library. Only what is needed is fetched: configurations, tokenizers,
safetensors and data; no pickle and no code.
"""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from .._errors import ArgumentError, OperationError
from .checks import MissingLibraryError, required
from .files import read_json

INDEX = "model.safetensors.index.json"
MODEL_FILE = re.compile(
    r"(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|chat_template)\.json"
    r"|model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json|tokenizer\.model|merges\.txt"
    r"|chat_template\.jinja|additional_chat_templates/[\w.-]+\.jinja"
)
Wanted: TypeAlias = "Callable[[Sequence[str], Callable[[str], Path]], list[str]]"
# Each is a way to have a tokenizer.
TOKENIZERS = (("tokenizer.json",), ("tokenizer.model",), ("vocab.json", "merges.txt"))


class Repo(NamedTuple):
    """A repository of the Hub.

    Args:
      kind: "model" or "dataset".
      name: owner/name.
      revision: a branch, a tag or a commit.
    """

    kind: str
    name: str
    revision: str = "main"

    def __str__(self) -> str:
        return self.name if self.revision == "main" else f"{self.name}@{self.revision}"


def repo_of(text: str, kind: str) -> Repo | None:
    """The repository that owner/name or owner/name@revision means.

    Args:
      text: what a user wrote.
      kind: "model" or "dataset".

    Returns:
      the repository, at "main" where no revision is named; None where the text is neither.
    """
    word = r"\w[\w.-]*"
    match = re.fullmatch(rf"({word}/{word})(?:@({word}(?:/{word})*))?", text, re.ASCII)
    if match is None or ".." in text or "--" in text:
        return None
    return Repo(kind, match[1], match[2] or "main")


def model_folder(repo: Repo, weights: bool = True) -> Path:
    """The folder of a model, with all that it needs.

    Args:
      repo: the model.
      weights: whether they are needed, too.

    Returns:
      a folder in the cache.

    Raises:
      OSError, RuntimeError: it is not in the cache and cannot be fetched; the message says why.
    """

    def wanted(names: Sequence[str], _: object) -> list[str]:
        there = [name for name in names if MODEL_FILE.fullmatch(name)]
        return there if weights else [name for name in there if "safetensors" not in name]

    return folder_of(repo, partial(missing_of_model, weights=weights), wanted)


def missing_of_model(folder: Path, weights: bool = True) -> list[str]:
    """What a folder lacks to be a complete model.

    Args:
      folder: the folder.
      weights: whether they are needed, too.

    Returns:
      names of files; [] where nothing is missing.

    Raises:
      ValueError: the index of the weights is no JSON.
    """
    found = [
        name for name in ("config.json", *(_weights_of(folder) if weights else ())) if not (folder / name).is_file()
    ]
    if not any(all((folder / name).is_file() for name in names) for names in TOKENIZERS):
        found.append("tokenizer.json")
    return found


def _weights_of(folder: Path) -> list[str]:
    """The files that the weights of a model should be in."""
    if not (folder / INDEX).is_file():
        return sorted(path.name for path in folder.glob("model*.safetensors")) or ["model.safetensors"]
    index = read_json(folder / INDEX)
    places = index.get("weight_map") if isinstance(index, dict) else None
    return sorted(set(map(str, places.values()))) if isinstance(places, dict) else []


# --- the cache ---


def cache() -> Path:
    """The folder in which huggingface_hub keeps what it fetched, by the variables of the environment that it reads."""
    environ = os.environ
    home = environ.get("HF_HOME") or os.path.join(environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    found = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE") or os.path.join(home, "hub")
    return Path(os.path.expandvars(os.path.expanduser(found)))


def snapshot(repo: Repo) -> Path | None:
    """The folder of a revision in the cache, which may have only some of its files.

    Args:
      repo: the repository.

    Returns:
      the folder; None where there is none.
    """
    root = cache() / f"{repo.kind}s--{repo.name.replace('/', '--')}"
    ref = root / "refs" / repo.revision
    commit = ref.read_text(encoding="utf-8").strip() if ref.is_file() else repo.revision
    found = root / "snapshots" / commit
    return found if re.fullmatch(r"\w[\w.-]*", commit) and found.is_dir() else None


def folder_of(repo: Repo, missing: Callable[[Path], list[str]], wanted: Wanted) -> Path:
    """The folder of a repository: from the cache if everything needed is there, else fetched.

    Args:
      repo: the repository.
      missing: what a folder lacks of what is needed.
      wanted: which files are needed, of those that there are; its second argument fetches one of them.

    Returns:
      a folder in the cache.

    Raises:
      OSError, RuntimeError: it is not in the cache and cannot be fetched; the message says why.
    """
    found = snapshot(repo)
    lacks = ["all of it"] if found is None else missing(found)
    if found is not None and not lacks:
        return found
    why = f"{repo}: the cache of huggingface_hub in {cache()} lacks {', '.join(lacks[:3])}"
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise FileNotFoundError(f"{why}, and HF_HUB_OFFLINE forbids fetching it")
    try:
        folder = _fetched(repo, wanted)
    except MissingLibraryError as error:
        raise FileNotFoundError(f"{why}; to fetch it, {error}") from None
    lacks = missing(folder)
    if lacks:
        raise FileNotFoundError(f"{repo}: this repository lacks {', '.join(lacks[:3])}")
    return folder


# --- what is fetched ---


def _fetched(repo: Repo, wanted: Wanted) -> Path:
    """The folder of a revision in the cache, with what is wanted of it."""
    hub: Any = required("huggingface_hub", "hub")
    endpoint = os.environ.get("HF_ENDPOINT") or None
    options = {"repo_type": repo.kind, "revision": repo.revision, "cache_dir": str(cache()), "endpoint": endpoint}
    try:
        about = hub.HfApi(endpoint=endpoint).repo_info(repo.name, repo_type=repo.kind, revision=repo.revision)
        there = [file.rfilename for file in about.siblings or ()]
        names = wanted(there, lambda name: Path(hub.hf_hub_download(repo.name, name, **options)))
        if not names:
            raise FileNotFoundError(f"{repo}: this repository has no file that a {repo.kind} is read from")
        return Path(hub.snapshot_download(repo.name, allow_patterns=[glob.escape(name) for name in names], **options))
    except _failures(hub) as error:
        reason = " ".join(str(error).split())
        raise OperationError(f"{repo}: cannot be fetched: {reason}") from error


def _failures(hub: Any) -> tuple[type[Exception], ...]:
    """What huggingface_hub raises where the network, the server or the name is at fault."""
    clients = [sys.modules[name] for name in ("httpx2", "httpx") if name in sys.modules]
    errors = hub.errors
    ours = (errors.HfHubHTTPError, errors.HFValidationError, errors.LocalEntryNotFoundError)
    return (*ours, ConnectionError, *(client.HTTPError for client in clients))


def require_no_code(repo: Repo, trusted: bool) -> None:
    """Raise if code from the Hub would be run.

    Args:
      repo: the repository.
      trusted: whether its code was asked for.

    Raises:
      ValueError: it was.
    """
    if trusted:
        raise ArgumentError(f"trust_remote_code: code of the Hub is never run, got it for {repo}")
