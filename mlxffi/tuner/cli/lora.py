"""Fine-tune a model with LoRA or DoRA, or its last blocks in full, and evaluate it on a test set."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import cache, partial
from inspect import signature
from pathlib import Path
from typing import Any

from ... import core as mx
from ..._errors import ArgumentError
from .. import lora
from ..datasets import Batches, CacheDataset, DatasetConfig, Source, Splits, iterate_batches, load_dataset, sources_of
from ..datasets.sources import FEATURES, source_of_mlx_lm
from ..distributed import World
from ..files import require_folder
from ..lora import peft
from ..lora.config import PEFT_NAMES, from_mlx_lm
from ..lora.formats import added_tokens
from ..lora.targets import matches
from ..losses import DistillationLoss, default_loss
from ..optimizers import BY_NAME, Optimizer, by_name, lora_plus
from ..preferences import BY_NAME as PREFERENCES
from ..preferences import PreferenceLoss
from ..schedules import Schedule, build_schedule
from ..trainer import STATE_FILE, Callback, TrainingArgs, evaluate, evaluate_from, train
from ..trainer.checkpoint import Writer, read_checkpoint, read_reference
from ..trainer.checkpoint import settings_of as settings_of_run
from ..trainer.console import console
from ..trainer.data import Data
from ..trainer.metrics import METRICS_FILE, PLOT_FILE, LossPlot, MetricsFile
from ..trainer.rates import find_learning_rate
from ..trainer.step import initial_state, needs_reference
from ..trainer.trackers import require_trackers, trackers
from ..trees import Tree, differences, flatten, kinds, unflatten
from .engine import Base, Model, load_base
from .settings import Job, Settings, add_arguments, settings_of
from .stopping import INTERRUPTED, Interruption, TimeLimit, how_to_go_on

__all__ = ["add_arguments", "prepare"]


def prepare(arguments: argparse.Namespace) -> Callable[[], None]:
    """Check all settings, and load the model and the data; see `Command`."""
    settings = settings_of(vars(arguments))
    _require_sense(settings.job, settings.training)
    if settings.job.find_lr:
        settings = settings._replace(job=replace(settings.job, train=True, resume=False, test=False))
    job, training = settings.job, settings.training
    optimizer = optimizer_of(job)
    base = load_base(job.model, job.engine, job.trust_remote_code)
    settings = _with_tokens(settings, base)
    job = settings.job
    splits = load_dataset(_sources(job), base.tokenizer, _dataset_config(job), _wanted_splits(settings))
    _require_splits(settings, splits)
    mx.random.seed(training.seed)
    model = _model(job, base)
    loss = _loss(job, base)
    reference = cache(partial(reference_for, model, job))
    if not job.train and needs_reference(loss):
        reference()
    if splits.train is not None and job.train:
        # Raises where there are too few records for a batch.
        data = Data(splits.train, splits.valid, training, World())
        if job.resume:
            _require_resumable(model, optimizer, data, settings, loss)
        if job.find_lr:
            return partial(_find_rate, settings, model, splits.train, loss)
    go_on = how_to_go_on("mlxffi-lora", vars(arguments))
    train_it = partial(_train, settings, base, model, optimizer, splits, loss, go_on)
    test_it = partial(_test, settings, model, splits, loss, reference)
    return partial(_work, settings, splits, train_it, test_it)


def _work(settings: Settings, splits: Splits, train_it: Callable[[], None], test_it: Callable[[], None]) -> None:
    for line in [line for split in splits if split is not None for line in split.about]:
        say(line)
    if splits.train is not None and settings.job.train:
        train_it()
    if splits.test is not None and settings.job.test:
        test_it()


def _train(
    settings: Settings, base: Base, model: Model, optimizer: Optimizer, splits: Splits, loss: Any, go_on: str
) -> None:
    job = settings.job
    say(str(base.size(model)))
    interruption = Interruption()
    assert splits.train is not None
    with interruption.caught():
        result = train(
            model,
            optimizer,
            splits.train,
            splits.valid,
            settings.training,
            loss=loss,
            folder=job.adapter_path,
            resume=job.resume,
            callbacks=_callbacks(settings, interruption),
            write=writer(settings, model, base.tokenizer if job.add_tokens else None),
        )
    if result.stop == INTERRUPTED:
        raise KeyboardInterrupt(f"{INTERRUPTED} and saved; to go on: {go_on}")
    if result.stop is not None and job.time_limit is not None:
        say(f"to go on: {go_on}")


def _test(settings: Settings, model: Model, splits: Splits, loss: Any, reference: Callable[[], Tree]) -> None:
    job = settings.job
    assert splits.test is not None
    whose = "" if job.train or not job.adapter_path or _is_adapted(job) else " (the model without an adapter)"
    compared = reference() if needs_reference(loss) else None
    say(f"{tested(model, splits.test, settings, loss, compared)}{whose}.")


def _find_rate(settings: Settings, model: Model, train_set: Any, loss: Any) -> None:
    job = settings.job
    say(f"trying learning rates for {job.optimizer} ...")
    say(str(find_learning_rate(model, partial(optimizer_of, job), train_set, settings.training, loss=loss)))


def say(text: str) -> None:
    """Print a line, in the process that writes."""
    if World().is_writer:
        print(text, flush=True)


# --- what is checked ---


def _require_sense(job: Job, training: TrainingArgs) -> None:
    if not (job.train or job.test or job.find_lr):
        raise ArgumentError("train, test: expected one of them at least, or both; got none")
    if job.mask_prompt and job.mask_assistant:
        raise ArgumentError("mask_prompt, mask_assistant: expected one of them, got both")
    if not 0 <= job.neftune_noise_alpha < math.inf:
        raise ArgumentError(f"neftune_noise_alpha: expected a number of at least 0, got {job.neftune_noise_alpha}")
    if job.freeze and job.fine_tune_type != "full":
        raise ArgumentError(
            f"freeze: expected with fine_tune_type full, got it with {job.fine_tune_type}, which has keys"
        )
    if job.add_tokens:
        _require_adapter_for_tokens(job)
    if job.loraplus_lr_ratio is not None and job.fine_tune_type == "full":
        raise ArgumentError("loraplus_lr_ratio: expected with an adapter, got it with fine_tune_type full")
    if job.num_layers == 0:
        raise ArgumentError("num_layers: expected how many of the last blocks are fine-tuned, or -1 for all, got 0")
    preference_options(job)
    if job.loss != "cross_entropy":
        _require_alone(job, training)
    if job.distill_from is None:
        _require_no_distillation(job)
    _require_places(job)
    if job.report_to:
        require_trackers(job.report_to)


def _require_places(job: Job) -> None:
    """Raise where a run cannot begin as it is to, or cannot write to where it is to."""
    if job.resume_adapter_file and job.fine_tune_type != "full" and lora_config(job).init_lora_weights is not True:
        raise ArgumentError("resume_adapter_file, init_lora_weights: expected one of them, got both")
    if job.resume and job.resume_adapter_file:
        raise ArgumentError("resume, resume_adapter_file: expected one of them, got both")
    if job.resume and not Path(job.adapter_path, STATE_FILE).is_file():
        raise FileNotFoundError(f"resume: expected {STATE_FILE} of a run in {job.adapter_path}, found none")
    if job.train and not job.find_lr:
        require_folder("adapter_path", job.adapter_path)


def _require_no_distillation(job: Job) -> None:
    """Raise where something is said of a teacher that there is not."""
    usual = {entry.name: entry.default for entry in fields(Job) if entry.name.startswith("distill_")}
    said = next((name for name, value in usual.items() if getattr(job, name) != value), None)
    if said is not None:
        raise ArgumentError(f"{said}: expected with distill_from, got it without")


def _require_adapter_for_tokens(job: Job) -> None:
    if job.fine_tune_type == "full":
        raise ArgumentError("add_tokens: expected with an adapter, got it with fine_tune_type full")
    if job.lora_parameters.get("trainable_token_indices") is not None:
        raise ArgumentError("add_tokens, trainable_token_indices: expected one of them, got both")


def _require_alone(job: Job, training: TrainingArgs) -> None:
    """Raise where something is asked for that losses of preferences do not go with."""
    others = {"distill_from": job.distill_from, "mask_assistant": job.mask_assistant, "pack": training.pack}
    wrong = next((name for name, value in others.items() if value), None)
    if wrong is not None:
        raise ArgumentError(f"{wrong}: expected with loss cross_entropy, got it with {job.loss}")


def _require_resumable(model: Model, optimizer: Optimizer, data: Data, settings: Settings, loss: Any) -> None:
    """Raise unless the state of the last run is one of this model, this optimizer, this loss and these data."""
    world, training = World(), settings.training
    path = Path(settings.job.adapter_path, STATE_FILE)
    try:
        fresh = initial_state(model, optimizer, training.seed, world, loss)
        data.restore(read_checkpoint(path, fresh, training, world, settings_of_run(model, optimizer, loss)).position)
    except ArgumentError as error:
        raise ArgumentError(f"resume: {error}") from None


def _wanted_splits(settings: Settings) -> list[str]:
    """The files of the data that a job reads; what is wrong with others does not stop it."""
    job, validates = settings.job, settings.training.val_batches != 0
    wanted = {"train": job.train, "valid": job.train and validates, "test": job.test}
    return [name for name, is_wanted in wanted.items() if is_wanted]


def _require_splits(settings: Settings, splits: Splits) -> None:
    job, training = settings.job, settings.training
    paths = ", ".join(source.path for source in _sources(job))
    for name, wanted in {"train": job.train, "test": job.test}.items():
        if wanted and getattr(splits, name) is None:
            raise FileNotFoundError(f"{paths}: {name} was asked for: expected {name}.jsonl in this folder, found none")
    idle = next((name for name in ("save_best", "early_stop") if getattr(training, name)), None)
    if idle is not None and job.train and splits.valid is None:
        raise ArgumentError(f"{idle}: expected validations (valid.jsonl, and val_batches other than 0), got none")


def _sources(job: Job) -> list[Source]:
    return sources_of(job.data) if job.hf_dataset is None else [source_of_mlx_lm(job.hf_dataset)]


def _dataset_config(job: Job) -> DatasetConfig:
    features = {name: getattr(job, name) for name in FEATURES}
    features |= {name: value for name, value in (job.hf_dataset or {}).items() if name in FEATURES}
    kind = {"cross_entropy": "auto", "kto": "labelled"}.get(job.loss, "preference")
    return DatasetConfig(kind, "assistant" if job.mask_assistant else job.mask_prompt, **features)


# --- what trains ---


def optimizer_of(job: Job, schedule: Schedule | None = None) -> Optimizer:
    """The optimizer with its learning rate or schedule, or with another schedule."""
    stated = job.learning_rate if job.lr_schedule is None else build_schedule(job.lr_schedule)
    rate = stated if schedule is None else schedule
    unknown = sorted(str(name) for name in job.optimizer_config if name not in BY_NAME)
    if unknown:
        raise ArgumentError(f"optimizer_config: expected arguments by {', '.join(BY_NAME)}, got {', '.join(unknown)}")
    options = job.optimizer_config.get(job.optimizer) or {}
    if not isinstance(options, Mapping) or "learning_rate" in options:
        raise ArgumentError(
            f"optimizer_config.{job.optimizer}: expected arguments other than learning_rate by name, got {options!r}"
        )
    if job.loraplus_lr_ratio is not None:
        return lora_plus(job.optimizer, rate, job.loraplus_lr_ratio, **options)
    return by_name(job.optimizer, rate, **options)


def lora_config(job: Job) -> lora.LoRAConfig:
    """The adapter that a job asks for.

    Raises:
      ValueError: `lora_parameters` has an unknown key, or a value is out of its range.
    """
    known = {*(entry.name for entry in fields(lora.LoRAConfig)), *PEFT_NAMES} - {"num_layers"}
    unknown = sorted(str(key) for key in job.lora_parameters if key not in known)
    if unknown:
        raise ArgumentError(f"lora_parameters: expected {', '.join(sorted(known))}, got {', '.join(unknown)}")
    given = dict(job.lora_parameters)
    options = {"use_dora": bool(given.pop("use_dora", False)) or job.fine_tune_type == "dora"}
    # Patterns of PEFT choose blocks themselves.
    blocks = -1 if given.get("target_modules") is not None else job.num_layers
    return from_mlx_lm(given, num_layers=blocks, **options)


def _with_tokens(settings: Settings, base: Base) -> Settings:
    """The settings with the rows of new tokens as what is trained, too; the model gets these tokens."""
    job = settings.job
    start = job.resume_adapter_file
    if job.resume or (not job.train and _is_adapted(job)):
        start = job.adapter_path
    tokens = job.add_tokens if start is None else added_tokens(start)
    if job.train and tokens != job.add_tokens:
        raise ArgumentError(f"add_tokens: expected those of {start}, which are {tokens}, got {job.add_tokens}")
    tables = base.add_tokens(tokens) if tokens else {}
    if not tables or not job.train:
        return settings
    saved = lora_config(job).modules_to_save
    rows = {name: ids for name, ids in tables.items() if not matches(name, saved)}
    wanted = {**job.lora_parameters, "trainable_token_indices": rows or None}
    return settings._replace(job=replace(job, lora_parameters=wanted))


def _model(job: Job, base: Base) -> Model:
    if not job.train:
        return base.with_trained(Path(job.adapter_path)) if _is_adapted(job) else base.plain()
    full, noise = job.fine_tune_type == "full", job.neftune_noise_alpha
    if full:
        model = base.with_last_blocks(job.num_layers, noise, job.freeze)
        _require_dense(model)
    else:
        model = base.with_new_adapter(lora_config(job), noise)
    if job.resume_adapter_file:
        model.update(started_from(job.resume_adapter_file, model.trainable(), None if full else lora_config(job)))
    return model


def _require_dense(model: Model) -> None:
    trained = flatten(model.trainable()).items()
    packed = next((path for path, item in trained if not mx.issubdtype(item.dtype, mx.floating)), None)
    if packed is not None:
        raise ArgumentError(
            f"fine_tune_type: expected weights that are not quantized for full, got {packed}; convert --dequantize "
            "unpacks them"
        )


def _is_adapted(job: Job) -> bool:
    """Whether a test is one of an adapter: of one that was named, or of one where runs leave theirs."""
    return bool(job.adapter_path) and (job.adapter_path != Job.adapter_path or Path(job.adapter_path).exists())


def started_from(file: str, trained: Tree, config: lora.LoRAConfig | None = None) -> Tree:
    """Parameters from a file, in the places of what would be trained from its beginning.

    Args:
      file: of tensors as we and mlx_lm write them; or a folder, or a file in one, of any program's adapter.
      trained: what would be trained.
      config: of the adapter that would be, None where it is none.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it has not the same parameters, or factors of another scale; the message names each that differs.
    """
    path, wanted = Path(file), flatten(trained)
    if config is not None and (path.is_dir() or path.name == peft.TENSORS):
        arrays = _factors_from(path, config)
        arrays = {name: value.astype(wanted[name].dtype) if name in wanted else value for name, value in arrays.items()}
    elif path.is_file():
        found = mx.load(file)
        assert isinstance(found, dict)
        arrays = found
    else:
        raise FileNotFoundError(f"resume_adapter_file: expected a safetensors file, found none: {file}")
    wrong = differences(kinds(arrays), kinds(wanted))
    if wrong:
        raise ArgumentError("\n  ".join([f"{file}: the adapter is not of the kind that is to be trained:", *wrong]))
    return unflatten(arrays)


def _factors_from(path: Path, config: lora.LoRAConfig) -> dict[str, mx.array]:
    """The factors of an adapter folder by name, which are used with the scale that they were trained with."""
    adapter = lora.read_adapter(path)
    scales = {layer: (adapter.config.scale_of(layer), config.scale_of(layer)) for layer in adapter.layers()}
    other = next((layer for layer, (then, now) in scales.items() if not math.isclose(then, now, rel_tol=1e-6)), None)
    if other is not None:
        then, now = scales[other]
        raise ArgumentError(
            f"resume_adapter_file: {path}: {other} was trained with a scale of {then}, and lora_parameters mean {now}"
        )
    return flatten(adapter.parameters)


# What losses call the options for them.
OF_LOSSES = {
    "beta": "beta",
    "label_smoothing": "label_smoothing",
    "cpo_alpha": "alpha",
    "simpo_gamma": "gamma",
    "desirable_weight": "desirable_weight",
    "undesirable_weight": "undesirable_weight",
}


def preference_options(job: Job) -> dict[str, float]:
    """The arguments of a job's loss that were given.

    Raises:
      ValueError: there is one that the loss does not have.
    """
    given = {name: getattr(job, name) for name in OF_LOSSES if getattr(job, name) is not None}
    for name in given:
        takers = [kind for kind, loss in PREFERENCES.items() if OF_LOSSES[name] in signature(loss).parameters]
        if job.loss not in takers:
            raise ArgumentError(f"{name}: expected with loss {' or '.join(takers)}, got it with {job.loss}")
    return {OF_LOSSES[name]: value for name, value in given.items()}


def _loss(job: Job, base: Base) -> Any:
    options = preference_options(job)
    if job.loss != "cross_entropy":
        return PREFERENCES[job.loss](**options)
    if job.distill_from is None:
        return default_loss
    teacher = load_base(job.distill_from, job.engine, job.trust_remote_code)
    if teacher.vocabulary != base.vocabulary:
        raise ArgumentError(
            f"distill_from: expected a teacher with the model's vocabulary of {base.vocabulary}, got one of "
            f"{teacher.vocabulary}"
        )
    options = {"temperature": job.distill_temperature, "weight": job.distill_weight}
    return DistillationLoss(teacher.plain(), job.distill_loss, **options)


# --- what is told and written ---


def _callbacks(settings: Settings, interruption: Interruption) -> list[Callback]:
    job, folder = settings.job, Path(settings.job.adapter_path)
    found: list[Callback] = [interruption, *([] if job.time_limit is None else [TimeLimit(job.time_limit)])]
    if not World().is_writer:
        return found
    found += [console(), MetricsFile(folder / METRICS_FILE)]
    if job.plot:
        found.append(LossPlot(folder / METRICS_FILE, folder / PLOT_FILE))
    if job.report_to:
        found += trackers(job.report_to, folder, job.project_name, settings.by_name)
    return found


def writer(settings: Settings, model: Model, tokenizer: Any = None) -> Writer:
    """What writes trained parameters as mlx_lm's adapter folders have them, with all settings in the configuration.

    Args:
      settings: of the job.
      model: that is trained.
      tokenizer: stands beside them where it is not the model's own.
    """
    job = settings.job
    full = job.fine_tune_type == "full"
    config = None if full else lora_config(job)
    # Weights that lack what the factors began with are in no file: the change since then is written.
    start = None if config is None or config.init_lora_weights is True else lora.Adapter(model.trainable(), config)

    def write(path: Path, trained: Tree) -> None:
        if config is None:
            lora.save_full(path.parent, trained, extra=settings.by_name, name=path.name)
            return
        adapter = lora.Adapter(trained, config)
        changed = adapter if start is None else lora.since(adapter, start)
        lora.save_adapter(path.parent, changed, extra=settings.by_name, name=path.name)
        if tokenizer is not None:
            tokenizer.save(path.parent)

    return write


def tested(model: Model, dataset: CacheDataset, settings: Settings, loss: Any, reference: Tree | None) -> str:
    """What a test set comes to, as a line."""
    training, most = settings.training, settings.job.test_batches
    batches = test_batches(model, dataset, training)
    if not isinstance(loss, PreferenceLoss):
        found = evaluate(model, batches, most, compile=training.compile)
        return f"Test loss {found:.3f}, Test ppl {math.exp(found):.3f}"
    mean, figures = evaluate_from(model, reference, batches, most, loss=loss, compile=training.compile)
    return ", ".join([f"Test loss {mean:.3f}", *(f"{name} {value:.3f}" for name, value in figures.items())])


def reference_for(model: Model, job: Job) -> Tree:
    """The parameters with which the run in the adapter path began, as the model has them.

    Raises:
      FileNotFoundError: there is no state of a run.
      ValueError: it has none, or those of another adapter; the message names each that differs.
    """
    path, known = Path(job.adapter_path, STATE_FILE), kinds(flatten(model.trainable()))
    found = read_reference(path)
    # Files have factors that began with a part of each weight as their change since then.
    forms = [found, lora.begun(found)]
    wrong = [differences(have, {name: known[name] for name in have if name in known}) for have in map(_kinds, forms)]
    if all(wrong):
        raise ArgumentError("\n  ".join([f"{path}: the run did not begin with what is tested:", *wrong[0]]))
    return forms[0] if not wrong[0] else forms[1]


def _kinds(tree: Tree) -> dict[str, str]:
    return kinds(flatten(tree))


def test_batches(model: Model, dataset: CacheDataset, training: TrainingArgs) -> Batches:
    """The batches of a test set."""
    world = World()
    return iterate_batches(
        dataset,
        training.batch_size,
        training.max_seq_length,
        seed=training.seed,
        rank=world.rank,
        world=world.size,
        vocab_size=model.vocab_size,
    )
