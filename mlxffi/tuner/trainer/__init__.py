"""Training: arguments, the compiled step, the loop around it, evaluation, checkpoints, and reports."""

from .args import TrainingArgs
from .callbacks import Callback, SaveReport, StartReport, StepReport, Stop, TrainReport, TrainResult, ValReport
from .checkpoint import ADAPTER_FILE, BEST_FILE, STATE_FILE, write_parameters
from .data import FixedBatches, Source
from .loop import train
from .step import Evaluation, evaluate, evaluate_from

__all__ = [
    "ADAPTER_FILE",
    "BEST_FILE",
    "STATE_FILE",
    "Callback",
    "Evaluation",
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
    "evaluate_from",
    "train",
    "write_parameters",
]
