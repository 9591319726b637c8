"""Training: arguments, the compiled step, the loop around it, evaluation, checkpoints, and reports."""

from .args import TrainingArgs as TrainingArgs
