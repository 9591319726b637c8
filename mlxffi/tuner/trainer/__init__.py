"""Training: arguments, the compiled step, the loop around it, evaluation, checkpoints, and reports."""

from .args import TrainingArgs
from .callbacks import Callback, Stop
from .checkpoint import STATE_FILE
from .data import FixedBatches, Source
from .evaluation import evaluate
from .loop import train
from .reports import SaveReport, StartReport, StepReport, TrainReport, TrainResult, ValReport
from .saving import ADAPTER_FILE, BEST_FILE, write_parameters

__all__ = [
    "ADAPTER_FILE",
    "BEST_FILE",
    "STATE_FILE",
    "Callback",
    "FixedBatches",
    "SaveReport",
    "Source",
    "StartReport",
    "StepReport",
    "Stop",
    "TrainReport",
    "TrainResult",
    "TrainingArgs",
    "ValReport",
    "evaluate",
    "train",
    "write_parameters",
]
