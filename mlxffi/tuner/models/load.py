"""Models from Hugging Face directories, and back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .._trees import Tree
from . import decoder
from .config import DecoderConfig
from .functional import FunctionalModel, Wanted

if TYPE_CHECKING:
    from ..lora import Adapter


def decoder_model(
    config: DecoderConfig, parameters: Tree, adapter: Adapter | None = None, trainable: Wanted | None = None
) -> FunctionalModel:
    """A decoder as a model to train; see `FunctionalModel`."""
    return FunctionalModel(
        parameters,
        partial(decoder.logits, config),
        adapter,
        trainable,
        new_cache=partial(decoder.new_cache, config),
    )
