"""Whose model a command runs: the decoder of this package, or an architecture of mlx_lm over `mlxffi.core`.

Both give the same things: a tokenizer, and models to train, to evaluate and to generate with.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias

from ... import compat
from ..._errors import ArgumentError
from .. import hub, lora
from ..checks import MissingLibraryError, required
from ..files import read_object
from ..layers import Survival
from ..lora.adapter import is_in
from ..lora.formats import added_tokens
from ..models import DecoderConfig, FunctionalModel, ModuleModel, Tokenizer, decoder_model, last_blocks
from ..models.gguf.blocks import PACKED
from ..models.gguf.file import is_gguf
from ..models.gguf.model import export_model, rounded
from ..models.load import adapted, config_of, load_parameters, save_model, write_model
from ..models.new_tokens import with_new_tokens
from ..trees import flatten

Model: TypeAlias = "FunctionalModel | ModuleModel"


class Base(Protocol):
    """A model as it was before any training, and its tokenizer."""

    tokenizer: Any
    vocabulary: int

    def add_tokens(self, tokens: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """Add new tokens to the model and its tokenizer; see `with_new_tokens`.

        Args:
          tokens: texts, each a token from now on.

        Returns:
          their ids by the name of each layer that has rows for them.

        Raises:
          ValueError: one is a token already, or the model cannot have more.
        """
        ...

    def with_new_adapter(self, config: lora.LoRAConfig, noise: float = 0.0) -> Model:
        """The model with a new adapter, which is trained.

        Args:
          config: of the adapter.
          noise: in its embeddings; see `decoder_model`.

        Returns:
          The model; only the adapter is trained.

        Raises:
          ValueError: the model has no layer that the configuration names, or cannot have such an adapter.
        """
        ...

    def with_trained(self, path: Path) -> Model:
        """The model with the contents of an adapter folder.

        Args:
          path: the folder.

        Returns:
          The model; only what the folder holds is trained.

        Raises:
          OSError: a file is missing.
          ValueError: the adapter does not fit the model.
        """
        ...

    def with_last_blocks(self, count: int, noise: float = 0.0, frozen: Sequence[str] = ()) -> Model:
        """The model with its last blocks trained directly; all of them if `count` is not above 0.

        Args:
          count: how many.
          noise: in its embeddings; see `decoder_model`.
          frozen: paths, or ends of paths, of parts of these blocks that are not trained.

        Returns:
          The model; nothing else is trained.

        Raises:
          ValueError: a name matches no part, or nothing is left to train.
        """
        ...

    def plain(self) -> Model:
        """The model as it is."""
        ...

    def size(self, model: Model) -> lora.TrainableParameters:
        """How many parameters of a model made from this one are trained.

        Args:
          model: one that this has made.

        Returns:
          counts of parameters.
        """
        ...

    def fused(self, path: Path, dequantize: bool) -> Fused:
        """The model with the contents of an adapter folder merged into its weights.

        Args:
          path: the folder.
          dequantize: leave all weights unpacked; else packed ones are packed again as they were.

        Returns:
          what writes it, and what is left of the adapter.

        Raises:
          OSError: a file is missing.
          ValueError: the adapter does not fit the model.
        """
        ...


class Fused(NamedTuple):
    """A model with an adapter in its weights.

    Args:
      write: writes it to a new folder.
      survival: what is left of the adapter in weights that were quantized again; None where there are none.
      export: writes it to a GGUF file of a type, and tells what is left of the adapter in one that is packed.
    """

    write: Callable[[Path], None]
    survival: Survival | None
    export: Callable[[Path, str], Survival | None]


def load_base(path: str | None, engine: str = "auto", trust_remote_code: bool = False) -> Base:
    """A model from a Hugging Face directory, or from a GGUF file, which our own decoder runs.

    Args:
      path: the folder or file, or a name on the Hub.
      engine: "own", "mlx_lm", or "auto": mlx_lm's where it is installed and ours has not this architecture.
      trust_remote_code: let mlx_lm run code that comes with a tokenizer.

    Returns:
      the model and its tokenizer.

    Raises:
      FileNotFoundError: the folder or a file in it is missing.
      ValueError: a file is not as it should be, or the architecture is unknown.
    """
    folder = located(path, trust_remote_code)
    if is_gguf(folder):
        if engine == "mlx_lm":
            raise ArgumentError(f"model: mlx_lm's engine expected a folder with config.json, got a GGUF file: {folder}")
        return OwnBase(folder)
    refusal = "" if engine == "mlx_lm" else _refusal(read_object(folder / "config.json"))
    if engine == "mlx_lm" or (engine == "auto" and refusal and importlib.util.find_spec("mlx_lm")):
        return MlxLmBase(folder, trust_remote_code, refusal)
    return OwnBase(folder)


def located(path: str | None, trust_remote_code: bool = False, weights: bool = True) -> Path:
    """The folder or GGUF file of a model: a path, or owner/name or owner/name@revision on the Hub.

    Args:
      path: one of these.
      trust_remote_code: refused for models of the Hub.
      weights: whether they are needed of such a model.

    Returns:
      that path, or a folder in the cache of the Hub.

    Raises:
      OSError, RuntimeError: there is none, or it is not in the cache of the Hub and cannot be fetched.
      ValueError: code of the Hub is to be trusted.
    """
    folder = Path(path or "")
    if path and (folder.is_dir() or is_gguf(folder)):
        return folder
    repo = hub.repo_of(path or "", "model")
    if repo is None or folder.exists():
        raise FileNotFoundError(
            f"model: expected a folder with config.json, a GGUF file, or owner/name on the Hub, got {path!r}"
        )
    hub.require_no_code(repo, trust_remote_code)
    return hub.model_folder(repo, weights)


def _refusal(config: Mapping[str, Any]) -> str:
    """Why our own decoder cannot run a model; "" where it can."""
    try:
        DecoderConfig.from_dict(config)
    except ArgumentError as error:
        return str(error)
    return ""


class OwnBase:
    """A model of this package's decoder.

    Args:
      folder: of the model, or its GGUF file.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.config, self.architecture, self.parameters = load_parameters(folder)
        self.tokenizer = Tokenizer.from_directory(folder)
        self.vocabulary = self.architecture.vocab_size
        self._added: list[str] = []

    def add_tokens(self, tokens: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """See `Base`."""
        if is_gguf(self.folder):
            raise ArgumentError(f"add_tokens: expected a model in a folder (convert makes one), got {self.folder}")
        self.architecture, self.parameters, tables = with_new_tokens(
            self.architecture, self.parameters, self.tokenizer, tokens
        )
        self._added, self.vocabulary = [*tokens], self.architecture.vocab_size
        return tables

    def with_new_adapter(self, config: lora.LoRAConfig, noise: float = 0.0) -> Model:
        """See `Base`."""
        if config.init_lora_weights is True:
            return self._model(lora.create_adapter(self.parameters, config), noise)
        adapter, negative = lora.create_from_weights(self.parameters, config)
        return decoder_model(self.architecture, lora.attach(self.parameters, negative), adapter, noise=noise)

    def with_trained(self, path: Path) -> Model:
        """See `Base`."""
        self._prepare(path)
        return decoder_model(*adapted(self.architecture, self.parameters, path))

    def _prepare(self, path: Path) -> None:
        """Let the model have the tokens that an adapter folder was trained with."""
        tokens = added_tokens(path)
        if tokens != self._added:
            self.add_tokens(tokens)

    def with_last_blocks(self, count: int, noise: float = 0.0, frozen: Sequence[str] = ()) -> Model:
        """See `Base`."""
        wanted = (
            last_blocks(self.parameters, min(count, self.architecture.num_layers)) if count > 0 else ["model.layers"]
        )
        if frozen:
            wanted = _left(flatten(self.parameters), wanted, frozen)
        return decoder_model(self.architecture, self.parameters, trainable=wanted, noise=noise)

    def plain(self) -> Model:
        """See `Base`."""
        return self._model(None)

    def size(self, model: Model) -> lora.TrainableParameters:
        """See `Base`."""
        return lora.trainable_parameters(self.parameters, model.trainable())

    def fused(self, path: Path, dequantize: bool) -> Fused:
        """See `Base`."""
        self._prepare(path)
        _, parameters, adapter = adapted(self.architecture, self.parameters, path)
        adapters = [] if adapter is None else [adapter]
        survival = None if dequantize else lora.survival(parameters, *adapters)
        fused = lora.fuse(parameters, *adapters, dequantize=dequantize)

        def export(target: Path, kind: str) -> Survival | None:
            export_model(target, fused, config_of(self.config, fused), self.tokenizer, kind)
            return lora.survival(parameters, *adapters, rounded=partial(rounded, kind=kind)) if kind in PACKED else None

        tokenizer = self.tokenizer if self._added else None
        return Fused(
            lambda target: save_model(target, fused, self.config, self.folder, tokenizer=tokenizer), survival, export
        )

    def _model(self, adapter: lora.Adapter | None, noise: float = 0.0) -> Model:
        return decoder_model(self.architecture, self.parameters, adapter, noise=noise)


class MlxLmBase:
    """A model of mlx_lm. It is one object: a command makes one model of it.

    Args:
      folder: of the model.
      trust_remote_code: whether the tokenizer may run code that is in the folder.
      refusal: why our own decoder cannot run it, if it was asked.

    Raises:
      ValueError: mlx_lm cannot load it.
    """

    def __init__(self, folder: Path, trust_remote_code: bool, refusal: str = ""):
        if not importlib.util.find_spec("mlx_lm"):
            raise MissingLibraryError("this needs mlx_lm, which is not installed: pip install 'mlxffi[lm]'")
        compat.install()
        from ..lora import modules  # needs mlx.nn over mlxffi.core, which there is only now

        load = required("mlx_lm", "lm").load
        options = {"tokenizer_config": {"trust_remote_code": trust_remote_code}}
        try:
            self.module, self.tokenizer = load(str(folder), **options)
        except Exception as error:  # of whatever class: it is not ours
            also = f"; our own decoder cannot either: {refusal}" if refusal else ""
            raise ArgumentError(f"model: mlx_lm cannot load {folder}: {type(error).__name__}: {error}{also}") from error
        self._adapters, self._folder = modules, folder
        self._config: Mapping[str, Any] = read_object(folder / "config.json")
        self.vocabulary = int(self._config.get("vocab_size", 0))

    def add_tokens(self, tokens: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """See `Base`."""
        _require_none({"add_tokens": tokens})
        return {}

    def with_new_adapter(self, config: lora.LoRAConfig, noise: float = 0.0) -> Model:
        """See `Base`."""
        wanted = {
            "neftune_noise_alpha": noise,
            "init_lora_weights": config.init_lora_weights is not True,
            "modules_to_save": config.modules_to_save,
            "bias": config.bias != "none",
            "trainable_token_indices": config.trainable_token_indices,
        }
        _require_none(wanted)
        self.module.freeze()
        self._adapters.linear_to_lora_layers(self.module, config.num_layers, config, config.use_dora)
        return ModuleModel(self.module)

    def with_trained(self, path: Path) -> Model:
        """See `Base`."""
        self.add_tokens(added_tokens(path))
        self.module.freeze()
        self._adapters.load_adapters(self.module, path)
        return ModuleModel(self.module)

    def with_last_blocks(self, count: int, noise: float = 0.0, frozen: Sequence[str] = ()) -> Model:
        """See `Base`."""
        _require_none({"neftune_noise_alpha": noise, "freeze": frozen})
        self.module.freeze()
        for block in self.module.layers[-max(count, 0) :]:
            block.unfreeze()
        return ModuleModel(self.module)

    def plain(self) -> Model:
        """See `Base`."""
        return ModuleModel(self.module)

    def size(self, model: Model) -> lora.TrainableParameters:
        """See `Base`."""
        return self._adapters.trainable_parameters(self.module)

    def fused(self, path: Path, dequantize: bool) -> Fused:
        """See `Base`."""
        self.add_tokens(added_tokens(path))
        self._adapters.load_adapters(self.module, path)
        survival = None if dequantize else self._adapters.survival(self.module)
        self._adapters.fuse_model(self.module, dequantize)
        quantization = ("quantization", "quantization_config") if dequantize else ()
        config = {name: value for name, value in self._config.items() if name not in quantization}
        return Fused(
            lambda target: write_model(target, flatten(self.module.parameters()), config, self._folder),
            survival,
            _refuse_export,
        )


def _refuse_export(target: Path, kind: str) -> Survival | None:
    raise ArgumentError("export_gguf: expected a model of this package's decoder, got one that runs through mlx_lm")


def _left(paths: Iterable[str], wanted: Sequence[str], frozen: Sequence[str]) -> list[str]:
    """The paths below the wanted ones that are in none of the frozen parts."""
    known = [path for path in paths if any(path.startswith(f"{start}.") for start in wanted)]
    lost = next((name for name in frozen if not any(is_in(path, (name,)) for path in known)), None)
    if lost is not None:
        raise ArgumentError(f"freeze: expected names of parts that are trained else, got {lost!r}")
    found = [path for path in known if not is_in(path, tuple(frozen))]
    if not found:
        raise ArgumentError(f"freeze: expected something to be left to train, got {', '.join(frozen)}")
    return found


def _require_none(wanted: Mapping[str, Any]) -> None:
    """Raise where something is asked for that only this package's decoder does."""
    name = next((name for name, value in wanted.items() if value), None)
    if name is not None:
        raise ArgumentError(f"{name}: expected with our own decoder (engine own), got it with a model of mlx_lm")
