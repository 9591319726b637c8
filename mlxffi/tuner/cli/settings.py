"""What a fine-tuning job can be told: on the command line, else in a YAML file, else by a default.

There is one table of settings: the fields of `Job`, below, and those of `TrainingArgs`, which the trainer takes. The
command line's options, the keys of YAML files and the help are made from it.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, NamedTuple, TypeAlias

from ..._errors import ArgumentError
from ..checks import required
from ..datasets.sources import Sources, sources_of
from ..optimizers import BY_NAME
from ..preferences import BY_NAME as PREFERENCES
from ..trainer import TrainingArgs
from ..trainer.args import setting

KINDS = ("lora", "dora", "full")
LOSSES = ("cross_entropy", *PREFERENCES)
# The adapter_config.json and the YAML files of mlx_lm call these fields of TrainingArgs otherwise.
RENAMED = {"steps_per_save": "save_every"}
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}

Minutes: TypeAlias = float


def in_file(about: str) -> dict[str, Any]:
    """The metadata of a `Job` field that only YAML files can set.

    Args:
      about: what the setting is.

    Returns:
      metadata of the field.
    """
    return {"help": about, "file_only": True}


def _default_lora() -> dict[str, Any]:
    return {"rank": 8, "dropout": 0.0, "scale": 20.0}


@dataclass(frozen=True)
class Job:
    """What a job is about: the model, the data, and what the trainer need not know."""

    model: str | None = setting(None, "folder or GGUF file of the model, or its name on the Hub")
    train: bool = setting(False, "train")
    data: Sources = field(
        default="data",
        metadata={"help": "folder with train, valid and test, file to train on, or name on the Hub; or several"},
    )
    fine_tune_type: str = setting("lora", "what is trained: low-rank factors, or all of a block", choices=KINDS)
    optimizer: str = setting("adam", "optimizer", choices=tuple(BY_NAME))
    mask_prompt: bool = setting(False, "train on completions only, not on prompts")
    mask_assistant: bool = setting(False, "train on all of the assistant's turns, and on nothing else, in chats")
    num_layers: int = setting(16, "how many blocks are fine-tuned, counted from the last; -1 for all")
    learning_rate: float = setting(1e-5, "learning rate; lr_schedule in a YAML file takes its place")
    resume_adapter_file: str | None = setting(
        None, "start from the factors in this file or folder, with a fresh optimizer"
    )
    resume: bool = setting(False, "go on where the last run in the adapter path stopped, exactly")
    adapter_path: str = setting("adapters", "folder for what is trained")
    test: bool = setting(False, "evaluate on the test set (after training, where both are asked for)")
    test_batches: int = setting(500, "batches of the test set to evaluate; -1 for all")
    config: str | None = setting(None, "YAML file with settings by name", short="-c")
    report_to: str | None = setting(None, "also report to tensorboard, wandb or swanlab; several with commas")
    project_name: str | None = setting(None, "name of the project in these reports")
    time_limit: Minutes | None = field(
        default=None, metadata={"help": "stop in good order after so many minutes, or a time such as 1h30m"}
    )
    find_lr: bool = setting(False, "try learning rates in the place of training, and suggest one; nothing is written")
    plot: bool = setting(False, "draw the loss curve into loss.png in the adapter path")
    engine: str = setting("auto", "whose model runs: mlxffi's own, or mlx_lm's", choices=("auto", "own", "mlx_lm"))
    trust_remote_code: bool = setting(False, "let mlx_lm run code that comes with a tokenizer")
    loraplus_lr_ratio: float | None = setting(None, "how many times larger the learning rate of lora_b is (LoRA+)")
    neftune_noise_alpha: float = setting(0.0, "noise in embeddings while training (NEFTune); 0 for none")
    loss: str = setting("cross_entropy", "what is minimized: that of texts, or one of preferences", choices=LOSSES)
    beta: float | None = setting(None, "of preferences: what a difference of log-probabilities counts; 0.1, simpo 2.0")
    label_smoothing: float | None = setting(None, "of dpo, cpo, simpo: how likely it is that a preference is wrong; 0")
    cpo_alpha: float | None = setting(None, "of cpo: weight of the likelihood of what was chosen; 1.0")
    simpo_gamma: float | None = setting(None, "of simpo: the margin that is aimed at; 0.5")
    desirable_weight: float | None = setting(None, "of kto: weight of good completions; 1.0")
    undesirable_weight: float | None = setting(None, "of kto: weight of bad completions; 1.0")
    distill_from: str | None = setting(None, "folder of a teacher, whose predictions the model learns")
    distill_loss: str = setting("kl", "divergence from the teacher", choices=("kl", "js"))
    distill_temperature: float = setting(1.0, "temperature of teacher and student")
    distill_weight: float = setting(1.0, "weight of the divergence; the rest, up to 1, is cross-entropy's")
    add_tokens: list[str] = field(
        default_factory=list, metadata={"help": "new tokens, whose rows of the embedding are trained with the adapter"}
    )
    lora_parameters: dict[str, Any] = field(
        default_factory=_default_lora, metadata=in_file("rank, scale, dropout, ...")
    )
    lr_schedule: dict[str, Any] | None = field(default=None, metadata=in_file("name, arguments, warmup, warmup_init"))
    optimizer_config: dict[str, Any] = field(default_factory=dict, metadata=in_file("arguments of optimizers by name"))
    freeze: list[str] = field(
        default_factory=list, metadata=in_file("names of parts that are not trained with fine_tune_type full")
    )
    hf_dataset: dict[str, Any] | None = field(default=None, metadata=in_file("a dataset of the Hub, as mlx_lm has it"))
    text_feature: str = field(default="text", metadata=in_file("field of a record that holds a text"))
    chat_feature: str = field(default="messages", metadata=in_file("field of a record that holds a chat"))
    prompt_feature: str = field(default="prompt", metadata=in_file("field of a record that holds a prompt"))
    completion_feature: str = field(default="completion", metadata=in_file("field of a record that holds what follows"))
    chosen_feature: str = field(default="chosen", metadata=in_file("field that holds the better completion"))
    rejected_feature: str = field(default="rejected", metadata=in_file("field that holds the worse completion"))
    label_feature: str = field(default="label", metadata=in_file("field that tells whether a completion is good"))


class Settings(NamedTuple):
    """All settings of a run of the command.

    Args:
      job: what it is about.
      training: how to train.
      by_name: both once more, as adapter_config.json and YAML files have them.
    """

    job: Job
    training: TrainingArgs
    by_name: dict[str, Any]


# --- the table ---


class Option(NamedTuple):
    """One setting.

    Args:
      name: as YAML files have it.
      field: of `Job` or `TrainingArgs`.
      default: its value where nothing is given.
    """

    name: str
    field: dataclasses.Field[Any]
    default: Any

    @property
    def kind(self) -> str:
        """The type, as it is written, without `| None`."""
        return str(self.field.type).removesuffix(" | None")

    @property
    def optional(self) -> bool:
        """Whether None is a value of it."""
        return self.kind != str(self.field.type)


# Fewer iterations are the default of the library.
DEFAULTS = {"iters": 1000}


def options() -> Iterator[Option]:
    """Every setting, in the order of the help."""
    for owner in (Job, TrainingArgs):
        for entry in dataclasses.fields(owner):
            name = RENAMED.get(entry.name, entry.name)
            default = entry.default
            if default is dataclasses.MISSING:
                assert entry.default_factory is not dataclasses.MISSING
                default = entry.default_factory()
            yield Option(name, entry, DEFAULTS.get(name, default))


# --- the command line ---


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a parser an option for each setting; those that are not given are missing from what it parses.

    Args:
      parser: gets them.
    """
    for option in options():
        metadata = option.field.metadata
        if metadata.get("file_only"):
            continue
        flags = [*filter(None, [metadata.get("short")]), f"--{option.name.replace('_', '-')}"]
        default = "none" if option.default in (None, []) else str(option.default).lower()
        about = f"{metadata['help']} (default: {default})".replace("%", "%%")
        if option.kind == "bool":
            parser.add_argument(*flags, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=about)
        else:
            # Several values are read together, by `settings_of`.
            form = {"nargs": "+"} if option.kind in ("Sources", "list[str]") else {"type": partial(_parsed, option)}
            parser.add_argument(*flags, default=argparse.SUPPRESS, help=about, metavar=_metavar(option), **form)


