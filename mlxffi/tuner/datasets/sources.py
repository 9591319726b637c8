"""Where data come from: files, and folders with a file for each split, with a weight or without."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from ..._errors import ArgumentError
from .. import checks, hub
from ..files import PathLike
from .repositories import WORDS, Files, repository_files, splits_of


class Source(NamedTuple):
    """A file or folder of data.

    Args:
      path: where it is.
      weight: its share of what is trained on, beside those of the others; None where no source has one.
      subset: of a dataset of the Hub that has several.
      splits: what is "train", "valid" and "test": one of the source's splits, perhaps with a slice (train[:80%]).
    """

    path: str
    weight: float | None = None
    subset: str | None = None
    splits: Mapping[str, str] = MappingProxyType({})

    def split(self, name: str) -> Split:
        """The split of the files that stands for "train", "valid" or "test"; by default that of the same name.

        Args:
          name: of our split.

        Returns:
          The split of the files that stands for it, and the ends of its slice, None for its own.

        Raises:
          ValueError: that is no split.
        """
        text = self.splits.get(name, name)
        match = SLICE.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ArgumentError(f"data: {name}: expected a split, perhaps with a slice as in train[:80%], got {text!r}")
        word = next((split for split, words in WORDS.items() if match[1] in words), match[1])
        return Split(word, match[2], match[3])


class Split(NamedTuple):
    """A split of a source, or a slice of one.

    Args:
      name: of the split.
      begin: the first record: a number or a percentage; below 0 it counts from the end.
      end: the one after the last.
    """

    name: str
    begin: str | None = None
    end: str | None = None


SLICE = re.compile(r"(\w+)(?:\[(-?\d+%?)?:(-?\d+%?)?\])?")

Sources: TypeAlias = "PathLike | Source | Mapping[str, Any] | Sequence[PathLike | Source | Mapping[str, Any]]"


def sources_of(data: Sources) -> list[Source]:
    """Files and folders with their weights.

    Args:
      data: one or a list of: a path; a path, a colon and a weight; a mapping with the fields of a `Source`. A path may
        be the name of a dataset on the Hub, owner/name or owner/name@revision.

    Returns:
      At least one; the weights of all are None, or none is.

    Raises:
      ValueError: there is none, a weight is no number above 0, or some have one and others have none.
    """
    many = not isinstance(data, (str, os.PathLike, Mapping, Source))
    if many and not isinstance(data, (list, tuple)):
        raise ArgumentError(f"data: expected a path, a mapping, a Source or a list of such, got {data!r}")
    found = [_source(item) for item in (data if many else [data])]  # type: ignore[union-attr]
    if not found:
        raise ArgumentError("data: expected at least one file or folder, got none")
    without = [source.path for source in found if source.weight is None]
    if 0 < len(without) < len(found):
        raise ArgumentError(f"data: expected a weight for each of {len(found)} or for none, got none for {without[0]}")
    return found


def _source(item: Any) -> Source:
    if isinstance(item, Source):
        return item
    if isinstance(item, Mapping):
        unknown = sorted(str(key) for key in item if key not in Source._fields)
        if unknown or not isinstance(item.get("path"), str):
            raise ArgumentError(f"data: expected {', '.join(Source._fields)}, the path at least, got {dict(item)!r}")
        return _weighted(item["path"], item.get("weight"))._replace(**_parts(item))
    name = os.fspath(item)
    path, colon, weight = name.rpartition(":")
    if not colon or os.path.exists(name):
        return Source(name)
    try:
        return _weighted(path, float(weight))
    except ValueError as error:
        if isinstance(error, ArgumentError):
            raise
        return Source(name)


def _parts(item: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: item[key] for key in ("subset", "splits") if item.get(key) is not None}
    if not isinstance(found.get("subset", ""), str):
        raise ArgumentError(f"data: subset: expected a name, got {found['subset']!r}")
    splits = found.get("splits", {})
    if not isinstance(splits, Mapping) or not set(splits) <= set(WORDS):
        raise ArgumentError(f"data: splits: expected some of {', '.join(WORDS)} by name, got {splits!r}")
    return found


def _weighted(path: str, weight: Any) -> Source:
    return Source(path, None if weight is None else checks.positive("data", f"weight of {path}", weight))


# Fields of records, by which mlx_lm's settings call them.
FEATURES = (
    "text_feature",
    "chat_feature",
    "prompt_feature",
    "completion_feature",
    "chosen_feature",
    "rejected_feature",
    "label_feature",
)


def source_of_mlx_lm(about: Mapping[str, Any]) -> Source:
    """A dataset as `hf_dataset` in settings of mlx_lm names it, with its defaults for splits.

    Args:
      about: `path`, perhaps `config`, splits and names of fields.

    Returns:
      The dataset; by default, training takes the first 80 % of "train" and validation its last 10 %.

    Raises:
      ValueError: there is no path, or something in it is unknown.
    """
    config = about.get("config") or {}
    known = {"path", "config", "train_split", "valid_split", "test_split", *FEATURES}
    unknown = sorted(str(key) for key in about if key not in known)
    if unknown or not isinstance(about.get("path"), str):
        raise ArgumentError(f"hf_dataset: expected {', '.join(sorted(known))}, the path at least, got {dict(about)!r}")
    if not isinstance(config, Mapping) or not set(config) <= {"name", "revision"}:
        raise ArgumentError(f"hf_dataset.config: expected name and revision, got {config!r}")
    defaults = {"train": "train[:80%]", "valid": "train[-10%:]", "test": "test"}
    splits = {name: about.get(f"{name}_split") or default for name, default in defaults.items()}
    revision = f"@{config['revision']}" if config.get("revision") else ""
    return Source(f"{about['path']}{revision}", None, config.get("name"), splits)


# --- files ---


def files_of(source: Source, splits: Collection[str]) -> Files:
    """The files of each split: a file is for training; a folder may have several files for a split, or none.

    Args:
      source: where they are.
      splits: which of "train", "valid" and "test" are needed of a dataset of the Hub.

    Returns:
      Paths by split: "train", "valid", "test"; splits without files are left out.

    Raises:
      OSError, RuntimeError: there is no such file or folder, or no split in the folder, or it is a name on the Hub and
        cannot be fetched.
    """
    path = source.path
    if os.path.isdir(path):
        return _files_in(Path(path))
    if os.path.exists(path):
        return {"train": [path]}
    repo = hub.repo_of(path.removeprefix("hf:"), "dataset")
    if repo is None:
        raise FileNotFoundError(f"{path}: expected a file of records, a folder of such, or owner/name on the Hub")
    return repository_files(repo, source.subset, {source.split(name).name for name in splits})


def _files_in(folder: Path) -> Files:
    names = [path.name for path in folder.iterdir()]
    found = splits_of(names)
    if not found:
        raise FileNotFoundError(f"{folder}: expected train.jsonl, valid.jsonl or test.jsonl in it, got none of them")
    return {split: [str(folder / name) for name in files] for split, files in found.items()}
