"""Models to train: functions of a parameter tree, mlx.nn.Modules, and a decoder that reads Hugging Face's files."""

from .config import DecoderConfig
from .functional import FunctionalModel, last_blocks
from .load import decoder_model
from .parameters import random_parameters
from .tunable import Tunable

__all__ = ["DecoderConfig", "FunctionalModel", "Tunable", "decoder_model", "last_blocks", "random_parameters"]