def _metavar(option: Option) -> str:
    choices = option.field.metadata.get("choices")
    return f"{{{','.join(choices)}}}" if choices else option.name.rpartition("_")[2].upper()


def _parsed(option: Option, text: str) -> Any:
    try:
        return checked(option, text)
    except ArgumentError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


# --- values ---


def checked(option: Option, value: Any) -> Any:
    """A setting's value, converted to its type.

    Args:
      option: the setting.
      value: a text from the command line, or what YAML made of it.

    Returns:
      the value in the setting's type; None only where that is one of its values.

    Raises:
      ValueError: it is not of that type, or none of the choices; the message names the setting.
    """
    if value is None and option.optional:
        return None
    read = READERS.get(option.kind)
    found = value if read is None else read(value)
    choices = option.field.metadata.get("choices")
    if found is UNREADABLE or (choices and found not in choices):
        wanted = f"one of {', '.join(choices)}" if choices else IN_WORDS.get(option.kind, option.kind)
        raise ArgumentError(f"{option.name}: expected {wanted}, got {value!r}")
    return found


UNREADABLE = object()
IN_WORDS = {
    "Sources": "a path, or a list of paths, each perhaps with path and weight",
    "Bytes": "a size such as 2GB",
    "Minutes": "a time above 0 such as 90, 90m or 1h30m",
    "bool": "true or false",
    "dict[str, Any]": "a mapping",
    "list[str]": "a list of names",
}


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) and name for name in value)


