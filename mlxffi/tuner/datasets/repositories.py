"""Which files a folder or a dataset of the Hub has for training, validation and test, by their names or its README."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeAlias

from ..._errors import ArgumentError
from .. import hub
from ..checks import required
from ..files import read_text
from .readers import DECOMPRESSORS, READERS

# The files of each split.
Files: TypeAlias = "dict[str, list[str]]"

WORDS = {"train": ("train",), "valid": ("valid", "validation", "val", "dev"), "test": ("test",)}
SUFFIXES = [f"{format}{packed}" for format in READERS for packed in DECOMPRESSORS if format != ".parquet" or not packed]
README = "README.md"


def splits_of(names: Iterable[str]) -> Files:
    """The files of each split, found by their names: a single file such as train.jsonl, or else the parts of one.

    Of several words for a split and several suffixes, the first counts.

    Args:
      names: of files.

    Returns:
      Names by split: "train", "valid", "test"; splits without files are left out.
    """
    known = set(names)
    found = {split: _files_for(known, words) for split, words in WORDS.items()}
    return {split: files for split, files in found.items() if files}


def _files_for(names: set[str], words: tuple[str, ...]) -> list[str]:
    places = [(word, suffix) for word in words for suffix in SUFFIXES]
    whole = next((f"{word}{suffix}" for word, suffix in places if f"{word}{suffix}" in names), None)
    if whole is not None:
        return [whole]
    return next(filter(None, (_parts(names, f"{re.escape(word)}-", suffix) for word, suffix in places)), [])


def _parts(names: Iterable[str], before: str, suffix: str) -> list[str]:
    pattern = re.compile(rf"{before}\d+(-of-\d+)?(-[0-9a-f]+)?{re.escape(suffix)}")
    return sorted(filter(pattern.fullmatch, names))


# --- datasets of the Hub ---


class Choice(NamedTuple):
    """What is wanted of a dataset.

    Args:
      repo: the dataset.
      subset: its name; None for the only or the default one.
      splits: which are needed.
    """

    repo: hub.Repo
    subset: str | None
    splits: Collection[str]


def repository_files(repo: hub.Repo, subset: str | None, splits: Collection[str]) -> Files:
    """The files of each split of a dataset of the Hub, in its cache.

    Args:
      repo: the dataset.
      subset: which of several, by its name in the README or its folder; None for the only or the default one.
      splits: which are needed.

    Returns:
      Paths by split.

    Raises:
      OSError, RuntimeError: it is not in the cache and cannot be fetched, or has no files of records.
      ValueError: it has several subsets of which none is named, or not the one that is.
    """

    choice = Choice(repo, subset, splits)

    def wanted(names: Sequence[str], fetch: Callable[[str], Path]) -> list[str]:
        found = _chosen(choice, names, fetch(README) if README in names else None)
        return [README, *chain.from_iterable(found.values())] if found else []

    folder = hub.folder_of(repo, partial(_missing, choice), wanted)
    return {split: [str(folder / name) for name in files] for split, files in _there(choice, folder).items()}


def _there(choice: Choice, folder: Path) -> Files:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return _chosen(choice, names, folder / README if README in names else None)


def _missing(choice: Choice, folder: Path) -> list[str]:
    """What is not in a folder by what is: of files that count their parts, all have to be there."""
    try:
        found = _there(choice, folder)
    except ArgumentError:  # another subset is there
        found = {}
    lacks = [f"{split} files" for split, files in found.items() if not files] if found else ["files of records"]
    return [*lacks, *(f"parts of {files[0]}" for files in found.values() if 0 < len(files) < _parts_told(files))]


def _parts_told(files: list[str]) -> int:
    """How many parts a split has by the names of its files (train-00000-of-00002); 0 where they do not say."""
    counts = {int(match[1]) for name in files if (match := re.search(r"-of-(\d+)", name))}
    return counts.pop() if len(counts) == 1 else 0


def _chosen(choice: Choice, names: Sequence[str], readme: Path | None) -> Files:
    """The files of each split that is wanted, of one subset."""
    names = [name for name in names if name.endswith(tuple(SUFFIXES))]
    subsets = _told(readme, names) or _by_folders(names)
    if choice.subset is not None:
        found = subsets.get(choice.subset, subsets.get(f"data/{choice.subset}"))
    else:
        default = next((name for name in ("default", ".", "data") if name in subsets), None)
        found = subsets[default] if default else next(iter(subsets.values()), {}) if len(subsets) < 2 else None
    if found is None:
        there = ", ".join(sorted(subsets)) or "none"
        raise ArgumentError(f"{choice.repo}: subset: expected one of {there}, got {choice.subset!r}")
    wanted = {split: files for split, files in found.items() if split in choice.splits}
    if found and not wanted:
        raise ArgumentError(
            f"{choice.repo}: expected one of {', '.join(sorted(choice.splits))}, got {', '.join(found)}"
        )
    return wanted


def _by_folders(names: Iterable[str]) -> dict[str, Files]:
    """The files of each split of each folder; a split may also be a folder itself."""
    folders: dict[str, list[PurePosixPath]] = {}
    for path in map(PurePosixPath, names):
        parent = path.parent.parent if path.parent.name in chain.from_iterable(WORDS.values()) else path.parent
        folders.setdefault(str(parent), []).append(path)
    found = {folder: _by_words(paths) for folder, paths in folders.items()}
    return {folder: splits for folder, splits in found.items() if splits}


def _by_words(paths: list[PurePosixPath]) -> Files:
    found = {split: _of_split(paths, words) for split, words in WORDS.items()}
    return {split: files for split, files in found.items() if files}


def _of_split(paths: list[PurePosixPath], words: tuple[str, ...]) -> list[str]:
    begin = re.compile(rf"({'|'.join(words)})([-_.]|$)")
    return sorted(str(path) for path in paths if path.parent.name in words or begin.match(path.name))


# --- what a README says ---


def _told(readme: Path | None, names: Sequence[str]) -> dict[str, Files]:
    """The files of each split of each subset by the head of a README; {} where it says nothing of them."""
    text = read_text(readme) if readme is not None else ""
    match = re.match(r"---\s*\n(.*?)\n---", text, re.S)
    if match is None:
        return {}
    yaml = required("yaml", "tune")
    try:
        head = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ArgumentError(f"{readme}: expected YAML between the lines ---, got {reason}") from None
    configs = head.get("configs") if isinstance(head, dict) else None
    found: dict[str, Files] = {}
    for config in configs if isinstance(configs, list) else []:
        if isinstance(config, dict) and config.get("data_files") is not None:
            files = _matched(config["data_files"], str(config.get("data_dir") or ""), names)
            found[str(config.get("config_name", "default"))] = files
            found.update({"default": files} if config.get("default") is True else {})
    return found


def _matched(patterns: Any, folder: str, names: Sequence[str]) -> Files:
    """The files of each split by their patterns: a text or a list for training, or for each split."""
    if isinstance(patterns, list) and all(isinstance(item, Mapping) for item in patterns):
        patterns = {str(item.get("split")): item.get("path") for item in patterns}
    by_split = patterns if isinstance(patterns, Mapping) else {"train": patterns}
    found: Files = {}
    for word, given in by_split.items():
        split = next((split for split, words in WORDS.items() if word in words), word)
        wanted = [str(PurePosixPath(folder, str(item))) for item in (given if isinstance(given, list) else [given])]
        found[split] = [name for name in names if any(fnmatchcase(name, pattern) for pattern in wanted)]
    return found
