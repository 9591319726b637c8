"""Models to train: functions of a parameter tree, mlx.nn.Modules, and a decoder that reads Hugging Face's files."""

from .config import DecoderConfig
from .functional import FunctionalModel, Tunable, last_blocks
from .load import decoder_model, load_model, load_parameters, save_model
from .module import ModuleModel
from .tokenizer import TextStream, Tokenizer
from .weights import random_parameters

__all__ = [
    "DecoderConfig",
    "FunctionalModel",
    "ModuleModel",
    "TextStream",
    "Tokenizer",
    "Tunable",
    "decoder_model",
    "last_blocks",
    "load_model",
    "load_parameters",
    "random_parameters",
    "save_model",
]