def _int(value: Any) -> Any:
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"[+-]?\d+", value) else UNREADABLE
    return value if type(value) is int else UNREADABLE


def _float(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return UNREADABLE
    try:
        return float(value)
    except ValueError:
        return UNREADABLE


def _minutes(value: Any) -> Any:
    """Minutes; a number without a unit is one of them."""
    number = _float(value)
    if number is not UNREADABLE:
        return number if 0 < number < float("inf") else UNREADABLE
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", str(value).strip())
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    return hours * 60 + minutes + seconds / 60 or UNREADABLE


def _bytes(value: Any) -> Any:
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *([KMG]?)B?", str(value).strip().upper())
    return int(float(match[1]) * UNITS[match[2]]) if match and not isinstance(value, bool) else UNREADABLE


def _sources(value: Any) -> Any:
    if not isinstance(value, (str, list)) or not all(isinstance(item, (str, dict)) for item in value):
        return UNREADABLE
    sources_of(value)
    return value[0] if len(value) == 1 and isinstance(value[0], str) else value


READERS: dict[str, Callable[[Any], Any]] = {
    "int": _int,
    "float": _float,
    "Bytes": _bytes,
    "Sources": _sources,
    "Minutes": _minutes,
    "bool": lambda value: value if isinstance(value, bool) else UNREADABLE,
    "str": lambda value: value if isinstance(value, str) and "\0" not in value else UNREADABLE,
    "list[str]": lambda value: value if _is_names(value) else UNREADABLE,
    "dict[str, Any]": lambda value: value if isinstance(value, dict) else UNREADABLE,
}


# --- all of it together ---


def read_yaml(path: str) -> dict[str, Any]:
    """The settings in a YAML file.

    Args:
      path: of the file.

    Returns:
      values by name, as YAML has them.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no YAML, or no mapping, or has a key that is no setting.
    """
    yaml = required("yaml", "tune")
    try:
        with open(path, encoding="utf-8") as file:
            found = yaml.load(file, _yaml_loader())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ArgumentError(f"{path}: expected YAML, got what cannot be read as such: {error}") from None
    if not isinstance(found, dict):
        raise ArgumentError(f"{path}: expected settings by name, got {type(found).__name__}")
    return found


@cache
def _yaml_loader() -> type:
    """A loader for which 1e-5 is a number, as it is for mlx_lm (YAML 1.1 wants 1.0e-5), and a key stands once."""
    safe: Any = required("yaml", "tune").SafeLoader

    def mapping(self: Any, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value if isinstance(key.value, str)]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise ArgumentError(f"{self.name}: {twice}: expected once, got twice")
        return safe.construct_mapping(self, node, deep)

    loader: Any = type("Loader", (safe,), {"construct_mapping": mapping})
    exponential = re.compile(r"[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+")
    loader.add_implicit_resolver("tag:yaml.org,2002:float", exponential, list("-+.0123456789"))
    return loader  # type: ignore[no-any-return]


def settings_of(given: Mapping[str, Any]) -> Settings:
    """The settings of a job.

    Args:
      given: those on the command line; `config` may name a YAML file with more.

    Returns:
      each setting: as given, else as in the file, else its default.

    Raises:
      ValueError: a setting is unknown, or its value is not what it should be.
    """
    table = {option.name: option for option in options()}
    path = given.get("config")
    in_file = read_yaml(path) if path else {}
    unknown = sorted(str(name) for name in in_file if name not in table)
    if unknown:
        raise ArgumentError(f"{path}: unknown settings: {', '.join(unknown)}")
    values = {name: option.default for name, option in table.items()}
    for name, value in in_file.items():
        try:
            values[name] = checked(table[name], value)
        except ArgumentError as error:
            raise ArgumentError(f"{os.fspath(path or '')}: {error}") from None
    values.update(given)
    for name in ("data", "add_tokens"):
        values[name] = checked(table[name], values[name])
    return Settings(_made(Job, values), _made(TrainingArgs, values), values)


def _made(owner: type, values: Mapping[str, Any]) -> Any:
    entries: Sequence[dataclasses.Field[Any]] = dataclasses.fields(owner)
    try:
        return owner(**{entry.name: values[RENAMED.get(entry.name, entry.name)] for entry in entries})
    except ArgumentError as error:
        name, colon, problem = str(error).partition(":")
        raise ArgumentError(RENAMED.get(name, name) + colon + problem) from None
